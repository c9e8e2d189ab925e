"""How long does a click on the demo's page take, from the request to the masks?

One point on a photo that is encoded, over HTTP on this machine, as the page asks: three masks, for the screen
(`max_side` 1024) or at the photo's size. anymask is the demo's server, a process of its own; "transformers" is what a
program does without a server and without HTTP: decoder and masks at the photo's size, the embedding at hand.

    python benchmarks/bench_demo.py --size nano
"""

import http.client
import io
import json
import shutil
import subprocess
import sys
import tempfile
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from harness import SIZES, Benchmark, DisagreementError, option_parser, parse_options
from PIL import Image
from subjects import PHOTO, load_pair

from anymask.masks.rle import rle_to_mask
from anymask.weights.names import resolve_checkpoint

PLACES = [(0.5, 0.5), (0.3, 0.6), (0.7, 0.4), (0.45, 0.3)]  # x and y as parts of the photo
SCREEN = 1024
MIN_IOU = 0.9


class Server:
    """`anymask demo` in a process of its own, with one photo encoded."""

    def __init__(self, model: str, photo: bytes) -> None:
        command = [sys.executable, "-m", "anymask", "demo", "--model", model, "--no-browser", "--device", "cpu"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        address = self.process.stdout.readline().split()[0]
        self.connection = http.client.HTTPConnection(address.split("/")[2])
        self.image = self.ask("/api/images", photo)["id"]

    def ask(self, path: str, body: bytes) -> dict:
        self.connection.close()  # while the other column computes, the server gives an idle one up
        self.connection.request("POST", path, body)
        return json.load(self.connection.getresponse())

    def click(self, place_xy: list[float], max_side: int | None) -> dict:
        body = json.dumps({"points": [place_xy], "max_side": max_side}).encode()
        return self.ask(f"/api/images/{self.image}/predict", body)

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def agreement(expected: list[np.ndarray], answer: dict) -> dict[str, float]:
    """The lowest of the IoUs of the three masks, Transformers' sampled at the size of the answer's."""
    ious = []
    masks = [rle_to_mask(mask["rle"]) for mask in sorted(answer["masks"], key=lambda mask: mask["logits"])]
    for theirs, ours in zip(expected, masks, strict=True):
        rows, columns = (
            ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(ours.shape, theirs.shape, strict=True)
        )
        theirs = theirs[np.ix_(rows, columns)]
        union = (theirs | ours).sum()
        ious.append(float((theirs & ours).sum() / union) if union else 1.0)
    if min(ious) < MIN_IOU:
        raise DisagreementError(f"the masks' IoU must be at least {MIN_IOU}, got {min(ious):.3f}")
    return {"lowest IoU": min(ious)}


def without_clean_up(folder: Path) -> str:
    """sam-vit-nano as Transformers reads it, which fills no holes and drops no islands."""
    shutil.copytree(resolve_checkpoint("sam-vit-nano"), folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("prompted_masks")
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@torch.inference_mode()
def main() -> None:
    parser = option_parser(__doc__, repeats=40)
    parser.set_defaults(size=["nano"])
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=[3000, 4000])
    options = parse_options(parser, smoke=dict(image_size=[90, 120]))
    benchmark = Benchmark("demo", "How long does a click on the demo's page take, over HTTP?", options)
    height, width = options.image_size
    file = io.BytesIO()
    Image.open(PHOTO).convert("RGB").resize((width, height)).save(file, format="JPEG", quality=95)
    image = Image.open(file)
    pair = load_pair("nano", "float32", "cpu")
    inputs = pair.their_processor(image, return_tensors="pt")
    embedding = pair.theirs.get_image_embeddings(inputs["pixel_values"])
    sizes = inputs["original_sizes"].tolist(), inputs["reshaped_input_sizes"].tolist()
    scale = max(sizes[1][0]) / max(height, width)
    folder = tempfile.TemporaryDirectory()
    server = Server(without_clean_up(Path(folder.name) / "sam-vit-nano"), file.getvalue())
    try:
        for side in (SCREEN, None):
            places = [[x * width, y * height] for x, y in PLACES]
            for_theirs, for_ours = cycle(places), cycle(places)

            def theirs(points: cycle = for_theirs) -> list[np.ndarray]:
                point = torch.tensor(next(points))[None, None, None] * scale
                output = pair.theirs(image_embeddings=embedding, input_points=point)
                return list(pair.their_processor.post_process_masks(output.pred_masks, *sizes)[0][0].numpy())

            def ours(points: cycle = for_ours, side: int | None = side) -> dict:
                return server.click(next(points), side)

            what = f"{SIZES['nano']}, {height} x {width}, {'masks for the screen' if side else 'masks of the photo'}"
            columns = {"transformers": theirs, "anymask": ours}
            benchmark.compare(what, columns, agreement, warm_ups=4, size="nano", dtype="float32")
    finally:
        server.close()
        folder.cleanup()
    benchmark.finish()


if __name__ == "__main__":
    main()
