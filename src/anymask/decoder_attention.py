"""Attention of the mask decoder: among tokens, of tokens to the image, and of the image to the tokens.

Under "eager" attention is the plain formula. Otherwise the same result is had with less work:

- In the first block the image is the same for every prompt, so its projections are made once per image.
- Later each prompt has image tokens of its own, 4096 of them, against some seven tokens. Instead of projecting the
  many, the few are taken through the projection's transpose: `q . (W k) = (q W) . k`, and weighted sums are projected
  after they are summed. The positional part of the image's projections stays shared by all prompts.

Shapes: `tokens` (batch, prompts, tokens, channels); `image` (batch, 1 or prompts, pixels, channels), where 1 means that
the prompts still share it; `weights` (batch, prompts, heads, tokens, pixels).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .configuration_sam import SamMaskDecoderConfig
from .memory import parts_at_a_time, slices

STRIP_BYTES = 2**20
"""Bytes of image tokens written at a time by each thread of a CPU."""


class SharedProjections(NamedTuple):
    """What a cross attention needs of the image and has in common for all prompts, with heads split.

    `own` tells whether each prompt has image tokens of its own; then only what their positions add is projected here,
    which follows from weights and sizes and is kept between calls.
    """

    positions: Tensor  # keys or queries of image + position, or of the position alone where `own`
    values: Tensor | None  # values of the image; None where `own`, and where the image asks instead of answering
    own: bool


class DecoderAttention(nn.Module):
    """Multi-head attention among tokens, or between tokens and image.

    Args:
        config: The mask decoder's configuration.
        downsample_rate: The model's channels over the channels inside the attention.
    """

    def __init__(self, config: SamMaskDecoderConfig, downsample_rate: int):
        super().__init__()
        self.config = config
        self.num_attention_heads = config.num_attention_heads
        inner = config.hidden_size // downsample_rate
        self.scale = (inner // config.num_attention_heads) ** -0.5
        self.q_proj = nn.Linear(config.hidden_size, inner)
        self.k_proj = nn.Linear(config.hidden_size, inner)
        self.v_proj = nn.Linear(config.hidden_size, inner)
        self.out_proj = nn.Linear(inner, config.hidden_size)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The plain formula.

        Args:
            query: (batch, prompts, queries, channels); the prompts of any of the three may be 1.
            key: (batch, prompts, keys, channels).
            value: (batch, prompts, keys, channels).
            bias: Added to the scores; broadcasts to (batch, prompts, heads, queries, keys).

        Returns:
            Attended values, (batch, prompts, queries, channels), and weights, (batch, prompts, heads, queries, keys).
        """
        query, key, value = (
            self.split_heads(linear(features))
            for linear, features in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        scores = (query * self.scale) @ key.transpose(-2, -1)
        weights = (scores if bias is None else scores + bias).softmax(dim=-1)
        return self.out_proj(_join_heads(weights @ value)), weights

    def tokens_read_image(
        self, tokens: Tensor, image: Tensor, shared: SharedProjections, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """`forward(query=tokens, key=image + position, value=image, bias)`, with less work."""
        query = self.split_heads(self.q_proj(tokens)) * self.scale
        scores = self._scores(query, image, shared, self.k_proj)
        weights = (scores if bias is None else scores + bias).softmax(dim=-1)
        if shared.values is None:
            summed = (weights.flatten(2, 3) @ image).unflatten(2, weights.shape[2:4])
            attended = summed @ self._head_weight(self.v_proj).transpose(-2, -1)
            attended = _join_heads(attended) + self.v_proj.bias  # the weights sum to one
        else:
            attended = _join_heads(_matmul_shared(weights, shared.values))
        return self.out_proj(attended), weights

    def image_reads_tokens(
        self,
        image: Tensor,
        keys: Tensor,
        values: Tensor,
        shared: SharedProjections,
        bias: Tensor | None,
        norm: nn.LayerNorm,
        written: Tensor | None,
    ) -> Tensor:
        """`norm(image + forward(query=image + position, key=keys, value=values, bias))`, with less work.

        `bias` broadcasts to (batch, prompts, heads, tokens, 1), the transpose of what `forward` takes. The result goes
        to `written`, (batch, prompts, pixels, channels), where that saves memory; it may be `image`.
        """
        key = self.split_heads(self.k_proj(keys)) * self.scale
        scores = self._scores(key, image, shared, self.q_proj)
        weights = (scores if bias is None else scores + bias).softmax(dim=-2)  # over tokens, pixels stay contiguous
        out_weight = self.out_proj.weight.T.unflatten(0, (self.num_attention_heads, -1))
        out_values = self.split_heads(self.v_proj(values)) @ out_weight  # (batch, prompts, heads, tokens, channels)
        # The weights of a head sum to one, so each head brings its share of the bias to every pixel.
        out_values = (out_values + self.out_proj.bias / self.num_attention_heads).flatten(2, 3)
        weights = weights.flatten(2, 3).transpose(-2, -1)  # (batch, prompts, pixels, heads * tokens)

        batch, prompts, pixels, _ = weights.shape
        bytes_per_pixel = batch * image.shape[3] * image.element_size()
        at_a_time = parts_at_a_time(bytes_per_pixel, image.device, STRIP_BYTES)
        if at_a_time >= prompts * pixels:
            return norm(_plus_product(image, weights, out_values))
        # In parts: larger steps in between would leave the cache, and take fresh memory each time.
        if written is None:
            written = image.new_empty(batch, prompts, pixels, image.shape[3])
        for some in slices(prompts, max(at_a_time // pixels, 1)):
            before = image[:, some] if image.shape[1] > 1 else image
            for part in slices(pixels, at_a_time):
                summed = _plus_product(before[:, :, part], weights[:, some, part], out_values[:, some])
                written[:, some, part] = norm(summed)
        return written

    def _scores(self, tokens: Tensor, image: Tensor, shared: SharedProjections, linear: nn.Linear) -> Tensor:
        """Scores of tokens (heads split, scaled) and pixels, whoever asks: (batch, prompts, heads, tokens, pixels)."""
        scores = _matmul_shared(tokens, shared.positions.transpose(-2, -1))
        if not shared.own:
            return scores
        absorbed = (tokens @ self._head_weight(linear)).flatten(2, 3)  # (batch, prompts, heads * tokens, channels)
        scores = _plus_product(scores.flatten(2, 3), absorbed, image.transpose(-2, -1))
        return scores.unflatten(2, tokens.shape[2:4])

    def split_heads(self, features: Tensor) -> Tensor:
        """(batch, prompts, length, inner) to (batch, prompts, heads, length, head channels)."""
        return features.unflatten(-1, (self.num_attention_heads, -1)).transpose(-3, -2)

    def _head_weight(self, linear: nn.Linear) -> Tensor:
        """A projection's weight by head, (heads, head channels, channels)."""
        return linear.weight.unflatten(0, (self.num_attention_heads, -1))


def _join_heads(features: Tensor) -> Tensor:
    """(batch, prompts, heads, length, head channels) to (batch, prompts, length, inner)."""
    return features.transpose(-3, -2).flatten(-2)


def _matmul_shared(rows: Tensor, shared: Tensor) -> Tensor:
    """(batch, prompts, heads, m, k) times (batch or 1, 1, heads, k, n), the second never repeated for each prompt."""
    prompts, length = rows.shape[1], rows.shape[3]
    merged = rows.transpose(1, 2).flatten(2, 3) @ shared.squeeze(1)  # (batch, heads, prompts * m, n)
    return merged.unflatten(2, (prompts, length)).transpose(1, 2)


def _plus_product(summand: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`summand + left @ right` in one pass; all (batch, prompts, rows, columns), `summand` also with 1 prompt."""
    if torch.is_autocast_enabled(summand.device.type):  # the product would take the sum to half precision with it
        return summand + left @ right
    batch, prompts = left.shape[:2]
    if batch > 1:
        summand = summand.expand(-1, prompts, -1, -1)
    product = torch.baddbmm(summand.flatten(0, 1), left.flatten(0, 1), right.flatten(0, 1))
    return product.unflatten(0, (batch, prompts))
