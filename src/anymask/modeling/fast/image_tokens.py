"""The image's side of the mask decoder: what a prompt's tokens read, and what they write to it.

Three ways to the same result; `TwoWayTransformer.image_tokens` chooses.

- `PlainImageTokens` is the formula: attention of all tokens of the image, a sum, a layer norm.
- `OwnImageTokens` is for prompts with an image of their own, which mask prompts make. The few tokens of a prompt are
  taken through the transpose of a projection instead of the image's many: `q . (W k) = (q W) . k`, and weighted sums
  are projected after they are summed.
- `SharedImageTokens`, in `shared_image_tokens.py`, is for prompts that begin with the same image: their 4096 tokens are
  never made.

Shapes: `tokens` (batch, prompts, heads, tokens, head channels); `image` (batch, 1 or prompts, pixels, channels);
`weights` (batch, prompts, heads, tokens, pixels), or with heads * tokens as one dimension, which is `rows` below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from ..decoder_attention import DecoderAttention, join_heads, split_heads

Projection = Callable[[slice, slice], Tensor]
"""From prompts and pixels to their projected tokens, (batch, prompts, pixels, output channels)."""


Positions = Mapping[nn.Linear, Tensor]
"""Projected positions, (1, 1, heads, pixels, head channels), by what projects them."""


class Reader(NamedTuple):
    """What projects the image for an attention, or for the two of a block."""

    placed: Sequence[nn.Linear]  # of the image with its position: keys and queries
    values: nn.Linear  # of the image alone


class Writer(NamedTuple):
    """What brings an attention's values to the image at the end of a block."""

    out_proj: nn.Linear
    norm: nn.LayerNorm


class ImageTokens(ABC):
    """The image's tokens, as some prompts left them."""

    @abstractmethod
    def read(self, attention: DecoderAttention, tokens: Tensor, similarity: Tensor | None) -> tuple[Tensor, Tensor]:
        """`attention(tokens, image + position, image, similarity)`: attended values, and weights.

        Args:
            attention: One that reads the image.
            tokens: (batch, prompts, tokens, channels).
            similarity: Added to the scores.
        """

    @abstractmethod
    def write(
        self, attention: DecoderAttention, keys: Tensor, values: Tensor, padding_bias: Tensor | None, norm: nn.LayerNorm
    ) -> ImageTokens:
        """The image `norm(image + attention(image + position, keys, values, padding_bias))`.

        Without gradients it may take over the memory of the one before, which is not to be used any more.

        Args:
            attention: One that writes to the image.
            keys: (batch, prompts, tokens, channels), and `values` likewise.
            values: See `keys`.
            padding_bias: (batch, prompts, 1, 1, tokens), added to the scores.
            norm: What comes after.
        """

    @abstractmethod
    def projection(self, weight: Tensor, bias: Tensor) -> Projection:
        """`image @ weight.T + bias`, to be had for some prompts and pixels at a time.

        Args:
            weight: (output channels, channels); under `SharedImageTokens` the `last_weight` that it began with.
            bias: (output channels,).
        """

    @abstractmethod
    def of_prompts(self, prompts: slice | Tensor) -> ImageTokens:
        """The image of some prompts: a slice, or their indices (n,)."""


@dataclass(frozen=True)
class MadeImageTokens(ImageTokens):
    """Image tokens that exist, as a tensor."""

    image: Tensor  # (batch, 1 or prompts, pixels, channels)

    def projection(self, weight: Tensor, bias: Tensor) -> Projection:
        """See `ImageTokens.projection`."""
        return lambda prompts, pixels: F.linear(self.image[:, prompts, pixels], weight, bias)

    def of_prompts(self, prompts: slice | Tensor) -> Self:
        """See `ImageTokens.of_prompts`."""
        return self if self.image.shape[1] == 1 else replace(self, image=self.image[:, prompts])


@dataclass(frozen=True)
class PlainImageTokens(MadeImageTokens):
    """The formula."""

    position: Tensor  # (1, 1, pixels, channels)

    def read(self, attention: DecoderAttention, tokens: Tensor, similarity: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `ImageTokens.read`."""
        return attention(tokens, self.image + self.position, self.image, similarity)

    def write(
        self, attention: DecoderAttention, keys: Tensor, values: Tensor, padding_bias: Tensor | None, norm: nn.LayerNorm
    ) -> PlainImageTokens:
        """See `ImageTokens.write`."""
        attended, _ = attention(self.image + self.position, keys, values, padding_bias)
        return replace(self, image=norm(self.image + attended))


class QuickImageTokens(ImageTokens):
    """What both quick ways have in common: attention, in terms of scores, sums and rows that are written."""

    def read(self, attention: DecoderAttention, tokens: Tensor, similarity: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `ImageTokens.read`."""
        query = attention.split_heads(attention.q_proj(tokens)) * attention.scale
        scores = self._scores(query, attention.k_proj)
        weights = (scores if similarity is None else scores + similarity).softmax(dim=-1)
        return attention.out_proj(join_heads(self._sums(weights, attention.v_proj))), weights

    def write(
        self, attention: DecoderAttention, keys: Tensor, values: Tensor, padding_bias: Tensor | None, norm: nn.LayerNorm
    ) -> ImageTokens:
        """See `ImageTokens.write`."""
        key = attention.split_heads(attention.k_proj(keys)) * attention.scale
        scores = self._scores(key, attention.q_proj)
        if padding_bias is not None:
            scores = scores + padding_bias.transpose(-2, -1)
        weights = scores.softmax(dim=-2)  # over tokens; pixels stay contiguous
        value, heads = attention.split_heads(attention.v_proj(values)), attention.num_attention_heads
        out_weight = attention.out_proj.weight.T.unflatten(0, (heads, -1))
        # The weights of a head sum to one, so each head brings its share of the bias to every pixel.
        rows = value @ out_weight + attention.out_proj.bias / heads
        return self._written(weights.flatten(2, 3), rows.flatten(2, 3), value, norm)

    @abstractmethod
    def _scores(self, tokens: Tensor, linear: nn.Linear) -> Tensor:
        """`tokens . linear(image + position)`, of tokens that have been projected and scaled."""

    @abstractmethod
    def _sums(self, weights: Tensor, linear: nn.Linear) -> Tensor:
        """`weights @ linear(image)`, of weights that sum to one over pixels."""

    @abstractmethod
    def _written(self, weights: Tensor, rows: Tensor, values: Tensor, norm: nn.LayerNorm) -> ImageTokens:
        """`norm(image + weights.T @ rows)`.

        Args:
            weights: (batch, prompts, rows, pixels), that sum to one for each head.
            rows: (batch, prompts, rows, channels), the output projection's.
            values: What it projected, (batch, prompts, heads, tokens, head channels).
            norm: Over channels.
        """


@dataclass(frozen=True)
class OwnImageTokens(QuickImageTokens, MadeImageTokens):
    """The image of prompts that each began with their own."""

    positions: Positions  # of each `placed`

    def _scores(self, tokens: Tensor, linear: nn.Linear) -> Tensor:
        scores = matmul_shared(tokens, self.positions[linear].transpose(-2, -1))
        scores = plus_product(scores.flatten(2, 3), absorbed(tokens, linear), self.image.transpose(-2, -1))
        return scores.unflatten(2, tokens.shape[2:4])

    def _sums(self, weights: Tensor, linear: nn.Linear) -> Tensor:
        mixed = (weights.flatten(2, 3) @ self.image).unflatten(2, weights.shape[2:4])
        return project_heads(mixed, linear)

    def _written(self, weights: Tensor, rows: Tensor, values: Tensor, norm: nn.LayerNorm) -> OwnImageTokens:
        return replace(self, image=norm(plus_product(self.image, weights.transpose(-2, -1), rows)))


def own_positions(position: Tensor, readers: Sequence[Reader], heads: int) -> Positions:
    """Projected positions for `OwnImageTokens`.

    Args:
        position: (1, 1, pixels, channels).
        readers: Of each block, and the last.
        heads: Of the attentions.
    """
    return {linear: split_heads(linear(position), heads) for reader in readers for linear in reader.placed}


def absorbed(tokens: Tensor, linear: nn.Linear) -> Tensor:
    """Tokens taken through a projection's transpose, (batch, prompts, rows, channels): `t . (W x) = (t W) . x`."""
    return (tokens @ _weight_by_head(linear, tokens.shape[2])).flatten(2, 3)


def project_heads(mixed: Tensor, linear: nn.Linear) -> Tensor:
    """Each head's share of `linear`: (batch, prompts, heads, tokens, channels) to (..., head channels)."""
    heads = mixed.shape[2]
    return mixed @ _weight_by_head(linear, heads).transpose(-2, -1) + linear.bias.view(heads, 1, -1)


def _weight_by_head(linear: nn.Linear, heads: int) -> Tensor:
    """(heads, head channels, channels)."""
    return linear.weight.unflatten(0, (heads, -1))


def matmul_shared(rows: Tensor, shared: Tensor) -> Tensor:
    """(batch, prompts, heads, m, k) times (batch or 1, 1, heads, k, n), the second never repeated for each prompt."""
    prompts, length = rows.shape[1], rows.shape[3]
    merged = rows.transpose(1, 2).flatten(2, 3) @ shared.squeeze(1)  # (batch, heads, prompts * m, n)
    return merged.unflatten(2, (prompts, length)).transpose(1, 2)


def plus_product(summand: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`summand + left @ right` in one pass; all (batch, prompts, rows, columns), `summand` also with 1 prompt."""
    if torch.is_autocast_enabled(summand.device.type):  # the product would take the sum to half precision with it
        return summand + left @ right
    batch, prompts = left.shape[:2]
    product = torch.baddbmm(summand.expand(-1, prompts, -1, -1).flatten(0, 1), left.flatten(0, 1), right.flatten(0, 1))
    return product.unflatten(0, (batch, prompts))
