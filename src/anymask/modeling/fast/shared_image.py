"""`SharedImageTokens`: the image's tokens for prompts that begin with the same image, as a sum that is never made.

What H heads and T tokens write at a pixel is a combination of H * T rows. A layer norm is a factor for each pixel, and
a mean, a gain and a bias that can be worked into what is normalised. So after any number of blocks a prompt's image is

    scale * base + sum of weights.T @ rows over blocks + shift        (pixels, channels)

with a `base` that all prompts share. To project it takes `base @ W`, which is made once per image, and `rows @ W`,
which is small; the 4096 tokens of each prompt never exist. Shapes are those of `image_tokens.py`; `rows` are heads *
tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoder_attention import split_heads
from .image_tokens import (
    Positions,
    Projection,
    QuickImageTokens,
    Reader,
    Writer,
    absorbed,
    matmul_shared,
    project_heads,
)


def shared_positions(position: Tensor, readers: Sequence[Reader], writers: Sequence[Writer], heads: int) -> Positions:
    """Projected positions for `SharedImageTokens`: with the bias of the norm before, which is added wherever they are.

    Args:
        position: (1, 1, pixels, channels).
        readers: Of each block, and the last.
        writers: Of each block.
        heads: Of the attentions.
    """
    return {
        linear: split_heads(linear(position + writer.norm.bias), heads)
        for writer, reader in zip(writers, readers[1:], strict=True)
        for linear in reader.placed
    }


class Overlap(NamedTuple):
    """Dot products of the centred base with the rows that a block writes, but for the values these are made of."""

    products: Tensor  # with what the output projection makes of each head, (batch, 1, heads, pixels, head channels)
    constant: Tensor  # with what is the same in every row, (batch, 1, 1, pixels)


class SharedImage(NamedTuple):
    """All that follows from an image that prompts share; it does not depend on the prompts."""

    # For each reader base @ W.T, (batch, 1, heads, pixels, head channels), by what projects; at first with all else.
    products: Sequence[Mapping[nn.Linear, Tensor]]
    overlaps: Sequence[Sequence[Overlap]]  # for each writer, those of it and of all writers before
    # For each writer, of the centred base, summed over channels, (batch, 1, pixels), float32 at least.
    squares: Sequence[Tensor]
    last: Tensor  # base @ last_weight.T at the end, (batch, 1, pixels, output channels)


def shared_image(
    image: Tensor,
    position: Tensor,
    readers: Sequence[Reader],
    writers: Sequence[Writer],
    last_weight: Tensor,
    heads: int,
) -> SharedImage:
    """Project an image by everything that will read it, and measure it against everything that will be written.

    Args:
        image: (batch, 1, pixels, channels).
        position: (1, 1, pixels, channels).
        readers: Of each block, and the last.
        writers: Of each block.
        last_weight: (output channels, channels), of what reads the image at the very end.
        heads: Of the attentions.
    """

    def by_head(features: Tensor) -> Tensor:
        return split_heads(features, heads).contiguous()  # each head lies together

    base, shift = image, image.new_zeros(())
    first, *others = readers
    placed = base + position
    products = [
        {linear: by_head(linear(placed)) for linear in first.placed} | {first.values: by_head(first.values(base))}
    ]
    overlaps, squares = [], []
    parts: list[tuple[Tensor, Tensor]] = []  # of rows: what values are multiplied by, (channels, inner), what is added
    for (out_proj, norm), reader in zip(writers, others, strict=True):
        parts.append((out_proj.weight, (out_proj.bias + shift) / heads))
        # A norm subtracts the mean and multiplies by its weight, of the base and of rows alike.
        base = _centred(base)
        parts = [(matrix - matrix.mean(dim=0), constant - constant.mean()) for matrix, constant in parts]
        overlaps.append([Overlap(by_head(base @ matrix), (base @ row)[:, :, None]) for matrix, row in parts])
        squares.append(_precise(base).square().sum(dim=-1))
        base, shift = base * norm.weight, norm.bias
        parts = [(matrix * norm.weight[:, None], constant * norm.weight) for matrix, constant in parts]
        products.append({linear: by_head(F.linear(base, linear.weight)) for linear in (*reader.placed, reader.values)})
    return SharedImage(products, overlaps, squares, F.linear(base, last_weight))


class Written(NamedTuple):
    """What one block wrote to the image of each prompt: `weights.T @ rows`."""

    weights: Tensor  # (batch, prompts, rows, pixels)
    rows: Tensor  # (batch, prompts, rows, channels)
    values: Tensor  # that the rows were made of, (batch, prompts, heads, tokens, head channels)


@dataclass(frozen=True)
class SharedImageTokens(QuickImageTokens):
    """The image of prompts that began with the same: `scale * base + sum(weights.T @ rows) + shift`."""

    shared: SharedImage
    positions: Positions  # with the norm's bias, of each `placed` after the first norm
    written: Sequence[Written] = ()  # one for each norm passed
    scale: Tensor | float = 1.0  # (batch, prompts, pixels)
    shift: Tensor | float = 0.0  # (channels,), the last norm's bias

    def projection(self, weight: Tensor, bias: Tensor) -> Projection:
        """See `ImageTokens.projection`."""
        assert isinstance(self.scale, Tensor) and isinstance(self.shift, Tensor)
        scale, constant = self.scale[..., None], F.linear(self.shift, weight, bias)
        projected = [(weights.transpose(-2, -1), F.linear(rows, weight)) for weights, rows, _ in self.written]

        def part(prompts: slice, pixels: slice) -> Tensor:
            features = torch.addcmul(constant, self.shared.last[:, :, pixels], scale[:, prompts, pixels])
            for weights, rows in projected:
                _add_product_(features, weights[:, prompts, pixels], rows[:, prompts])
            return features

        return part

    def of_prompts(self, prompts: slice | Tensor) -> SharedImageTokens:
        """See `ImageTokens.of_prompts`."""
        if not isinstance(self.scale, Tensor):
            return self
        written = [Written(*(part[:, prompts] for part in block)) for block in self.written]
        return replace(self, scale=self.scale[:, prompts], written=written)

    def _scores(self, tokens: Tensor, linear: nn.Linear) -> Tensor:
        scores = matmul_shared(tokens, self.shared.products[len(self.written)][linear].transpose(-2, -1))
        if not isinstance(self.scale, Tensor):
            return scores
        scores = scores.mul_(self.scale[:, :, None, None]).flatten(2, 3)
        keys = absorbed(tokens, linear)
        for weights, rows, _ in self.written:
            _add_product_(scores, keys @ rows.transpose(-2, -1), weights)
        position = matmul_shared(tokens, self.positions[linear].transpose(-2, -1))
        return scores.unflatten(2, tokens.shape[2:4]).add_(position)

    def _sums(self, weights: Tensor, linear: nn.Linear) -> Tensor:
        product = self.shared.products[len(self.written)][linear]
        if not isinstance(self.scale, Tensor):
            return matmul_shared(weights, product)  # with the bias, since the weights sum to one
        sums = matmul_shared(weights * self.scale[:, :, None, None], product)
        flat = weights.flatten(2, 3)
        mixed = sum(((flat @ earlier.transpose(-2, -1)) @ rows for earlier, rows, _ in self.written), start=self.shift)
        return sums + project_heads(cast(Tensor, mixed).unflatten(2, weights.shape[2:4]), linear)

    def _written(self, weights: Tensor, rows: Tensor, values: Tensor, norm: nn.LayerNorm) -> SharedImageTokens:
        # The shift goes into the rows, as the bias of the output does.
        now = Written(weights, rows + self.shift / values.shape[2], values)
        written = [block._replace(rows=_centred(block.rows)) for block in (*self.written, now)]
        factor = (self._squares(written) / rows.shape[-1] + norm.eps).rsqrt().to(rows.dtype)
        return replace(
            self,
            written=[
                Written(_times(block.weights, factor[:, :, None]), block.rows * norm.weight, block.values)
                for block in written
            ],
            scale=self.scale * factor,
            shift=norm.bias,
        )

    def _squares(self, written: Sequence[Written]) -> Tensor:
        """The squares of `scale * centred base + sum(weights.T @ rows)`, summed over channels, without making it.

        Returns:
            (batch, prompts, pixels), float32 at least.
        """
        squares = self.shared.squares[len(self.written)]
        if isinstance(self.scale, Tensor):
            squares = squares * _precise(self.scale).square()
        for number, (block, overlap) in enumerate(zip(written, self.shared.overlaps[len(self.written)], strict=True)):
            product = matmul_shared(block.values, overlap.products.transpose(-2, -1)).flatten(2, 3)
            # With the base and with later rows a row has two products, which are the same, with its own block's one.
            product.add_(overlap.constant).mul_(2 * self.scale[:, :, None] if isinstance(self.scale, Tensor) else 2)
            for later in written[number:]:
                gram = block.rows @ later.rows.transpose(-2, -1)
                _add_product_(product, gram if later is block else 2 * gram, later.weights)
            squares = squares + product.mul_(block.weights).sum(dim=2, dtype=squares.dtype)
        return squares


def _centred(features: Tensor) -> Tensor:
    return features - features.mean(dim=-1, keepdim=True)


def _precise(features: Tensor) -> Tensor:
    """In float32 at least, for squares and their sums."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def _times(weights: Tensor, factor: Tensor) -> Tensor:
    """`weights * factor`, in the memory of `weights` where they will not be needed for gradients."""
    return weights * factor if torch.is_grad_enabled() else weights.mul_(factor)


def _add_product_(summand: Tensor, left: Tensor, right: Tensor) -> None:
    """`summand += left @ right`; all (batch, prompts, rows, columns), `summand` contiguous."""
    if torch.is_autocast_enabled(summand.device.type):  # the product is in half precision there
        summand += left @ right
    else:
        summand.view(-1, *summand.shape[2:]).baddbmm_(left.flatten(0, 1), right.flatten(0, 1))
