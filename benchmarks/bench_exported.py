"""How long do exported files take, beside the model that they were made from?

Three stages of sam-vit-nano, as `anymask export --layout anymask` writes it, in ONNX Runtime (`OnnxSamModel`) and in
OpenVINO (`OpenVinoSamModel`), both in float32: the image encoder; a click on an encoded photo, one point to the logits
of three masks at the photo's size; and everything, a grid of points on a photo. anymask's own column is `SamModel`.

    python benchmarks/bench_exported.py --threads 2
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from harness import SIZES, Benchmark, option_parser, parse_options, relative_error
from subjects import SAME_MASKS, Pair, load_pair, our_generator, photo
from their_steps import TheirSteps

from anymask.export.export import export
from anymask.export.runtime import OnnxSamModel, OpenVinoSamModel

MODELS = {"onnx": OnnxSamModel, "openvino": OpenVinoSamModel}
SIZE = "nano"


def exported(pair: Pair, folder: Path) -> dict[str, Pair]:
    """The pair with each of the exported models in the place of ours, by the name of its column."""
    pairs = {}
    for file_format, kind in MODELS.items():
        export(pair.ours, folder / file_format, preprocessor=pair.our_processor, file_format=file_format)
        pairs[kind.__name__] = replace(pair, ours=kind.from_pretrained(folder / file_format))
    return pairs


def clicked(pair: Pair, model: Any, processor: Any, image_size: list[int]) -> Callable[[], torch.Tensor]:
    """One point to three masks as logits of the photo's size; what a model prepares of an image is there."""
    sizes = [image_size], [list(pair.our_processor.geometry(image_size).resized_size_hw)]
    embedding, point = pair.embedding(), pair.points(1)
    prepared = embedding if model is pair.theirs else model.prepare_image(embedding)

    def click() -> torch.Tensor:
        output = model(image_embeddings=prepared, input_points=point)
        return processor.post_process_masks(output.pred_masks, *sizes, binarize=False)[0]

    return click


def compare(benchmark: Benchmark, pair: Pair, pairs: dict[str, Pair]) -> None:
    options, name = benchmark.options, SIZES[SIZE]
    facts: dict[str, Any] = dict(size=SIZE, dtype="float32")
    ours = {"anymask": pair, **pairs}

    side = pair.ours.config.vision_config.image_size
    pixels = pair.our_processor(photo((side * 3 // 4, side)), return_tensors="pt")["pixel_values"]
    columns = {"transformers": lambda: pair.theirs.get_image_embeddings(pixels)}
    columns |= {key: lambda each=each: each.ours.get_image_embeddings(pixels) for key, each in ours.items()}
    benchmark.compare(f"{name}, image encoder, 1 x {side} x {side}", columns, relative_error(1e-4), 3, **facts)

    columns = {"transformers": clicked(pair, pair.theirs, pair.their_processor, options.image_size)}
    columns |= {key: clicked(pair, each.ours, pair.our_processor, options.image_size) for key, each in ours.items()}
    height, width = options.image_size
    benchmark.compare(f"{name}, click, 3 x {height} x {width}", columns, relative_error(1e-4), 3, **facts)

    image, n = photo(options.photo_size), options.points_per_side
    filters = pair.filters(image)
    theirs = TheirSteps(pair.theirs, pair.their_processor, filters)
    generators = {key: our_generator(each, filters) for key, each in ours.items()}
    columns = {"transformers": lambda: theirs.everything(image, n)}
    columns |= {
        key: lambda generator=generator: generator.generate(image, points_per_side=n)
        for key, generator in generators.items()
    }
    benchmark.compare(f"{name}, everything, {n} x {n} points", columns, SAME_MASKS["float32"], **facts)


@torch.inference_mode()
def main() -> None:
    parser = option_parser(__doc__, repeats=5)
    parser.set_defaults(size=[SIZE])
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=[1200, 1800])
    parser.add_argument("--photo-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=[534, 800])
    parser.add_argument("--points-per-side", type=int, default=16, help="of the grid of everything")
    smoke = dict(image_size=[60, 90], photo_size=[90, 120], points_per_side=4)
    options = parse_options(parser, smoke=smoke)
    benchmark = Benchmark("exported", "How long do exported files take, beside the model they were made from?", options)
    benchmark.packages += ["onnxruntime", "openvino"]
    pair = load_pair(SIZE, "float32", "cpu")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(False):
        pairs = exported(pair, Path(folder))
        with torch.inference_mode():
            compare(benchmark, pair, pairs)
    benchmark.finish()


if __name__ == "__main__":
    main()
