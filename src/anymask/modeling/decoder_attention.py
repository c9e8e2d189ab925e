"""Attention of the mask decoder, by its plain formula: among tokens, of tokens to the image, of the image to tokens.

Between tokens and image the same result is had with less work in `image_tokens.py`.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..configuration_sam import SamMaskDecoderConfig


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
        return self.out_proj(join_heads(weights @ value)), weights

    def split_heads(self, features: Tensor) -> Tensor:
        """(batch, prompts, length, inner) to (batch, prompts, heads, length, head channels)."""
        return split_heads(features, self.num_attention_heads)


def split_heads(features: Tensor, heads: int) -> Tensor:
    """(batch, prompts, length, inner) to (batch, prompts, heads, length, head channels)."""
    return features.unflatten(-1, (heads, -1)).transpose(-3, -2)


def join_heads(features: Tensor) -> Tensor:
    """(batch, prompts, heads, length, head channels) to (batch, prompts, length, inner)."""
    return features.transpose(-3, -2).flatten(-2)
