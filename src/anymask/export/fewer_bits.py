"""ONNX models in 16 and 8 bits, and a model whose activations lose less in 8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..modeling.image_encoder import VisionLayer
from ..modeling.network import SamNetwork
from .onnx_files import import_onnx, quiet

SMOOTHING = 0.5
"""How much of the spread of activations goes to the weights: half is what the paper recommends."""


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
        with quiet(None):  # advice about a step that changes nothing here
            if precision == "int8":
                quantize_dynamic(before, after, **options)
            else:
                options |= {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "per_channel": True}
                # Products of weights, as above; what comes out of them is not brought to 8 bits once more.
                products = options["op_types_to_quantize"]
                options["extra_options"] = {
                    "MatMulConstBOnly": True,
                    "OpTypesToExcludeOutputQuantization": products,
                }
                quantize_static(before, after, _Samples(samples), **options)
        return onnx.load(after)
    finally:
        for path in (before, after):
            path.unlink(missing_ok=True)


class _Samples:
    """Samples as ONNX Runtime's calibration reads them."""

    def __init__(self, samples: Sequence[Mapping[str, np.ndarray]]):
        self._samples = iter(samples)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._samples, None)


@torch.no_grad()
def smoothed(network: SamNetwork, batches: Iterable[Tensor]) -> SamNetwork:
    """A copy of the model that computes the same, but channels of its encoder's activations differ less in range.

    A few channels after a layer norm are many times larger than the others, which then share what is left of 8 bits.
    The norm makes each channel smaller by a factor, and the weights that it meets are larger by the same one. Source:
    SmoothQuant (https://arxiv.org/abs/2211.10438).

    Args:
        network: The model.
        batches: Pixel values (batch, 3, S, S) whose activations are measured.
    """
    network = deepcopy(network)
    follows: dict[nn.Module, nn.Linear] = {}
    for layer in cast(Iterable[VisionLayer], network.vision_encoder.layers):
        follows |= {layer.layer_norm1: layer.attn.qkv, layer.layer_norm2: layer.mlp.lin1}
    largest: dict[nn.Module, Tensor] = {}

    def measure(norm: nn.Module, inputs: Any, output: Tensor) -> None:
        peaks = output.abs().flatten(0, -2).amax(dim=0)
        largest[norm] = torch.maximum(largest.get(norm, peaks), peaks)

    hooks = [norm.register_forward_hook(measure) for norm in follows]
    for pixel_values in batches:
        network.get_image_embeddings(pixel_values)
    for hook in hooks:
        hook.remove()
    for norm, linear in follows.items():
        of_weights = linear.weight.abs().amax(dim=0).clamp(min=1e-5)
        factor = largest[norm].clamp(min=1e-5) ** SMOOTHING / of_weights ** (1 - SMOOTHING)
        for parameter in norm.parameters():
            parameter.div_(factor)
        linear.weight.mul_(factor)
    return network
