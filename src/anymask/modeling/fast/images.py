"""`FastImage`: the image's side of the two-way transformer, for a decoder whose weights say all.

Tokens of prompts read the image and write to it; `read` and `write` are the attentions of the plain formula, in terms
of what two kinds of image do differently:

- `OwnImage` is for prompts with an image of their own, which mask prompts make. The few tokens of a
  prompt are taken through the transpose of a projection instead of the image's many: `q . (W k) = (q W) . k`, and
  weighted sums are projected after they are summed.
- `SharedImage` (`shared_image.py`) is for prompts that begin with the same image: their thousands of image tokens are
  never made.

Shapes: `tokens` (batch, prompts, heads, tokens, head channels); `image` (batch, 1 or prompts, pixels, channels);
`weights` (batch, prompts, heads, tokens, pixels), or with heads * tokens as one dimension, which is `rows`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from ..mask_decoder import MaskDecoder
from ..two_way_transformer import DecoderAttention, TwoWayAttentionBlock, join_heads, split_heads

Features = Callable[[slice, slice], Tensor]
"""From prompts and pixels to what the first transposed convolution makes of them, (batch, prompts, pixels, outputs)."""


class Reader(NamedTuple):
    """What projects the image between two writes; the last reads nothing for a query."""

    key: nn.Linear  # of the image with its position, for tokens to attend to it
    query: nn.Linear | None  # of the image with its position, to attend to tokens
    value: nn.Linear  # of the image


class Projected(NamedTuple):
    """An image, or its position, projected by a `Reader`: (batch or 1, 1, heads, pixels, head channels) each."""

    key: Tensor
    query: Tensor | None
    value: Tensor | None  # None of a position, which values do not have


class Writer(NamedTuple):
    """What brings an attention's values to the image at the end of a block."""

    out_proj: nn.Linear
    norm: nn.LayerNorm


def readers(decoder: MaskDecoder) -> list[Reader]:
    """What reads the image, in order: each block, and the last attention."""
    found = []
    for block in cast(list[TwoWayAttentionBlock], decoder.transformer.layers):
        read, write = block.cross_attn_token_to_image, block.cross_attn_image_to_token
        found.append(Reader(read.k_proj, write.q_proj, read.v_proj))
    last = decoder.transformer.final_attn_token_to_image
    return [*found, Reader(last.k_proj, None, last.v_proj)]


def writers(decoder: MaskDecoder) -> list[Writer]:
    """What writes to the image, in order: each block."""
    blocks = cast(list[TwoWayAttentionBlock], decoder.transformer.layers)
    return [Writer(block.cross_attn_image_to_token.out_proj, block.layer_norm4) for block in blocks]


def project_positions(decoder: MaskDecoder, position: Tensor) -> list[Projected]:
    """The image's position, (1, 1, pixels, channels), projected by each reader."""
    heads = decoder.config.num_attention_heads

    def project(linear: nn.Linear | None) -> Tensor | None:
        return None if linear is None else split_heads(linear(position), heads).contiguous()

    return [Projected(cast(Tensor, project(reader.key)), project(reader.query), None) for reader in readers(decoder)]


class FastImage(ABC):
    """The image's tokens, as some prompts left them."""

    def read(self, attention: DecoderAttention, tokens: Tensor) -> Tensor:
        """`attention(tokens, image + position, image)`.

        Args:
            attention: The one of tokens to the image that is next.
            tokens: (batch, prompts, tokens, channels).
        """
        query = split_heads(attention.q_proj(tokens), attention.num_attention_heads) * attention.scale
        weights = self._scores(query, attention.k_proj, "key").softmax(dim=-1)
        return attention.out_proj(join_heads(self._sums(weights, attention.v_proj)))

    def write(
        self, attention: DecoderAttention, keys: Tensor, values: Tensor, padding_bias: Tensor | None, norm: nn.LayerNorm
    ) -> Self:
        """The image `norm(image + attention(image + position, keys, values, padding_bias))`.

        Without gradients it may take over the memory of the one before, which is not to be used any more.

        Args:
            attention: The one of the image to tokens that is next.
            keys: (batch, prompts, tokens, channels), and `values` likewise.
            values: See `keys`.
            padding_bias: (batch, prompts, 1, 1, tokens), added to the scores.
            norm: What comes after.
        """
        heads = attention.num_attention_heads
        key = split_heads(attention.k_proj(keys), heads) * attention.scale
        scores = self._scores(key, attention.q_proj, "query")
        if padding_bias is not None:
            scores = scores + padding_bias.transpose(-2, -1)
        weights = scores.softmax(dim=-2)  # over tokens; pixels stay contiguous
        value = split_heads(attention.v_proj(values), heads)
        out_weight = attention.out_proj.weight.T.unflatten(0, (heads, -1))
        # The weights of a head sum to one, so each head brings its share of the bias to every pixel.
        rows = value @ out_weight + attention.out_proj.bias / heads
        return self._written(weights.flatten(2, 3), rows.flatten(2, 3), value, norm)

    @abstractmethod
    def features(self, weight: Tensor, bias: Tensor) -> Features:
        """`image @ weight.T + bias`, to be had for some prompts and pixels at a time.

        Args:
            weight: (outputs, channels), the first transposed convolution as a matrix.
            bias: (outputs,).
        """

    @abstractmethod
    def of_prompts(self, prompts: slice | Tensor) -> Self:
        """The image of some prompts: a slice, or their indices (n,)."""

    @abstractmethod
    def _scores(self, tokens: Tensor, linear: nn.Linear, name: str) -> Tensor:
        """`tokens . linear(image + position)`, of tokens that have been projected and scaled.

        Args:
            tokens: (batch, prompts, heads, tokens, head channels).
            linear: The field `name` of the `Reader` that is next.
            name: "key" or "query".
        """

    @abstractmethod
    def _sums(self, weights: Tensor, linear: nn.Linear) -> Tensor:
        """`weights @ linear(image)`, of weights that sum to one over pixels."""

    @abstractmethod
    def _written(self, weights: Tensor, rows: Tensor, values: Tensor, norm: nn.LayerNorm) -> Self:
        """`norm(image + weights.T @ rows)`.

        Args:
            weights: (batch, prompts, rows, pixels), that sum to one for each head.
            rows: (batch, prompts, rows, channels), the output projection's.
            values: What it projected, (batch, prompts, heads, tokens, head channels).
            norm: Over channels.
        """


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


def absorb(tokens: Tensor, linear: nn.Linear) -> Tensor:
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


def matmul_pixels(rows: Tensor, pixels: Tensor) -> Tensor:
    """`rows @ pixels.T`, (batch, prompts, rows, channels) with (batch, prompts, pixels, channels).

    With gradients in the way whose gradient lies as the pixels do: that of a batched product with a turned matrix lies
    turned, and adding it to others takes as long as the products.
    """
    if not torch.is_grad_enabled():
        return rows @ pixels.transpose(-2, -1)
    if rows.shape[0] * rows.shape[1] == 1:
        return (rows.flatten(0, 2) @ pixels.flatten(0, 2).t())[None, None]
    return (pixels @ rows.transpose(-2, -1)).transpose(-2, -1)


def add_product(summand: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`summand + left @ right` in one pass; all (batch, prompts, rows, columns), `summand` also with 1 prompt."""
    if torch.is_autocast_enabled(summand.device.type):  # the product would take the sum to half precision with it
        return summand + left @ right
    batch, prompts = left.shape[:2]
    product = torch.baddbmm(summand.expand(-1, prompts, -1, -1).flatten(0, 1), left.flatten(0, 1), right.flatten(0, 1))
    return product.unflatten(0, (batch, prompts))


def add_product_(summand: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`summand + left @ right`, in the memory of `summand` where no gradient needs it; shapes as in `add_product`."""
    if torch.is_grad_enabled():  # in place on a view, a gradient would be copied twice
        return add_product(summand, left, right)
    if torch.is_autocast_enabled(summand.device.type):  # the product is in half precision there
        return summand.add_(left @ right)
    summand.view(-1, *summand.shape[2:]).baddbmm_(left.flatten(0, 1), right.flatten(0, 1))
    return summand
