"""Graphs to ONNX: any number of images, prompts and points; the resize to the original image; OpenVINO's files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    with quiet("torch.onnx"), warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH), torch.no_grad():
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
    # Its own names begin with "resize_", so that none is a name of the model.
    resize = onnx.parser.parse_model(
        f"""
        <ir_version: {model.ir_version}, opset_import: ["" : {OPSET}]>
        resize (float[1, n, h, w] low_res, float[2] orig_im_size) => (float[1, n, height, width] masks) {{
          resize_side = Constant <value = float[1] {{{float(input_side)}}}> ()
          resize_half = Constant <value = float[1] {{0.5}}> ()
          resize_sides = Constant <value = int64[2] {{{input_side}, {input_side}}}> ()
          resize_zero = Constant <value = int64[1] {{0}}> ()
          resize_two = Constant <value = int64[1] {{2}}> ()
          resize_corner = Constant <value = int64[2] {{0, 0}}> ()
          resize_axes = Constant <value = int64[2] {{2, 3}}> ()
          resize_longest = ReduceMax <keepdims = 1> (orig_im_size)
          resize_scale = Div (resize_side, resize_longest)
          resize_scaled = Mul (orig_im_size, resize_scale)
          resize_shifted = Add (resize_scaled, resize_half)
          resize_rounded = Floor (resize_shifted)
          resize_filled = Cast <to = 7> (resize_rounded)
          resize_shape = Shape (low_res)
          resize_first = Slice (resize_shape, resize_zero, resize_two)
          resize_padded_size = Concat <axis = 0> (resize_first, resize_sides)
          resize_padded = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel">
            (low_res, , , resize_padded_size)
          resize_cropped = Slice (resize_padded, resize_corner, resize_filled, resize_axes)
          resize_original = Cast <to = 7> (orig_im_size)
          resize_size = Concat <axis = 0> (resize_first, resize_original)
          masks = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel">
            (resize_cropped, , , resize_size)
        }}
        """
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


@contextmanager
def quiet(name: str | None) -> Iterator[None]:
    """Let a logger, None for the root, say errors only."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
