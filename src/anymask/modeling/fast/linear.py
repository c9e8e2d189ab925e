"""Which matrix product the image encoder's linear layers run through: measured on the processor at hand.

`nn.Linear` calls one library, oneDNN is another; which is faster differs by processor, up to twice, and does not follow
from the processor's name. So both are timed, once per process and number of threads, when the first large layer runs.
What comes out is the same up to rounding, and wherever anything but plain inference in float32 goes on, `nn.Linear` is
what runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TypeGuard, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

MIN_ROWS, MIN_WEIGHTS = 256, 256 * 256
"""Below these a product is too small for a difference to matter."""
WORTH_A_CHANGE = 1.15
"""How many times faster oneDNN must be; less may be chance."""
_MEASURED_ROWS, _MEASURED_CHANNELS, _ROUNDS = 1024, 768, 4
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def linear(layer: nn.Module, features: Tensor) -> Tensor:
    """`layer(features)`, by the faster product.

    Args:
        layer: an `nn.Linear`, or what stands in its place: an adapted, a quantised, a hooked layer, which is called.
        features: (..., input channels).

    Returns:
        (..., output channels).
    """
    if _is_plain(layer, features) and onednn_is_faster(torch.get_num_threads()):
        return onednn_linear(features, layer.weight, layer.bias)
    return layer(features)


def is_untouched(layer: nn.Module, kind: type[Layer]) -> TypeGuard[Layer]:
    """Whether a layer computes from its weights what `kind` does, and nothing else.

    Not where it was adapted (LoRA), pruned, quantised or offloaded, nor where a hook of its own waits to be called:
    then the layer itself must be called, and its weights say little.
    """
    if type(layer) is not kind or "forward" in vars(layer):  # accelerate's is there
        return False
    if any(getattr(layer, name) for name in _HOOKS):
        return False
    # Weights of a type of their own have products of their own (torchao); what traces has stand-ins for any.
    weights = [weight for weight in layer._parameters.values() if weight is not None]
    return torch.compiler.is_compiling() or all(type(weight) in (nn.Parameter, Tensor) for weight in weights)


def onednn_linear(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` through oneDNN: float32 on a CPU, without gradients."""
    return torch.ops.mkldnn._linear_pointwise(features, weight, bias, "none", [], "")


@cache
def onednn_is_faster(threads: int) -> bool:
    """Whether oneDNN is clearly faster than `F.linear` on this processor; takes some tens of milliseconds, once.

    Args:
        threads: of torch, which decide too.
    """
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    # Constants: a user's random numbers stay what they are.
    features = torch.full((_MEASURED_ROWS, _MEASURED_CHANNELS), 0.5)
    weight, bias = torch.full((_MEASURED_CHANNELS, _MEASURED_CHANNELS), 0.5), torch.zeros(_MEASURED_CHANNELS)
    plain_seconds = onednn_seconds = float("inf")
    for _ in range(_ROUNDS):
        plain_seconds = min(plain_seconds, _seconds(F.linear, features, weight, bias))
        onednn_seconds = min(onednn_seconds, _seconds(onednn_linear, features, weight, bias))
    return plain_seconds > WORTH_A_CHANGE * onednn_seconds


def _is_plain(layer: nn.Module, features: Tensor) -> TypeGuard[nn.Linear]:
    """Whether nothing but plain inference in float32 on a CPU goes on, with enough of it."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not is_untouched(layer, nn.Linear):
        return False
    weight = layer.weight
    return (
        features.device.type == weight.device.type == "cpu"
        and features.dtype == weight.dtype == torch.float32
        and weight.numel() >= MIN_WEIGHTS
        and features.numel() >= MIN_ROWS * layer.in_features
        and not torch.is_autocast_enabled("cpu")
    )


def _seconds(product: Callable[..., Tensor], *tensors: Tensor) -> float:
    start = time.perf_counter()
    product(*tensors)
    return time.perf_counter() - start
