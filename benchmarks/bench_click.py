"""How long does it take from a click to the mask, once the image is encoded?

One point on a photo, with the image embedding ready: prompt encoder, mask decoder, and the masks at the size of the
photo as booleans; three masks, as for an ambiguous click, or one. What anymask prepares of an image is there, as in a
session; "first" rows give the embedding alone. ViT-B has random weights, sam-vit-nano its own; embeddings are noise,
which costs as much as any other.

    python benchmarks/bench_click.py --image-size 3000 4000
"""

from itertools import cycle

import torch
from harness import SIZES, Benchmark, DisagreementError, option_parser, parse_options
from subjects import Pair, load_pair

MAX_DIFFERING = {"float32": 1e-3, "bfloat16": 5e-2}


def same_pixels(max_differing: float):
    """Agreement of boolean masks: the share of pixels that differ. The masks of noise have borders everywhere."""

    def agreement(expected: torch.Tensor, result: torch.Tensor) -> dict[str, float]:
        if expected.shape != result.shape:
            raise DisagreementError(f"the shapes are {tuple(expected.shape)} and {tuple(result.shape)}")
        differing = float((expected != result).float().mean())
        if differing > max_differing:
            raise DisagreementError(f"at most {max_differing} of the pixels may differ, got {differing:.2g}")
        return {"pixels that differ": differing}

    return agreement


def compare(benchmark: Benchmark, pair: Pair, size: str, dtype: str, multimask_output: bool, is_first: bool) -> None:
    height, width = benchmark.options.image_size
    embedding, point = pair.embedding(), pair.points(1)
    embeddings = [embedding, embedding.roll(1, 2)] if is_first else [embedding]
    prepared = embeddings if is_first else [pair.ours.prepare_image(embedding)]
    next_for = {"theirs": cycle(embeddings), "ours": cycle(prepared)}
    sizes = [[height, width]], [list(pair.our_processor.geometry((height, width)).resized_size_hw)]

    def theirs() -> torch.Tensor:
        output = pair.theirs(
            image_embeddings=next(next_for["theirs"]),
            input_points=point.to(pair.dtype),
            multimask_output=multimask_output,
        )
        return pair.their_processor.post_process_masks(output.pred_masks, *sizes)[0]

    def ours() -> torch.Tensor:
        output = pair.ours(
            image_embeddings=next(next_for["ours"]), input_points=point, multimask_output=multimask_output
        )
        return pair.our_processor.post_process_masks(output.pred_masks, *sizes)[0]

    peers = benchmark.peers("click", pair, embedding, point, *sizes, multimask_output)
    what = f"{SIZES[size]}, {dtype}, {3 if multimask_output else 1} x {height} x {width}{', first' if is_first else ''}"
    columns = {"transformers": theirs, "anymask": ours, **peers}
    benchmark.compare(what, columns, same_pixels(MAX_DIFFERING[dtype]), warm_ups=3, size=size, dtype=dtype)


@torch.inference_mode()
def main() -> None:
    parser = option_parser(__doc__, repeats=20)
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=[1200, 1800])
    options = parse_options(parser, smoke=dict(image_size=[60, 90]))
    benchmark = Benchmark(
        "click", "How long does it take from a click to the mask, once the image is encoded?", options
    )
    for size in options.size:
        for dtype in options.dtype:
            pair = load_pair(size, dtype, options.device)
            for multimask_output, is_first in ((True, False), (False, False), (True, True)):
                compare(benchmark, pair, size, dtype, multimask_output, is_first)
    benchmark.finish()


if __name__ == "__main__":
    main()
