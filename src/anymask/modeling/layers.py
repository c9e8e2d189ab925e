"""Small layers that the image encoder, the prompt encoder and the mask decoder share."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Value = TypeVar("Value")

# Those of SAM's checkpoints; a pruned or a new model may name others.
_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (batch, channels, height, width)."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise; the shape stays."""
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, hidden_size: int, mlp_dim: int, hidden_act: str):
        super().__init__()
        self.lin1 = nn.Linear(hidden_size, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, hidden_size)
        self.act = activation(hidden_act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., hidden_size) to the same shape."""
        return self.lin2(self.act(self.lin1(hidden_states)))


def activation(name: str) -> nn.Module:
    """The activation that a configuration names, under Transformers' names."""
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]()
    from transformers.activations import ACT2FN  # takes a second to import

    return ACT2FN[name]


def floating_dtype(module: nn.Module, default: torch.dtype) -> torch.dtype:
    """The type that a layer's weights have, whatever layer it is; the default for one that has none."""
    dtypes = (weight.dtype for weight in module.parameters() if weight.is_floating_point())
    return next(dtypes, default)


def at_least_float32(values: Tensor) -> Tensor:
    """Values in float32, or in float64 where they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def or_default(value: Value | None, default: Value) -> Value:
    """An argument, or what the configuration says where it is None."""
    return default if value is None else value
