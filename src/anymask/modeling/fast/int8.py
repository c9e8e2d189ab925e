"""The image encoder in 8 bits on a CPU: a quarter of the weights' memory, less time, masks that are nearly the same.

Opt-in, for one thing is given up: results are not exact any more. Every linear layer of the encoder holds whole numbers
and one factor per output channel; its input becomes whole numbers too, with one factor per token, found as it runs. So
nothing needs calibration data, and an image's embedding does not depend on what else is computed with it. The rest of
the encoder, the prompt encoder and the mask decoder stay as they are.

Weights take 7 of the 8 bits, up to `WEIGHT_STEPS`: processors without VNNI instructions add two products in 16 bits and
cut off what is beyond. So the products are whole numbers without error, on every processor the same.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

WEIGHT_STEPS = 64  # 2 * 64 * 255 fits 16 bits; oneDNN moves tokens of -127..127 to 1..255
TOKEN_STEPS = 127
_SMALLEST = torch.finfo(torch.float32).tiny  # factors of rows of zeros are above 0

Model = TypeVar("Model", bound=nn.Module)


class QuantizedLinear(nn.Module):
    """What `nn.Linear` computes, from whole numbers, in inference on a CPU.

    Attributes:
        weight: (output channels, input channels) int8, within +-`WEIGHT_STEPS`.
        scale: (output channels,), what one step of a row of `weight` is worth.
        bias: (output channels,) or None.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        numbers, scale = _to_steps(linear.weight.detach().float(), WEIGHT_STEPS)
        # A parameter, though it cannot be trained: it counts as many as the layer had.
        self.weight = nn.Parameter(numbers, requires_grad=False)
        self.register_buffer("scale", scale.squeeze(-1))
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().clone(), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """(..., input channels) to (..., output channels), in the type of `features`.

        Raises:
            ValueError: If `features` are not on a CPU, or a gradient is to pass.
        """
        if features.device.type != "cpu" or (torch.is_grad_enabled() and features.requires_grad):
            came = "with a gradient to pass" if features.device.type == "cpu" else f"on {features.device}"
            raise ValueError(
                f"An image encoder in 8 bits must run on the CPU and without gradients, got features {came}; for that "
                "load the model again and leave it as it is."
            )
        tokens, scale = _to_steps(features.flatten(0, -2).float(), TOKEN_STEPS)
        products = torch.ops.onednn.qlinear_pointwise(
            tokens,
            *(1.0, 0),  # the factor of all tokens and their zero
            torch.ops.onednn.qlinear_prepack(self.weight, None),  # takes a hundredth of the time, and no memory
            self.scale.float(),
            torch.zeros(self.out_features, dtype=torch.int32),  # the zeros of the weights
            None,
            *(1.0, 0, torch.float32),  # the factor of the output, its zero, its type
            *("none", [], ""),  # nothing is done to it
        ).mul_(scale)
        if self.bias is not None:
            products += self.bias
        return products.to(features.dtype).unflatten(0, features.shape[:-1])

    def extra_repr(self) -> str:
        """The sizes, as `nn.Linear` shows them."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def quantize_image_encoder(model: Model) -> Model:
    """Turn the linear layers of a model's image encoder into 8-bit ones, in place.

    The loss and the gain, measured, are in docs/lab-book.md. The encoder is frozen: mask decoder and prompt encoder
    may be trained on what it computes. Its fingerprint is another, so that image embeddings of the two are not mixed;
    its weights cannot be saved, for no other code could read them.

    Args:
        model: a `SamModel` or a `SamVisionModel`, on the CPU, in any floating type.

    Returns:
        The same model.

    Raises:
        ValueError: If the model is not on a CPU.
        RuntimeError: If this PyTorch comes without oneDNN, whose products these are.

    Examples:
        >>> from anymask import SAM, quantize_image_encoder
        >>> sam = SAM("sam-vit-nano", device="cpu", dtype="float32")
        >>> quantized = quantize_image_encoder(sam.model)
    """
    encoder: Any = model.vision_encoder
    devices = {parameter.device.type for parameter in encoder.parameters()}
    if devices != {"cpu"}:
        raise ValueError(
            f"The image encoder must be on the CPU to be quantised, got {', '.join(sorted(devices))}; elsewhere use "
            "dtype='bfloat16' or 'float16'."
        )
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_prepack")):
        raise RuntimeError("PyTorch must come with oneDNN to compute in 8 bits, but this build has none; use float32.")
    encoder.requires_grad_(False)
    for parent in list(encoder.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:  # others do more than that
                setattr(parent, name, QuantizedLinear(child))
    return model


def check_not_quantized(model: nn.Module) -> None:
    """Refuse to save a model with 8-bit layers.

    Raises:
        ValueError: If it has any.
    """
    if any(isinstance(module, QuantizedLinear) for module in model.modules()):
        raise ValueError(
            "The model must have its own weights to be saved, but its image encoder is quantised to 8 bits; save the "
            "model from which it was made, and quantise that again after loading."
        )


def _to_steps(rows: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Each row in whole steps of its own size.

    Args:
        rows: (rows, channels) float32.
        steps: that the largest value of a row is away from 0.

    Returns:
        (rows, channels) int8, and what a step of each row is worth, (rows, 1) float32.
    """
    largest = torch.maximum(rows.amax(-1, keepdim=True), -rows.amin(-1, keepdim=True))  # abs() would copy all
    scale = largest.clamp_min(_SMALLEST) / steps
    return (rows / scale).round_().to(torch.int8), scale
