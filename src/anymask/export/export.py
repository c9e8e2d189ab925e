"""`export`: a model as files that other tools load, each compared with PyTorch before it is called done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..images.preparation import ImagePreprocessor
from ..modeling.network import SamNetwork
from ..predictor.sources import open_source
from ..support.atomic_files import whole_folder, write_json
from ..support.unknown_names import check_known_name
from .checks import ExportError, as_arrays, mask_agreement, output_errors
from .engines import ENGINES, FORMATS, import_openvino
from .fewer_bits import smoothed, with_fewer_bits
from .layouts import LAYOUTS, SUFFIXES, GraphFile, write_companions
from .onnx_files import add_resize, import_onnx, make_onnx, save_as_openvino

EXAMPLE = (2, 3, 4)
"""Images, prompts and points of the example that a graph is made from."""

TOLERANCES = {"fp32": 1e-3, "fp16": 3e-2, "int8": 0.25, "int8-static": 0.25}
"""How far an output may be off, as a part of its largest value; with samples, masks judge encoders of 8 bits."""

LEAST_MASK_IOU = 0.98
"""Of masks of the samples, on average."""

FORMATS_OF = {"anymask": tuple(FORMATS), "meta": tuple(FORMATS)}
"""The formats of a layout; the tools that the others are for load ONNX alone."""


def export(
    model: SamNetwork,
    folder: str | os.PathLike[str],
    *,
    preprocessor: ImagePreprocessor,
    layout: str = "anymask",
    file_format: str = "onnx",
    precision: str = "fp32",
    samples: Any = None,
) -> dict[str, Any]:
    """Write a model as ONNX or OpenVINO files, and compare each with PyTorch on sizes other than it was made from.

    Args:
        model: A `SamModel`, computed in float32 on the CPU; it is not changed.
        folder: For the files; appears whole or not at all.
        preprocessor: The model's image processor.
        layout: Of `LAYOUTS`: "anymask" for `OnnxSamModel` and `OpenVinoSamModel`, "meta", "osam" (labelme),
            "transformers.js" or "x-anylabeling".
        file_format: "onnx", or "openvino" in the layouts "anymask" and "meta".
        precision: "fp32"; "fp16"; "int8" for the weights of the encoder, whose activations are brought to 8 bits as
            they come; or "int8-static" for activations as well, whose ranges are taken from the samples.
        samples: Photographs, as `SAM.predict` takes them: a folder, a glob, a list. With them, masks of clicks on them
            must agree with the model's.

    Returns:
        What `export.json` in the folder says: layout, format, precision, for each file how far it is off, and for
        encoders, with samples, how much masks agree.

    Raises:
        ExportError: If a file is off by more than `TOLERANCES`, or masks agree less than `LEAST_MASK_IOU`; nothing is
            written then.
        ImportError: If onnx, onnxscript or onnxruntime is not installed, or openvino for its files.
        ValueError: If there is no such layout, format or precision, the model is not float32 on the CPU, or samples are
            missing.
    """
    _check_can_be_written(layout, file_format, precision)
    if model.dtype != torch.float32 or model.device.type != "cpu":
        raise ValueError(
            f"The model must be float32 on the CPU, got {model.dtype} on {model.device}; use .float().cpu()."
        )
    photos = [] if samples is None else [image.load() for image in open_source(samples).images]
    if precision == "int8-static" and not photos:
        raise ValueError("`samples` must be photographs to take ranges from in the precision 'int8-static', got none.")
    import_onnx()
    if file_format == "openvino":
        import_openvino()
    was_training = model.training
    model.eval()
    report: dict[str, Any] = {"anymask": __version__, "layout": layout, "format": file_format, "precision": precision}
    report |= {"files": {}, "masks": {}}
    try:
        made_from = model
        if precision == "int8-static":
            made_from = smoothed(model, (preprocessor(photo, return_tensors="pt")["pixel_values"] for photo in photos))
        made, right = (LAYOUTS[layout](network, preprocessor, SUFFIXES[precision]) for network in (made_from, model))
        with whole_folder(Path(folder)) as unfinished:
            for to_write, file in zip(made, right, strict=True):
                path = unfinished / f"{file.name}{FORMATS[file_format]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(to_write, path, precision, model.config.vision_config.image_size, photos=photos)
                _check(model, file, path, report, photos=photos, preprocessor=preprocessor)
            write_companions(layout, unfinished, model, preprocessor)
            write_json(unfinished / "export.json", report)
    finally:
        model.train(was_training)
    return report


def _check_can_be_written(layout: str, file_format: str, precision: str) -> None:
    for name, value, known in (
        ("layout", layout, LAYOUTS),
        ("file_format", file_format, FORMATS_OF.get(layout, ("onnx",))),
        ("precision", precision, SUFFIXES),
    ):
        of_layout = f" in the layout {layout!r}" if name == "file_format" else ""
        check_known_name(value, known, f"`{name}` must be one of those that can be written{of_layout}")


def _write(file: GraphFile, path: Path, precision: str, input_side: int, photos: Sequence[Any]) -> None:
    """Make a file, by way of ONNX."""
    is_openvino = path.suffix == FORMATS["openvino"]
    if precision.startswith("int8") and file.of_photo is None:
        precision = "fp32"  # decoders are small and lose more
    made = make_onnx(file.graph, file.make_inputs(*EXAMPLE), file.outputs, file.dynamic)
    if file.resizes:
        made = add_resize(made, input_side)
    if precision != "fp32" and not (is_openvino and precision == "fp16"):
        samples = [as_arrays(file.of_photo(photo)) for photo in photos] if file.of_photo else []
        made = with_fewer_bits(made, precision, path.parent, samples)
    if is_openvino:
        save_as_openvino(made, path, in_fp16=precision == "fp16")
    else:
        import_onnx().save(made, path)


def _check(
    model: SamNetwork,
    file: GraphFile,
    path: Path,
    report: dict[str, Any],
    *,
    photos: Sequence[Any],
    preprocessor: ImagePreprocessor,
) -> None:
    """Add to the report what a file is off by.

    Raises:
        ExportError: If that is too much.
    """
    precision, engine = report["precision"], ENGINES[report["format"]](path)
    name = path.name if path.parent.name != "onnx" else f"onnx/{path.name}"
    errors = report["files"][name] = output_errors(file, engine)
    worst = max(errors, key=lambda output: errors[output])
    masks_judge = bool(photos) and file.of_photo is not None
    if not errors[worst] <= TOLERANCES[precision] and not (masks_judge and precision.startswith("int8")):
        raise ExportError(
            f"{name} in {precision} must be within {TOLERANCES[precision]} of PyTorch, but {worst} is off by "
            f"{errors[worst]:.3g} of its largest value; nothing was written."
        )
    if not masks_judge:
        return
    agreement = mask_agreement(model, file, engine, photos, preprocessor=preprocessor)
    report["masks"][name] = asdict(agreement)
    if not agreement.mean_iou >= LEAST_MASK_IOU:
        raise ExportError(
            f"Masks of {name} in {precision} must agree with PyTorch's with a mean IoU of {LEAST_MASK_IOU}, but "
            f"{agreement.masks} on the samples have {agreement.mean_iou:.3f}; nothing was written."
        )
