"""`SharedImage`: the image of prompts that begin with the same one, as a sum that is never made; see `images.py`.

What H heads and T tokens write at a pixel is a combination of H * T rows. A layer norm is a factor for each pixel, and
a mean, a gain and a bias that can be worked into what is normalised. So after any number of blocks a prompt's image is

    scale * base + sum of weights.T @ rows over blocks + shift        (pixels, channels)

with a `base` that all prompts share. To project it takes `base @ W`, which is made once per image (`project_base`), and
`rows @ W`, which is small; the 4096 tokens of each prompt never exist. `rows` are heads * tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import at_least_float32
from ..mask_decoder import MaskDecoder
from ..two_way_transformer import split_heads
from .images import (
    FastImage,
    Features,
    Projected,
    absorb,
    add_product_,
    matmul_shared,
    project_heads,
    readers,
    writers,
)


class Overlap(NamedTuple):
    """Dot products of the centred base with the rows that a block writes, but for the values these are made of."""

    products: Tensor  # with what the output projection makes of each head, (batch, 1, heads, pixels, head channels)
    constant: Tensor  # with what is the same in every row, (batch, 1, 1, pixels)


class ProjectedBase(NamedTuple):
    """All that follows from an image that prompts share; it does not depend on the prompts."""

    products: Sequence[Projected]  # by each reader; the first with position and bias, the others without
    overlaps: Sequence[Sequence[Overlap]]  # for each writer, those of it and of all writers before
    # For each writer, of the centred base, summed over channels, (batch, 1, pixels), float32 at least.
    squares: Sequence[Tensor]
    features: Tensor  # base @ weight.T at the end, weight being `features_weight`, (batch, 1, pixels, outputs)


def project_base(
    decoder: MaskDecoder, image: Tensor, positions: Sequence[Projected], features_weight: Tensor
) -> ProjectedBase:
    """Project an image by everything that will read it, and measure it against everything that will be written.

    Args:
        decoder: Whose weights say all.
        image: (batch, 1, pixels, channels).
        positions: What `project_positions` made.
        features_weight: (outputs, channels), of what reads the image at the very end.
    """
    heads = decoder.config.num_attention_heads

    def project(linear: nn.Linear | None) -> Tensor | None:
        return None if linear is None else by_head(F.linear(base, linear.weight))

    def by_head(features: Tensor) -> Tensor:
        return split_heads(features, heads).contiguous()  # each head lies together

    base, shift = image, image.new_zeros(())
    first, *others = readers(decoder)
    key, query, value = (project(linear) for linear in first)
    products = [
        Projected(
            cast(Tensor, key) + positions[0].key,
            cast(Tensor, query) + cast(Tensor, positions[0].query),
            cast(Tensor, value) + first.value.bias.view(heads, 1, -1),
        )
    ]
    overlaps, squares = [], []
    parts: list[tuple[Tensor, Tensor]] = []  # of rows: what values are multiplied by, (channels, inner), what is added
    for (out_proj, norm), reader in zip(writers(decoder), others, strict=True):
        parts.append((out_proj.weight, (out_proj.bias + shift) / heads))
        # A norm subtracts the mean and multiplies by its weight, of the base and of rows alike.
        base = _centre(base)
        parts = [(matrix - matrix.mean(dim=0), constant - constant.mean()) for matrix, constant in parts]
        overlaps.append([Overlap(by_head(base @ matrix), (base @ row)[:, :, None]) for matrix, row in parts])
        squares.append(at_least_float32(base).square().sum(dim=-1))
        base, shift = base * norm.weight, norm.bias
        parts = [(matrix * norm.weight[:, None], constant * norm.weight) for matrix, constant in parts]
        key, query, value = (project(linear) for linear in reader)
        products.append(Projected(cast(Tensor, key), query, value))
    return ProjectedBase(products, overlaps, squares, F.linear(base, features_weight))


class Written(NamedTuple):
    """What one block wrote to the image of each prompt: `weights.T @ rows`."""

    weights: Tensor  # (batch, prompts, rows, pixels)
    rows: Tensor  # (batch, prompts, rows, channels)
    values: Tensor  # that the rows were made of, (batch, prompts, heads, tokens, head channels)


@dataclass(frozen=True)
class SharedImage(FastImage):
    """The image of prompts that began with the same: `scale * base + sum(weights.T @ rows) + shift`."""

    base: ProjectedBase
    positions: Sequence[Projected]  # of each reader
    written: Sequence[Written] = ()  # one for each norm passed
    scale: Tensor | float = 1.0  # (batch, prompts, pixels)
    shift: Tensor | float = 0.0  # (channels,), the last norm's bias

    def features(self, weight: Tensor, bias: Tensor) -> Features:
        """See `FastImage.features`; `weight` is the `features_weight` that the base was projected with."""
        assert isinstance(self.scale, Tensor) and isinstance(self.shift, Tensor)
        scale, constant = self.scale[..., None], F.linear(self.shift, weight, bias)
        projected = [(weights.transpose(-2, -1), F.linear(rows, weight)) for weights, rows, _ in self.written]

        def part(prompts: slice, pixels: slice) -> Tensor:
            features = torch.addcmul(constant, self.base.features[:, :, pixels], scale[:, prompts, pixels])
            for weights, rows in projected:
                features = add_product_(features, weights[:, prompts, pixels], rows[:, prompts])
            return features

        return part

    def of_prompts(self, prompts: slice | Tensor) -> SharedImage:
        """See `FastImage.of_prompts`."""
        if not isinstance(self.scale, Tensor):
            return self
        written = [Written(*(tensor[:, prompts] for tensor in block)) for block in self.written]
        return replace(self, scale=self.scale[:, prompts], written=written)

    def _scores(self, tokens: Tensor, linear: nn.Linear, name: str) -> Tensor:
        product, position = (
            cast(Tensor, getattr(projected[len(self.written)], name))
            for projected in (self.base.products, self.positions)
        )
        scores = matmul_shared(tokens, product.transpose(-2, -1))
        if not isinstance(self.scale, Tensor):
            return scores
        scores = _scale(scores, self.scale[:, :, None, None]).flatten(2, 3)
        keys = absorb(tokens, linear)
        for weights, rows, _ in self.written:
            scores = add_product_(scores, keys @ rows.transpose(-2, -1), weights)
        scores = _add(scores, (keys @ cast(Tensor, self.shift))[..., None])
        return _add(scores.unflatten(2, tokens.shape[2:4]), matmul_shared(tokens, position.transpose(-2, -1)))

    def _sums(self, weights: Tensor, linear: nn.Linear) -> Tensor:
        product = cast(Tensor, self.base.products[len(self.written)].value)
        if not isinstance(self.scale, Tensor):
            return matmul_shared(weights, product)  # with the bias, since the weights sum to one
        sums = matmul_shared(weights * self.scale[:, :, None, None], product)
        flat = weights.flatten(2, 3)
        mixed = sum(((flat @ earlier.transpose(-2, -1)) @ rows for earlier, rows, _ in self.written), start=self.shift)
        return sums + project_heads(cast(Tensor, mixed).unflatten(2, weights.shape[2:4]), linear)

    def _written(self, weights: Tensor, rows: Tensor, values: Tensor, norm: nn.LayerNorm) -> SharedImage:
        # The shift goes into the rows, as the bias of the output does.
        now = Written(weights, rows + self.shift / values.shape[2], values)
        written = [block._replace(rows=_centre(block.rows)) for block in (*self.written, now)]
        factor = (self._squares(written) / rows.shape[-1] + norm.eps).rsqrt().to(rows.dtype)
        return replace(
            self,
            written=[
                Written(_scale(block.weights, factor[:, :, None]), block.rows * norm.weight, block.values)
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
        squares = self.base.squares[len(self.written)]
        if isinstance(self.scale, Tensor):
            squares = squares * at_least_float32(self.scale).square()
        for number, (block, overlap) in enumerate(zip(written, self.base.overlaps[len(self.written)], strict=True)):
            product = matmul_shared(block.values, overlap.products.transpose(-2, -1)).flatten(2, 3)
            # With the base and with later rows a row has two products, which are the same, with its own block's one.
            twice = 2 * self.scale[:, :, None] if isinstance(self.scale, Tensor) else 2
            product = _scale(_add(product, overlap.constant), twice)
            for later in written[number:]:
                gram = block.rows @ later.rows.transpose(-2, -1)
                product = add_product_(product, gram if later is block else 2 * gram, later.weights)
            squares = squares + _scale(product, block.weights).sum(dim=2, dtype=squares.dtype)
        return squares


def _centre(features: Tensor) -> Tensor:
    return features - features.mean(dim=-1, keepdim=True)


def _scale(features: Tensor, factor: Tensor | float) -> Tensor:
    """`features * factor`, in the memory of `features` where no gradient needs it."""
    return features * factor if torch.is_grad_enabled() else features.mul_(factor)


def _add(features: Tensor, summand: Tensor) -> Tensor:
    """`features + summand`, likewise."""
    return features + summand if torch.is_grad_enabled() else features.add_(summand)
