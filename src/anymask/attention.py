"""Attention functions: one signature, one dictionary, the same result.

Each takes query, key and value with heads split, and returns the attended values and, where it has them, the weights.
`SamModel.from_pretrained(..., attn_implementation=)` chooses among them by name. Used by `image_encoder.py`; the mask
decoder has a way of its own to do less work, see `two_way_transformer.py`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

BIAS_BLOCK_BYTES = 32 * 2**20
"""Largest relative-position bias that exists at a time; global attention at 1024 px would need 0.8 GB at once."""


class RelativePositionBias(NamedTuple):
    """A bias on attention scores that splits into a row and a column part (MViTv2, section 4.1).

    The score of query `i` and key `(y, x)` gains `rows[i, y] + columns[i, x]`.
    """

    rows: Tensor  # (batch, heads, queries, key_height)
    columns: Tensor  # (batch, heads, queries, key_width)

    def full(self, start: int = 0, stop: int | None = None) -> Tensor:
        """The bias of queries `start` to `stop` on all keys, (batch, heads, queries, keys)."""
        rows, columns = self.rows[:, :, start:stop], self.columns[:, :, start:stop]
        return (rows[..., :, None] + columns[..., None, :]).flatten(-2)


class AttentionFunction(Protocol):
    """The signature of every entry of `ATTENTION_FUNCTIONS`."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        relative_position: RelativePositionBias | None = None,
        dropout: float = 0.0,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query: (batch, heads, queries, head channels).
            key: (batch, heads, keys, head channels).
            value: (batch, heads, keys, head channels).
            scale: Factor on the dot product of query and key.
            relative_position: Added to the scaled scores; keys lie on a grid, row by row.
            dropout: Share of attention weights dropped.

        Returns:
            Attended values (batch, heads, queries, head channels), and the attention weights (batch, heads, queries,
            keys) where the implementation has them, else None.
        """
        ...


def eager_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    relative_position: RelativePositionBias | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """The plain formula, with attention weights. See `AttentionFunction`."""
    scores = (query * scale) @ key.transpose(-2, -1)
    if relative_position is not None:
        scores = scores + relative_position.full()
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return F.dropout(weights, dropout) @ value, weights


def sdpa_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    relative_position: RelativePositionBias | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """PyTorch's fused attention; the relative-position bias exists for one block of queries at a time.

    See `AttentionFunction`.
    """
    if relative_position is None:
        return F.scaled_dot_product_attention(query, key, value, None, dropout, scale=scale), None
    batch, heads, queries, _ = query.shape
    bytes_per_query = batch * heads * key.shape[-2] * query.element_size()
    block = max(1, BIAS_BLOCK_BYTES // bytes_per_query)
    blocks = []
    for start in range(0, queries, block):
        block_bias = relative_position.full(start, start + block)
        block_query = query[:, :, start : start + block]
        blocks.append(F.scaled_dot_product_attention(block_query, key, value, block_bias, dropout, scale=scale))
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2), None


ATTENTION_FUNCTIONS: dict[str, AttentionFunction] = {
    "eager": eager_attention,
    "sdpa": sdpa_attention,
}
"""Attention by the name that `attn_implementation` takes."""


def attention_function(name: str | None, output_attentions: bool = False) -> AttentionFunction:
    """The attention function to use: the named one, or the plain formula where attention weights are asked for.

    Args:
        name: A key of `ATTENTION_FUNCTIONS`; None means "sdpa".
        output_attentions: Whether the caller needs the weights, which fused attention does not give.

    Raises:
        ValueError: If there is no such implementation.
    """
    name = name or "sdpa"
    if name not in ATTENTION_FUNCTIONS:
        raise ValueError(f"attn_implementation must be one of {sorted(ATTENTION_FUNCTIONS)}, got {name!r}.")
    return eager_attention if output_attentions else ATTENTION_FUNCTIONS[name]
