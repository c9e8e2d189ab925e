"""The two-way transformer of the mask decoder: tokens read the image, the image reads the tokens.

Source: Segment Anything, appendix A, "Lightweight mask decoder".

Under "eager" attention is the plain formula. Otherwise the same result is had with less work:

- In the first block the image is the same for every prompt, so its projections are made once per image.
- Later each prompt has image tokens of its own, 4096 of them, against some seven tokens. Instead of projecting the
  many, the few are taken through the projection's transpose: `q . (W k) = (q W) . k`, and weighted sums are projected
  after they are summed. The positional part of the image's projections stays shared by all prompts.

Shapes: `tokens` (batch, prompts, tokens, channels); `image` (batch, 1 or prompts, pixels, channels), where 1 means that
the prompts still share it; `weights` (batch, prompts, heads, tokens, pixels).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from .configuration_sam import SamMaskDecoderConfig
from .layers import Mlp
from .memo import Memo
from .memory import parts_at_a_time, slices

STRIP_BYTES = 2**19
"""Bytes of image tokens written at a time on a CPU."""


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


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to each other, then to the image; an MLP; then the image attends to the tokens.

    Args:
        config: The mask decoder's configuration.
        skip_first_layer_pe: Whether self attention runs without positions and residual, as in the first block.
    """

    def __init__(self, config: SamMaskDecoderConfig, skip_first_layer_pe: bool):
        super().__init__()
        size, eps, rate = config.hidden_size, config.layer_norm_eps, config.attention_downsample_rate
        self.skip_first_layer_pe = skip_first_layer_pe
        self.self_attn = DecoderAttention(config, downsample_rate=1)
        self.layer_norm1 = nn.LayerNorm(size, eps=eps)
        self.cross_attn_token_to_image = DecoderAttention(config, rate)
        self.layer_norm2 = nn.LayerNorm(size, eps=eps)
        self.mlp = Mlp(size, config.mlp_dim, config.hidden_act)
        self.layer_norm3 = nn.LayerNorm(size, eps=eps)
        self.layer_norm4 = nn.LayerNorm(size, eps=eps)
        self.cross_attn_image_to_token = DecoderAttention(config, rate)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        token_position: Tensor,
        image_position: Tensor,
        shared: tuple[SharedProjections, SharedProjections] | None,
        padding_bias: Tensor | None,
        similarity: Tensor | None,
        written: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One block; returns tokens, image, and the weights with which tokens attended to the image."""
        if self.skip_first_layer_pe:
            tokens, _ = self.self_attn(tokens, tokens, tokens, padding_bias)
        else:
            placed = tokens + token_position
            tokens = tokens + self.self_attn(placed, placed, tokens, padding_bias)[0]
        tokens = self.layer_norm1(tokens)

        attended, weights = _read_image(
            self.cross_attn_token_to_image,
            tokens + token_position,
            image,
            image_position,
            shared and shared[0],
            similarity,
        )
        tokens = self.layer_norm2(tokens + attended)
        tokens = self.layer_norm3(tokens + self.mlp(tokens))

        attention, placed = self.cross_attn_image_to_token, tokens + token_position
        if shared is None:
            image = self.layer_norm4(image + attention(image + image_position, placed, tokens, padding_bias)[0])
        else:
            bias = None if padding_bias is None else padding_bias.transpose(-2, -1)
            image = attention.image_reads_tokens(image, placed, tokens, shared[1], bias, self.layer_norm4, written)
        return tokens, image, weights


class TwoWayTransformer(nn.Module):
    """Blocks, and a last attention of tokens to the image."""

    def __init__(self, config: SamMaskDecoderConfig):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(config, skip_first_layer_pe=index == 0) for index in range(config.num_hidden_layers)
        )
        self.final_attn_token_to_image = DecoderAttention(config, config.attention_downsample_rate)
        self.layer_norm_final_attn = nn.LayerNorm(config.hidden_size)
        self._positions: Memo[list[Tensor]] = Memo()

    def share(self, image: Tensor, image_position: Tensor, prompts: int) -> list[SharedProjections] | None:
        """Everything that does not depend on the prompts' tokens, to be made once per image.

        Args:
            image: (batch, 1 or prompts, pixels, channels), image embedding plus dense prompt.
            image_position: (1, 1, pixels, channels).
            prompts: How many are to be decoded.

        Returns:
            For `forward`: the cross attentions' shared projections, two of each block and the last attention's; None
            under "eager", where nothing is shared.
        """
        if self.config._attn_implementation == "eager":
            return None
        projections = self._projections_of_image()
        # Before the first block writes to it, the image is the same for all prompts; a single one has it for its own.
        first, rest = projections[:2], projections[2:]
        if image.shape[1] > 1 or prompts == 1:
            first, rest = [], projections
        shared = []
        for attention, linear, reads_values in first:
            values = attention.split_heads(attention.v_proj(image)) if reads_values else None
            shared.append(SharedProjections(attention.split_heads(linear(image + image_position)), values, own=False))
        positions = self._positions.get(
            lambda: [attention.split_heads(linear(image_position)) for attention, linear, _ in rest],
            [image_position, *(tensor for _, linear, _ in rest for tensor in (linear.weight, linear.bias))],
        )
        return shared + [SharedProjections(position, None, own=True) for position in positions]

    def _projections_of_image(self) -> list[tuple[DecoderAttention, nn.Linear, bool]]:
        """Each cross attention, its projection of image and position, and whether it reads values of the image."""
        projections = []
        for layer in cast(list[TwoWayAttentionBlock], self.layers):
            read, write = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
            projections += [(read, read.k_proj, True), (write, write.q_proj, False)]
        last = self.final_attn_token_to_image
        return [*projections, (last, last.k_proj, True)]

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        image_position: Tensor,
        shared: list[SharedProjections] | None,
        is_padding: Tensor | None = None,
        similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        written: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Let tokens and image attend to each other.

        Args:
            tokens: (batch, prompts, tokens, channels).
            image: (batch, 1 or prompts, pixels, channels).
            image_position: (1, 1, pixels, channels).
            shared: What `share` returned for this image.
            is_padding: (batch, prompts, tokens) bool; such tokens are not attended to.
            similarity: Added to the scores of tokens and image in the blocks (PerSAM, https://arxiv.org/abs/2305.03048);
                broadcasts to (batch, prompts, heads, tokens, pixels).
            target_embedding: Added to the tokens before each block (PerSAM); broadcasts to `tokens`.
            written: (batch, prompts, pixels, channels), where image tokens may be written, to save memory; not where
                gradients are kept.

        Returns:
            Tokens, image tokens (batch, prompts, pixels, channels), and the weights with which tokens attended to the
            image, for each block and the last attention: (batch, prompts, heads, tokens, pixels).
        """
        padding_bias = None
        if is_padding is not None:
            padding_bias = torch.zeros_like(is_padding, dtype=tokens.dtype).masked_fill(is_padding, -torch.inf)
            padding_bias = padding_bias[:, :, None, None, :]
        # As in the reference, the first block's target also enters what serves as the tokens' position from then on.
        token_position = tokens if target_embedding is None else tokens + target_embedding
        all_weights = []
        for index, layer in enumerate(self.layers):
            if target_embedding is not None:
                tokens = tokens + target_embedding
            layer_shared = None if shared is None else (shared[2 * index], shared[2 * index + 1])
            tokens, image, weights = layer(
                tokens, image, token_position, image_position, layer_shared, padding_bias, similarity, written
            )
            all_weights.append(weights)
        attended, weights = _read_image(
            self.final_attn_token_to_image,
            tokens + token_position,
            image,
            image_position,
            None if shared is None else shared[-1],
            None,
        )
        return self.layer_norm_final_attn(tokens + attended), image, (*all_weights, weights)


def _read_image(
    attention: DecoderAttention,
    tokens: Tensor,
    image: Tensor,
    image_position: Tensor,
    shared: SharedProjections | None,
    similarity: Tensor | None,
) -> tuple[Tensor, Tensor]:
    if shared is None:
        return attention(tokens, image + image_position, image, similarity)
    return attention.tokens_read_image(tokens, image, shared, similarity)


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
