"""Graphs to ONNX: any number of images, prompts and points; the resize to the original image; fewer bits; OpenVINO."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .engines import import_openvino

OPSET = 18
_INSTALL = "which is not installed; run pip install 'anymask[onnx]'"


def import_onnx() -> Any:
    """The package `onnx`.

    Raises:
        ImportError: If it, or what PyTorch's exporter needs beside it, is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"ONNX files need onnx, onnxscript and onnxruntime, one of {_INSTALL}.") from error
    return onnx


def make_onnx(
    graph: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Sequence[int]],
) -> Any:
    """Make an ONNX model of a graph.

    Args:
        graph: A module that takes the inputs by position.
        inputs: An example of each, by name, in order; what varies must be 2 or more in it.
        outputs: Names of the outputs.
        dynamic: Which axes of which inputs may have any length.

    Returns:
        `onnx.ModelProto`, with its weights inside.
    """
    import_onnx()
    shapes = tuple(dict.fromkeys(dynamic.get(name, ()), torch.export.Dim.DYNAMIC) for name in inputs)
    # The fused attention's memory layout is not what its replacement in the graph has. The exporter says that
    # torchvision's operators are not there, which no graph of ours uses.
    with _quiet("torch.onnx"), warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def add_resize(model: Any, input_side: int) -> Any:
    """Add `orig_im_size` (2,) as an input and `masks` at that size as the first output, as Meta's decoder has them.

    Args:
        model: With the output `low_res_masks`.
        input_side: Side of the model's input, which the longer side of the image was brought to.
    """
    onnx = import_onnx()
    resize = onnx.parser.parse_model(
        f"""
        <ir_version: {model.ir_version}, opset_import: ["" : {OPSET}]>
        resize (float[1, n, h, w] low_res, float[2] orig_im_size) => (float[1, n, height, width] masks) {{
          side = Constant <value = float[1] {{{float(input_side)}}}> ()
          half = Constant <value = float[1] {{0.5}}> ()
          sides = Constant <value = int64[2] {{{input_side}, {input_side}}}> ()
          zero = Constant <value = int64[1] {{0}}> ()
          two = Constant <value = int64[1] {{2}}> ()
          corner = Constant <value = int64[2] {{0, 0}}> ()
          axes = Constant <value = int64[2] {{2, 3}}> ()
          longest = ReduceMax <keepdims = 1> (orig_im_size)
          scale = Div (side, longest)
          scaled = Mul (orig_im_size, scale)
          shifted = Add (scaled, half)
          rounded = Floor (shifted)
          filled = Cast <to = 7> (rounded)
          shape = Shape (low_res)
          first = Slice (shape, zero, two)
          padded_size = Concat <axis = 0> (first, sides)
          padded = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (low_res, , , padded_size)
          cropped = Slice (padded, corner, filled, axes)
          original = Cast <to = 7> (orig_im_size)
          size = Concat <axis = 0> (first, original)
          masks = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (cropped, , , size)
        }}
        """
    )
    resize = onnx.compose.add_prefix(
        resize, "resize_", rename_inputs=False, rename_outputs=False, rename_nodes=True, rename_edges=True
    )
    merged = onnx.compose.merge_models(
        model,
        resize,
        io_map=[("low_res_masks", "low_res")],
        outputs=["masks", "iou_predictions", "low_res_masks"],
    )
    by_name = {output.name: output for output in merged.graph.output}
    ordered = [by_name[name] for name in ("masks", "iou_predictions", "low_res_masks")]
    del merged.opset_import[:]  # one for each of the two
    merged.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    del merged.graph.output[:]
    merged.graph.output.extend(ordered)
    onnx.checker.check_model(merged)
    return merged


def with_fewer_bits(model: Any, precision: str, folder: Path, samples: Sequence[Mapping[str, np.ndarray]]) -> Any:
    """The model in fewer bits; its inputs and outputs stay float32.

    Args:
        model: `onnx.ModelProto`.
        precision: "fp16", "int8" for the weights of products, or "int8-static" for what they are multiplied with too.
        folder: For files on the way.
        samples: Inputs that "int8-static" takes the ranges of activations from.

    Raises:
        ValueError: If there is no such precision.
    """
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        return convert_float_to_float16(model, keep_io_types=True)
    if precision not in ("int8", "int8-static"):
        raise ValueError(f"`precision` must be fp16, int8 or int8-static, got {precision!r}.")
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    onnx = import_onnx()
    before, after = folder / ".before.onnx", folder / ".after.onnx"
    options: dict[str, Any] = {"weight_type": QuantType.QInt8, "op_types_to_quantize": ["MatMul", "Gemm"]}
    try:
        onnx.save(model, before)
        with _quiet(None):  # advice about a step that changes nothing here
            if precision == "int8":
                quantize_dynamic(before, after, **options)
            else:
                options |= {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "per_channel": True}
                options["extra_options"] = {"MatMulConstBOnly": True}  # products of weights, as above
                quantize_static(before, after, _Samples(samples), **options)
        return onnx.load(after)
    finally:
        for path in (before, after):
            path.unlink(missing_ok=True)


def save_as_openvino(model: Any, path: Path, in_fp16: bool = False) -> None:
    """Write an ONNX model as OpenVINO's file: what ends in .xml, and the weights beside it in what ends in .bin.

    Args:
        model: `onnx.ModelProto`.
        path: Of the file that ends in .xml.
        in_fp16: Whether the weights are stored in float16.

    Raises:
        ImportError: If OpenVINO is not installed.
    """
    openvino, between = import_openvino(), path.with_name(".between.onnx")
    try:
        import_onnx().save(model, between)
        # `openvino.convert_model` would do the same, and tell its makers over the network that it was called.
        openvino.save_model(openvino.Core().read_model(between), path, compress_to_fp16=in_fp16)
    finally:
        between.unlink(missing_ok=True)


class _Samples:
    """Samples as ONNX Runtime's calibration reads them."""

    def __init__(self, samples: Sequence[Mapping[str, np.ndarray]]):
        self._samples = iter(samples)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._samples, None)


@contextmanager
def _quiet(name: str | None) -> Iterator[None]:
    """Let a logger, None for the root, say errors only."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
