"""How long does a command take, from its start to the file with the masks?

Each run is a process of its own, as on a command line: Python starts, imports, loads sam-vit-nano, reads the photo of
examples/, segments, writes, and ends. anymask runs `anymask segment`. Transformers runs the shortest program that does
the same work with its classes, and imports nothing of anymask: for one point its model and image processor; for
everything what its "mask-generation" pipeline calls (see their_steps.py), with the thresholds that the checkpoint
brings. Neither draws the overlay.

The first of all runs reads the packages from disk and does not count.

With `--absent` the question is another: a checkpoint that is not there is asked for where no hub answers, and what
counts is the time until the process has said so, `import` included.

    python benchmarks/bench_start.py --threads 2 --repeats 5
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from harness import SIZES, Benchmark, DisagreementError, option_parser, parse_options, spread
from subjects import PHOTO, same_masks
from their_steps import NMS_THRESHOLD

from anymask import SamConfig
from anymask.masks.rle import coco_to_rle, rle_to_mask
from anymask.weights.names import resolve_checkpoint

POINT_XY = (300, 200)
MIN_IOU = 0.99
OURS = ("segment", PHOTO, "--format", "sa1b", "--device", "cpu")
COMMAND = "from anymask.cli.main import app; app(prog_name='anymask')"
# Transformers cleans up no small regions, and its pipeline drops duplicates beyond this IoU, as Meta's generator does.
AS_TRANSFORMERS = ("--min-mask-region-area", 0, "--box-nms-thresh", NMS_THRESHOLD)

THEIR_POINT = """
import sys, numpy, torch
from PIL import Image
from transformers import SamModel
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
folder, photo, output, x, y = sys.argv[1:]
model = SamModel.from_pretrained(folder, dtype=torch.float32)
processor = SamImageProcessorPil.from_pretrained(folder)
inputs = processor(Image.open(photo), return_tensors="pt")
sizes = inputs["original_sizes"].tolist(), inputs["reshaped_input_sizes"].tolist()
point = torch.tensor([float(x), float(y)]) * torch.tensor(sizes[1][0][::-1]) / torch.tensor(sizes[0][0][::-1])
with torch.no_grad():
    result = model(pixel_values=inputs["pixel_values"], input_points=point[None, None, None])
masks = processor.post_process_masks(result.pred_masks, *sizes)[0][0]
numpy.save(output, masks[result.iou_scores[0, 0].argmax()].numpy())
"""

THEIR_EVERYTHING = """
import json, sys, torch
sys.path.insert(0, sys.argv[5])
from PIL import Image
from transformers import SamModel
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
from their_steps import TheirSteps
folder, photo, output, arguments = sys.argv[1:5]
arguments = json.loads(arguments)
steps = TheirSteps(
    SamModel.from_pretrained(folder, dtype=torch.float32),
    SamImageProcessorPil.from_pretrained(folder),
    arguments["filters"],
)
records = steps.everything(Image.open(photo), points_per_side=arguments["points_per_side"])
json.dump(records, open(output, "w"))
assert "anymask" not in sys.modules
"""


ABSENT = """
from {package} import SamModel
try:
    SamModel.from_pretrained("nobody/no-such-sam")
except OSError as error:
    print(error, flush=True)
"""
CLOSED_PORT = "http://127.0.0.1:9"


def timed_process(program: str, arguments: Sequence[Any], threads: int) -> tuple[float, float]:
    """Seconds that a process took, and seconds that processors worked for it."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def compare(benchmark: Benchmark, what: str, columns: dict[str, tuple], agreement: Callable[[], dict]) -> None:
    """Adds a row: each column's program and arguments run in turn, and what they wrote must agree."""
    runs: dict[str, list] = {name: [] for name in columns}
    for number in range(int(benchmark.options.smoke), 1 + benchmark.options.repeats):
        for name, (program, arguments) in columns.items():
            times = timed_process(program, arguments, torch.get_num_threads())
            runs[name] += [times] if number else []
        agreed = agreement()
    results = {
        name: {**spread([wall for wall, _ in times]), "cpu_seconds": median(busy for _, busy in times), "agreement": {}}
        for name, times in runs.items()
    }
    results["anymask"]["agreement"] = agreed
    benchmark.add_row(what, "seconds", results, size="nano", dtype="float32")


def our_records(work: Path) -> list[dict[str, Any]]:
    records = json.loads((work / f"{PHOTO.stem}_masks.json").read_text(encoding="utf-8"))["annotations"]
    return [{**record, "segmentation": coco_to_rle(record["segmentation"])} for record in records]


def compare_point(benchmark: Benchmark, folder: str, work: Path) -> None:
    x, y = POINT_XY

    def agreement() -> dict[str, float]:
        theirs = np.load(work / "theirs.npy")
        [record] = our_records(work)
        ours = rle_to_mask(record["segmentation"])
        iou = float((theirs & ours).sum() / (theirs | ours).sum())
        if iou < MIN_IOU:
            raise DisagreementError(f"the IoU must be at least {MIN_IOU}, got {iou:.4f}")
        return {"IoU": iou}

    columns = {
        "transformers": (THEIR_POINT, [folder, PHOTO, work / "theirs.npy", x, y]),
        # Without the checkpoint's clean-up, which Transformers has not.
        "anymask": (
            COMMAND,
            [*OURS, "--output", work, "--point", f"{x},{y}", "--max-hole-area", "0", "--max-sprinkle-area", "0"],
        ),
    }
    compare(benchmark, f"{SIZES['nano']}, one point", columns, agreement)


def compare_everything(benchmark: Benchmark, folder: str, work: Path) -> None:
    options = dict(SamConfig.from_pretrained(folder).mask_generation)
    side = benchmark.options.points_per_side or options["points_per_side"]
    filters = {name: options[name] for name in ("pred_iou_thresh", "stability_score_thresh")}
    theirs = work / "theirs.json"

    def agreement() -> dict[str, float]:
        records = json.loads(theirs.read_text(encoding="utf-8"))
        return same_masks(MIN_IOU)(records, our_records(work))

    arguments = json.dumps({"filters": filters, "points_per_side": side})
    columns = {
        "transformers": (THEIR_EVERYTHING, [folder, PHOTO, theirs, arguments, Path(__file__).parent]),
        "anymask": (COMMAND, [*OURS, "--output", work, "--points-per-side", side, *AS_TRANSFORMERS]),
    }
    compare(benchmark, f"{SIZES['nano']}, everything, {side} x {side} points", columns, agreement)


def seconds_until_said(program: str, work: str, threads: int) -> float:
    """Seconds from the start of a process to the first line that it writes, where no hub answers."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HOME": work, "HF_ENDPOINT": CLOSED_PORT}
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        process.stdout.read()
    if not line or process.returncode:
        raise DisagreementError("a checkpoint that is not there must be said, but the process said nothing")
    return seconds


def compare_absent(benchmark: Benchmark, work: str) -> None:
    packages = {"transformers": "transformers", "anymask": "anymask"}
    runs: dict[str, list[float]] = {name: [] for name in packages}
    for number in range(1 + benchmark.options.repeats):
        for name, package in packages.items():
            seconds = seconds_until_said(ABSENT.format(package=package), work, torch.get_num_threads())
            runs[name] += [seconds] if number else []
    results = {name: {**spread(seconds), "agreement": {}} for name, seconds in runs.items()}
    benchmark.add_row("a checkpoint that is not there, until it is said", "seconds", results)


def main() -> None:
    parser = option_parser(__doc__)
    parser.set_defaults(size=["nano"])
    parser.add_argument("--points-per-side", type=int, help="of the grid of points; by default the checkpoint's")
    parser.add_argument("--absent", action="store_true", help="a checkpoint that is not there instead")
    options = parse_options(parser, smoke=dict(points_per_side=6))
    if (options.size, options.dtype, options.device) != (["nano"], ["float32"], "cpu"):
        parser.error("this measures what starting costs beside a small model: nano, float32, on the processor, alone")
    absent = "How long does it take to say that a checkpoint is not there, where no hub answers?"
    present = "How long does a command take, from its start to the file with the masks?"
    benchmark = Benchmark("start", absent if options.absent else present, options)
    folder = str(resolve_checkpoint("sam-vit-nano"))
    with tempfile.TemporaryDirectory() as work:
        if options.absent:
            compare_absent(benchmark, work)
        else:
            compare_point(benchmark, folder, Path(work))
            compare_everything(benchmark, folder, Path(work))
    benchmark.finish()


if __name__ == "__main__":
    main()
