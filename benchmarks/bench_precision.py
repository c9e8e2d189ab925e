"""How near are masks in bfloat16, and with the image encoder in 8 bits, and how long do they take?

From the photos of examples/ to the masks of a grid of clicks on each, three masks for a click, as booleans of the
photo's size. Transformers computes in float32 in every row; anymask as the row says, where int8 is the encoder alone.
ViT-B has random weights, for which nearness means nothing: the default is sam-vit-nano.

    python benchmarks/bench_precision.py --dtype int8 --points-per-side 16
"""

from harness import DTYPES, SIZES, Benchmark, DisagreementError, option_parser, parse_options
from PIL import Image
from subjects import PHOTOS, Pair, load_pair
from torch import Tensor

MIN_MEAN_IOU = {"float32": 0.999, "bfloat16": 0.98, "int8": 0.95}


def near_masks(min_mean_iou: float):
    """Agreement of boolean masks (P, 3, H, W): their mean IoU, where two empty masks are the same, and the lowest."""

    def agreement(expected: Tensor, result: Tensor) -> dict[str, float]:
        intersections = (expected & result).sum(dim=(-2, -1))
        unions = (expected | result).sum(dim=(-2, -1))
        ious = (intersections / unions.clamp(min=1)).masked_fill(unions == 0, 1)
        if not ious.mean() >= min_mean_iou:
            raise DisagreementError(f"the mean IoU must be at least {min_mean_iou}, got {ious.mean():.4f}")
        return {"mean IoU": float(ious.mean()), "lowest": float(ious.min())}

    return agreement


def masks(pair: Pair, image: Image.Image, points_per_side: int, theirs: bool = False) -> Tensor:
    """(P, 3, H, W) of a model of the pair, at the size of the image; resizing is the same for both models."""
    logits, _ = pair.decoded(image, points_per_side, theirs)
    geometry = pair.our_processor.geometry((image.height, image.width))
    sizes = [geometry.original_size_hw], [geometry.resized_size_hw]
    return pair.our_processor.post_process_masks(logits[None], *sizes)[0]


def compare(benchmark: Benchmark, size: str, dtype: str) -> None:
    device, points_per_side = benchmark.options.device, benchmark.options.points_per_side
    reference, pair = (load_pair(size, each, device) for each in ("float32", dtype))
    for path in PHOTOS[: benchmark.options.photos]:
        image = Image.open(path).convert("RGB")
        columns = {
            "transformers": lambda image=image: masks(reference, image, points_per_side, theirs=True),
            "anymask": lambda image=image: masks(pair, image, points_per_side),
        }
        what = f"{SIZES[size]}, {dtype}, {path.name}, {points_per_side} x {points_per_side} clicks"
        benchmark.compare(what, columns, near_masks(MIN_MEAN_IOU[dtype]), size=size, dtype=dtype)


def main() -> None:
    parser = option_parser(__doc__, dtypes=list(DTYPES))
    parser.set_defaults(size=["nano"], dtype=list(DTYPES))
    parser.add_argument("--points-per-side", type=int, default=8, help="of the grid of clicks")
    parser.add_argument("--photos", type=int, default=len(PHOTOS), help="of examples/, so many")
    options = parse_options(parser, smoke=dict(dtype=["float32"], points_per_side=2, photos=1))
    question = "How near are masks in bfloat16, and with the image encoder in 8 bits, and how long do they take?"
    benchmark = Benchmark("precision", question, options)
    for size in options.size:
        for dtype in options.dtype:
            compare(benchmark, size, dtype)
    benchmark.finish()


if __name__ == "__main__":
    main()
