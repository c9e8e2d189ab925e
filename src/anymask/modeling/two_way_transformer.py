"""The two-way transformer of the mask decoder: tokens attend to the image, the image attends to the tokens.

Source: Segment Anything, appendix A, "Lightweight mask decoder", figure 14.

Shapes: `tokens` (batch, prompts, tokens, channels); `image` (batch, 1 or prompts, pixels, channels), 1 as long as all
prompts share it, pixels being the patches of the image embedding; attention weights (batch, prompts, heads, queries,
keys).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..configuration_sam import SamMaskDecoderConfig
from .layers import Mlp


class DecoderAttention(nn.Module):
    """Multi-head attention among tokens, or between tokens and image.

    Args:
        config: The mask decoder's configuration.
        downsample_rate: The model's channels over the channels inside the attention.
    """

    def __init__(self, config: SamMaskDecoderConfig, downsample_rate: int):
        super().__init__()
        self.num_attention_heads = config.num_attention_heads
        inner = config.hidden_size // downsample_rate
        self.scale = (inner // config.num_attention_heads) ** -0.5
        self.q_proj = nn.Linear(config.hidden_size, inner)
        self.k_proj = nn.Linear(config.hidden_size, inner)
        self.v_proj = nn.Linear(config.hidden_size, inner)
        self.out_proj = nn.Linear(inner, config.hidden_size)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            query: (batch, prompts, queries, channels); the prompts of any of the three may be 1.
            key: (batch, prompts, keys, channels).
            value: (batch, prompts, keys, channels).
            bias: Added to the scores; broadcasts to (batch, prompts, heads, queries, keys).

        Returns:
            Attended values, (batch, prompts, queries, channels), and weights, (batch, prompts, heads, queries, keys).
        """
        query = split_heads(self.q_proj(query), self.num_attention_heads) * self.scale
        key = split_heads(self.k_proj(key), self.num_attention_heads)
        value = split_heads(self.v_proj(value), self.num_attention_heads)
        scores = query @ key.transpose(-2, -1)
        weights = (scores if bias is None else scores + bias).softmax(dim=-1)
        return self.out_proj(join_heads(weights @ value)), weights


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
        *,
        token_position: Tensor,
        image_position: Tensor,
        padding_bias: Tensor | None = None,
        similarity: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One block; returns tokens, image, and the weights with which tokens attended to the image."""
        if self.skip_first_layer_pe:
            tokens, _ = self.self_attn(query=tokens, key=tokens, value=tokens, bias=padding_bias)
        else:
            placed = tokens + token_position
            tokens = tokens + self.self_attn(query=placed, key=placed, value=tokens, bias=padding_bias)[0]
        tokens = self.layer_norm1(tokens)

        attended, weights = self.cross_attn_token_to_image(
            query=tokens + token_position, key=image + image_position, value=image, bias=similarity
        )
        tokens = self.layer_norm2(tokens + attended)
        tokens = self.layer_norm3(tokens + self.mlp(tokens))

        attended, _ = self.cross_attn_image_to_token(
            query=image + image_position, key=tokens + token_position, value=tokens, bias=padding_bias
        )
        return tokens, self.layer_norm4(image + attended), weights


class TwoWayTransformer(nn.Module):
    """Blocks, and a last attention of tokens to the image."""

    def __init__(self, config: SamMaskDecoderConfig):
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(config, skip_first_layer_pe=index == 0) for index in range(config.num_hidden_layers)
        )
        self.final_attn_token_to_image = DecoderAttention(config, config.attention_downsample_rate)
        self.layer_norm_final_attn = nn.LayerNorm(config.hidden_size)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        image_position: Tensor,
        *,
        is_padding: Tensor | None = None,
        similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Let tokens and image attend to each other.

        Args:
            tokens: (batch, prompts, tokens, channels). Before any block they also serve as the tokens' positions.
            image: (batch, 1 or prompts, pixels, channels).
            image_position: (1 or batch, 1, pixels, channels).
            is_padding: (batch, prompts, tokens) bool; such tokens are not attended to.
            similarity: Added to the scores of tokens and image in the blocks (PerSAM, https://arxiv.org/abs/2305.03048);
                broadcasts to (batch, prompts, heads, tokens, pixels).
            target_embedding: Added to the tokens before each block (PerSAM); broadcasts to `tokens`.

        Returns:
            Tokens, the image of each prompt, and the weights with which tokens attended to the image, for each block
            and the last attention: (batch, prompts, heads, tokens, pixels).
        """
        padding_bias = None if is_padding is None else bias_of_padding(is_padding, tokens.dtype)
        # As in the reference, the first block's target also enters what serves as the tokens' position from then on.
        token_position = tokens if target_embedding is None else tokens + target_embedding
        all_weights = []
        for layer in self.layers:
            if target_embedding is not None:
                tokens = tokens + target_embedding
            tokens, image, weights = layer(
                tokens,
                image,
                token_position=token_position,
                image_position=image_position,
                padding_bias=padding_bias,
                similarity=similarity,
            )
            all_weights.append(weights)
        attended, weights = self.final_attn_token_to_image(
            query=tokens + token_position, key=image + image_position, value=image
        )
        return self.layer_norm_final_attn(tokens + attended), image, (*all_weights, weights)


def bias_of_padding(is_padding: Tensor, dtype: torch.dtype) -> Tensor:
    """(batch, prompts, tokens) bool to what is added to scores, (batch, prompts, 1, 1, tokens): -inf for padding."""
    bias = torch.zeros_like(is_padding, dtype=dtype).masked_fill(is_padding, -torch.inf)
    return bias[:, :, None, None, :]


def split_heads(features: Tensor, heads: int) -> Tensor:
    """(batch, prompts, length, inner) to (batch, prompts, heads, length, head channels)."""
    return features.unflatten(-1, (heads, -1)).transpose(-3, -2)


def join_heads(features: Tensor) -> Tensor:
    """(batch, prompts, heads, length, head channels) to (batch, prompts, length, inner)."""
    return features.transpose(-3, -2).flatten(-2)
