"""The two-way transformer of the mask decoder: tokens read the image, the image reads the tokens.

Source: Segment Anything, appendix A, "Lightweight mask decoder".

How the attentions between tokens and image do less work than their formula is in `decoder_attention.py`.

Shapes: `tokens` (batch, prompts, tokens, channels); `image` (batch, 1 or prompts, pixels, channels), where 1 means that
the prompts still share it; `weights` (batch, prompts, heads, tokens, pixels).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .configuration_sam import SamMaskDecoderConfig
from .decoder_attention import DecoderAttention, SharedProjections
from .layers import Mlp
from .memo import Memo


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
