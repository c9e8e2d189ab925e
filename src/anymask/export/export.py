"""`export`: a model as files that other tools load, each compared with PyTorch before it is called done."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..images.preparation import ImagePreprocessor
from ..modeling.network import SamNetwork
from ..support.atomic_files import whole_folder
from ..support.unknown_names import did_you_mean
from .layouts import LAYOUTS, SUFFIXES, GraphFile, write_companions
from .onnx_files import add_resize, import_onnx, make_onnx, with_fewer_bits

EXAMPLE = (2, 3, 4)
"""Images, prompts and points of the example that a graph is made from."""

CHECKED = ((1, 1, 1), (3, 2, 7))
"""Those of the inputs with which the file is compared with PyTorch afterwards: others, so that nothing is frozen."""

TOLERANCES = {"fp32": 1e-3, "fp16": 3e-2, "int8": 0.25}
"""How far an output may be off, as a part of its largest value."""


class ExportError(RuntimeError):
    """An exported file does not compute what the model does."""


def export(
    model: SamNetwork,
    folder: str | os.PathLike[str],
    *,
    preprocessor: ImagePreprocessor,
    layout: str = "anymask",
    precision: str = "fp32",
) -> dict[str, Any]:
    """Write a model as ONNX files, and compare each with PyTorch on sizes other than those it was made from.

    Args:
        model: A `SamModel`, computed in float32 on the CPU; it is not changed.
        folder: For the files; appears whole or not at all.
        preprocessor: The model's image processor.
        layout: Of `LAYOUTS`: "anymask" for `OnnxSamModel`, "meta", "osam" (labelme), "transformers.js" or
            "x-anylabeling".
        precision: "fp32", "fp16", or "int8" for the encoder's weights.

    Returns:
        What `export.json` in the folder says: layout, precision, and for each file how far it is off.

    Raises:
        ExportError: If a file is off by more than `TOLERANCES`; nothing is written then.
        ImportError: If onnx, onnxscript or onnxruntime is not installed.
        ValueError: If there is no such layout or precision, or the model is not float32 on the CPU.
    """
    for name, value, known in (("layout", layout, LAYOUTS), ("precision", precision, SUFFIXES)):
        if value not in known:
            hint = did_you_mean(value, known, otherwise=f"there are {', '.join(known)}")
            raise ValueError(f"`{name}` must be one of those that can be written, got {value!r}; {hint}.")
    if model.dtype != torch.float32 or model.device.type != "cpu":
        raise ValueError(
            f"The model must be float32 on the CPU, got {model.dtype} on {model.device}; use .float().cpu()."
        )
    onnx = import_onnx()
    was_training = model.training
    model.eval()
    report: dict[str, Any] = {"anymask": __version__, "layout": layout, "precision": precision, "files": {}}
    try:
        with whole_folder(Path(folder)) as unfinished:
            for file in LAYOUTS[layout](model, preprocessor, SUFFIXES[precision]):
                path = unfinished / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                onnx.save(_make(file, precision, model.config.vision_config.image_size, path.parent), path)
                report["files"][file.path] = _check(file, path, precision)
            write_companions(layout, unfinished, model, preprocessor)
            (unfinished / "export.json").write_text(json.dumps(report, indent=2) + "\n")
    finally:
        model.train(was_training)
    return report


def _make(file: GraphFile, precision: str, input_side: int, folder: Path) -> Any:
    made = make_onnx(file.graph, file.make_inputs(*EXAMPLE), file.outputs, file.dynamic)
    if file.resizes:
        made = add_resize(made, input_side)
    return with_fewer_bits(made, precision if file.is_encoder or precision != "int8" else "fp32", folder)


@torch.no_grad()
def _check(file: GraphFile, path: Path, precision: str) -> dict[str, float]:
    """How far each output is off at the most, as a part of its largest value."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    errors = dict.fromkeys(file.outputs, 0.0)
    for seed, size in enumerate(CHECKED):
        torch.manual_seed(seed)
        inputs = file.make_inputs(*size)
        expected = file.graph(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
        if file.resizes:
            feeds["orig_im_size"] = np.array([30.0, 50.0], dtype=np.float32)
        found = session.run(list(file.outputs), feeds)
        for name, right, value in zip(file.outputs, expected, found, strict=True):
            if value.shape != tuple(right.shape):
                raise ExportError(f"{name} of {path.name} must have shape {tuple(right.shape)}, got {value.shape}.")
            off = float(np.abs(value - right.numpy()).max() / max(float(right.abs().max()), 1e-6))
            errors[name] = max(errors[name], off)
    worst = max(errors, key=lambda name: errors[name])
    if not errors[worst] <= TOLERANCES[precision]:
        raise ExportError(
            f"{path.name} in {precision} must be within {TOLERANCES[precision]} of PyTorch, but {worst} is off by "
            f"{errors[worst]:.3g} of its largest value; nothing was written."
        )
    return errors
