"""How long does it take to make pixel_values of a large photo?

Resize, normalise, pad: from a decoded 12-megapixel photo (a Pillow image) to what the encoder takes. Transformers has
two image processors: one on Pillow, and one on torchvision, which is measured where torchvision is installed. So has
anymask, the second in plain torch; each is compared with its counterpart, or with Transformers' Pillow one.

    python benchmarks/bench_preprocessing.py --image-size 3000 4000
"""

import importlib.util

import torch
import transformers
from harness import Benchmark, DisagreementError, option_parser, parse_options
from subjects import photo, processor_sizes
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from anymask import SamImageProcessor, SamImageProcessorFast

OUR_CLASSES = {"Pillow": SamImageProcessor, "torch": SamImageProcessorFast}
MODEL_SIDES = {"vit_b": 1024, "vit_h": 1024, "nano": 320}
# Pixel values are about -2 to 2. The torch resize rounds where Pillow's does not.
MAX_DIFFERENCE = {"Pillow": 1e-3, "torch": 5e-2}


def same_values(max_difference: float):
    """Agreement of pixel values: their mean absolute difference."""

    def agreement(expected: torch.Tensor, result: torch.Tensor) -> dict[str, float]:
        if expected.shape != result.shape:
            raise DisagreementError(f"the shapes are {tuple(expected.shape)} and {tuple(result.shape)}")
        difference = float((expected - result).abs().mean())
        if not difference <= max_difference:
            raise DisagreementError(f"the mean difference must be at most {max_difference}, got {difference:.2g}")
        return {"mean difference": difference}

    return agreement


def their_counterparts() -> dict[str, tuple[str, type]]:
    """For each of anymask's backends the name and class of Transformers' image processor to compare it with."""
    pillow = ("Pillow", SamImageProcessorPil)
    if importlib.util.find_spec("torchvision") is None:
        return {"Pillow": pillow, "torch": pillow}
    return {"Pillow": pillow, "torch": ("torchvision", transformers.SamImageProcessor)}


def compare(benchmark: Benchmark, size: str, backend: str) -> None:
    image = photo(benchmark.options.image_size)
    their_backend, their_class = their_counterparts()[backend]
    sizes = processor_sizes(MODEL_SIDES[size])
    ours, theirs = OUR_CLASSES[backend](**sizes), their_class(**sizes)
    columns = {
        "transformers": lambda: theirs(image, return_tensors="pt")["pixel_values"],
        "anymask": lambda: ours(image, return_tensors="pt")["pixel_values"],
        **benchmark.peers("preprocessing", image, MODEL_SIDES[size]),
    }
    what = f"{image.height} x {image.width} to {MODEL_SIDES[size]}, {backend}, transformers with {their_backend}"
    benchmark.compare(what, columns, same_values(MAX_DIFFERENCE[backend]), size=size, backend=backend)


def main() -> None:
    parser = option_parser(__doc__, repeats=10)
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=[3000, 4000])
    options = parse_options(parser, smoke=dict(image_size=[60, 80]))
    benchmark = Benchmark("preprocessing", "How long does it take to make pixel_values of a large photo?", options)
    for size in options.size:
        for backend in OUR_CLASSES:
            compare(benchmark, size, backend)
    benchmark.finish()


if __name__ == "__main__":
    main()
