"""`OwnImage`: the image of prompts that each began with one of their own; see `images.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from .images import FastImage, Features, Projected, absorb, add_product, matmul_pixels, matmul_shared, project_heads


@dataclass(frozen=True)
class OwnImage(FastImage):
    """Image tokens that exist."""

    image: Tensor  # (batch, 1 or prompts, pixels, channels)
    position: Tensor  # (1, 1, pixels, channels)
    positions: Sequence[Projected] | None = None  # the same, projected by each reader, where that pays
    writes: int = 0  # that there were

    def features(self, weight: Tensor, bias: Tensor) -> Features:
        """See `FastImage.features`."""
        return lambda prompts, pixels: F.linear(self.image[:, prompts, pixels], weight, bias)

    def of_prompts(self, prompts: slice | Tensor) -> OwnImage:
        """See `FastImage.of_prompts`."""
        return self if self.image.shape[1] == 1 else replace(self, image=self.image[:, prompts])

    @cached_property
    def _placed(self) -> Tensor:
        """The image with its position, which a block reads twice."""
        return self.image + self.position

    def _scores(self, tokens: Tensor, linear: nn.Linear, name: str) -> Tensor:
        if self.positions is None:
            constant = (tokens * linear.bias.view(tokens.shape[2], 1, -1)).sum(dim=-1, keepdim=True)
            scores = matmul_pixels(absorb(tokens, linear), self._placed)
            return scores.unflatten(2, tokens.shape[2:4]) + constant
        position = cast(Tensor, getattr(self.positions[self.writes], name))
        scores = matmul_shared(tokens, position.transpose(-2, -1))
        scores = add_product(scores.flatten(2, 3), absorb(tokens, linear), self.image.transpose(-2, -1))
        return scores.unflatten(2, tokens.shape[2:4])

    def _sums(self, weights: Tensor, linear: nn.Linear) -> Tensor:
        mixed = (weights.flatten(2, 3) @ self.image).unflatten(2, weights.shape[2:4])
        return project_heads(mixed, linear)

    def _written(self, weights: Tensor, rows: Tensor, values: Tensor, norm: nn.LayerNorm) -> OwnImage:
        image = norm(add_product(self.image, weights.transpose(-2, -1), rows))
        return replace(self, image=image, writes=self.writes + 1)
