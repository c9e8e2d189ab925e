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
