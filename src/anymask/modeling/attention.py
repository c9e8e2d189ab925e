"""Attention functions: one signature, one dictionary, the same result.

Each takes query, key and value with heads split, and returns the attended values and, where it has them, the weights.
`SamModel.from_pretrained(..., attn_implementation=)` chooses among them by name. Used by `image_encoder.py`; the mask
decoder's attention is in `two_way_transformer.py`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..support.exporting import is_being_exported

BIAS_BYTES = {"cpu": 4 * 2**20}
"""Largest relative-position bias that exists at a time, by device type: on a CPU, what stays in the last-level cache.
Global attention at 1024 px would need 0.8 GB at once."""
DEFAULT_BIAS_BYTES = 512 * 2**20
FOLDING_DEVICES = ("cuda",)
"""Where `sdpa` folds relative positions in half precision: where matrix products cost less than a bias to be read."""
MAX_FOLDED_CHANNELS = 256
"""Most channels of a head that flash attention takes."""


class RelativePositionBias(NamedTuple):
    """A bias on attention scores that splits into a row and a column part (MViTv2, section 4.1).

    The score of query `i` and key `(y, x)` gains `rows[i, y] + columns[i, x]`.
    """

    rows: Tensor  # (batch, heads, queries, key_height)
    columns: Tensor  # (batch, heads, queries, key_width)

    def full(self) -> Tensor:
        """The bias of every query on every key, (batch, heads, queries, keys)."""
        return (self.rows[..., :, None] + self.columns[..., None, :]).flatten(-2)


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
    """PyTorch's fused attention; the relative-position bias exists for some windows, heads or queries at a time.

    Or not at all, where `folded_attention` is the way. See `AttentionFunction`.
    """
    if relative_position is None:
        return F.scaled_dot_product_attention(query, key, value, None, dropout, scale=scale), None
    if _is_better_folded(query, relative_position):
        return folded_attention(query, key, value, scale=scale, relative_position=relative_position, dropout=dropout)
    dim, size = _block_size(query, key)
    if dim is None:
        bias = relative_position.full()
        return F.scaled_dot_product_attention(query, key, value, bias, dropout, scale=scale), None
    queries, rows, columns = (tensor.split(size, dim) for tensor in (query, *relative_position))
    keys, values = (tensor.split(size, dim) if dim < 2 else [tensor] * len(queries) for tensor in (key, value))
    blocks = [
        sdpa_attention(*block, scale=scale, relative_position=RelativePositionBias(*bias), dropout=dropout)[0]
        for *block, bias in zip(queries, keys, values, zip(rows, columns, strict=True), strict=True)
    ]
    return torch.cat(blocks, dim), None


def folded_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    relative_position: RelativePositionBias | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """PyTorch's fused attention with the relative-position bias as part of the product of query and key.

    A query gets its `rows` and `columns` as further channels, a key says in the same channels in which row and column
    it lies: no bias is left, so that kernels that take none (flash attention) can run. See `AttentionFunction`.

    In half precision this rounds less than a bias, which is a rounded sum: rows and columns enter as they are, but for
    1 / scale, which is exact for heads of 64 channels, and 0.08 % off in bfloat16 for heads of 80. It stands on the
    side of the keys, so that rows and columns keep to the range of float16.
    """
    if relative_position is None:
        return sdpa_attention(query, key, value, scale=scale, dropout=dropout)
    channels, folded_channels = value.shape[-1], _folded_channels(query, relative_position)
    fill = folded_channels - channels
    positions = torch.cat(relative_position, dim=-1)
    places = _places(relative_position, key) / scale
    query = torch.cat([query, F.pad(positions, (0, fill - positions.shape[-1]))], dim=-1)
    places = F.pad(places, (0, fill - places.shape[-1])).expand(*key.shape[:2], -1, -1)
    key = torch.cat([key, places], dim=-1)
    value = F.pad(value, (0, fill))  # flash attention takes one width for all three
    attended = F.scaled_dot_product_attention(query, key, value, None, dropout, scale=scale)
    return attended[..., :channels], None


def _folded_channels(query: Tensor, relative_position: RelativePositionBias) -> int:
    """Channels of a head with its positions, filled up to the multiple of 8 that kernels ask for."""
    channels = query.shape[-1] + sum(part.shape[-1] for part in relative_position)
    return -(-channels // 8) * 8


def _places(relative_position: RelativePositionBias, like: Tensor) -> Tensor:
    """Of each key a 1 where its row is and a 1 where its column is: (keys, key_height + key_width)."""
    height, width = (part.shape[-1] for part in relative_position)
    rows = torch.eye(height, dtype=like.dtype, device=like.device)[:, None].expand(height, width, height)
    columns = torch.eye(width, dtype=like.dtype, device=like.device).expand(height, width, width)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def _is_better_folded(query: Tensor, relative_position: RelativePositionBias) -> bool:
    """Folding doubles or triples the channels: cheap for tensor cores, which work in half precision, and only there."""
    return (
        query.device.type in FOLDING_DEVICES
        and query.dtype in (torch.float16, torch.bfloat16)
        and _folded_channels(query, relative_position) <= MAX_FOLDED_CHANNELS
    )


def _block_size(query: Tensor, key: Tensor) -> tuple[int | None, int]:
    """Along which dimension to divide the queries so that the bias is small, None for not at all; and how far."""
    if is_being_exported():  # an exported graph holds for any number of images, a compiled one fuses the bias
        return None, 0
    # The first dimension that can be divided: windows, else heads, else queries.
    dim = next((dim for dim in range(3) if query.shape[dim] > 1), None)
    bias_bytes = query.shape[:3].numel() * key.shape[2] * query.element_size()
    most_bytes = BIAS_BYTES.get(query.device.type, DEFAULT_BIAS_BYTES)
    if dim is None or bias_bytes <= most_bytes:
        return None, 0
    return dim, max(1, query.shape[dim] * most_bytes // bias_bytes)


ATTENTION_FUNCTIONS: dict[str, AttentionFunction] = {
    "eager": eager_attention,
    "sdpa": sdpa_attention,
    "folded": folded_attention,
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
