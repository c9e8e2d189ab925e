"""The image encoder: patches, windowed and global transformer blocks, neck (Segment Anything, section 3, appendix A).

A plain ViT (ViTDet, https://arxiv.org/abs/2203.16527) whose blocks attend within windows, but for a few that attend
globally. Activations are (batch, height, width, channels), in patches, until the neck.

Inputs of another size than the model was trained at (`interpolate_pos_encoding`) are treated as what they are: the
top-left corner of a padded square, as in training. Positions are resized for the longer side, then cropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..configuration_sam import SamVisionConfig
from ..prompts.checks import check_tensors
from ..support.chunks import parts_at_a_time
from .attention import RelativePositionBias, attention_function
from .layers import LayerNorm2d, Mlp, floating_dtype, or_default
from .outputs import SamVisionEncoderOutput

STRIP_BYTES = 16 * 2**20
"""Bytes of a layer's widest activations at a time for each thread of a CPU: what stays in the last-level cache."""


class PatchEmbedding(nn.Module):
    """Cuts an image into patches and projects each to a vector."""

    def __init__(self, config: SamVisionConfig):
        super().__init__()
        self.projection = nn.Conv2d(config.num_channels, config.hidden_size, config.patch_size, config.patch_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(batch, channels, height, width) in pixels to (batch, height, width, hidden_size) in patches."""
        return self.projection(pixel_values).permute(0, 2, 3, 1)


class VisionAttention(nn.Module):
    """Multi-head attention of patches, within windows or over the whole image, with decomposed relative positions.

    Args:
        config: The image encoder's configuration.
        window_size: Side of a window in patches; 0 attends globally.
    """

    def __init__(self, config: SamVisionConfig, window_size: int):
        super().__init__()
        self.config = config
        self.window_size = window_size
        self.num_attention_heads = config.num_attention_heads
        head_channels = config.hidden_size // config.num_attention_heads
        self.scale = head_channels**-0.5
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)
        if config.use_rel_pos:
            side = window_size or config.image_size // config.patch_size
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, head_channels))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, head_channels))

    def forward(self, hidden_states: Tensor, output_attentions: bool = False) -> tuple[Tensor, Tensor | None]:
        """Attend over (batch, height, width, channels); the output has the same shape."""
        batch, height, width, channels = hidden_states.shape
        qkv = self.qkv(hidden_states)
        if self.window_size:
            qkv = self._pad_to_windows(qkv)
            qkv = _window_partition(qkv, self.window_size)
        groups, group_height, group_width, _ = qkv.shape
        qkv = qkv.reshape(groups, group_height * group_width, 3, self.num_attention_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (groups, heads, patches, head channels)

        relative_position = None
        if self.config.use_rel_pos:
            side = self.window_size or max(height, width)
            relative_position = self._relative_position(query, (group_height, group_width), side)
        attend = attention_function(self.config._attn_implementation, output_attentions)
        dropout = self.config.attention_dropout if self.training else 0.0
        attended, weights = attend(
            query, key, value, scale=self.scale, relative_position=relative_position, dropout=dropout
        )
        attended = attended.transpose(1, 2).reshape(groups, group_height, group_width, channels)
        if self.window_size:
            attended = _window_unpartition(attended, self.window_size, (height, width), batch)
        return self.proj(attended), weights

    def _pad_to_windows(self, qkv: Tensor) -> Tensor:
        """Fill up the right and the bottom to whole windows.

        SAM pads with zeros before the projection, so the query, key and value of padding are the projection's bias:
        projecting only the real patches and padding with the bias is the same, and a fifth less work at 64 x 64.
        """
        batch, height, width, channels = qkv.shape
        pad_height, pad_width = -height % self.window_size, -width % self.window_size
        if not pad_height and not pad_width:
            return qkv
        # The layer of zeros rather than its bias, for quantised and adapted layers have other ways to hold that.
        bias = self.qkv(qkv.new_zeros(1, self.config.hidden_size))[0].to(qkv.dtype)
        if pad_width:
            qkv = torch.cat([qkv, bias.expand(batch, height, pad_width, channels)], dim=2)
        if pad_height:
            qkv = torch.cat([qkv, bias.expand(batch, pad_height, width + pad_width, channels)], dim=1)
        return qkv

    def _relative_position(self, query: Tensor, grid_hw: tuple[int, int], side: int) -> RelativePositionBias:
        height, width = grid_hw
        table_h = _relative_position_table(self.rel_pos_h, height, side)
        table_w = _relative_position_table(self.rel_pos_w, width, side)
        grid = query.unflatten(2, grid_hw)  # (groups, heads, height, width, head channels)
        rows = torch.einsum("ghyxc,ykc->ghyxk", grid, table_h)
        columns = torch.einsum("ghyxc,xkc->ghyxk", grid, table_w)
        return RelativePositionBias(rows.flatten(2, 3), columns.flatten(2, 3))


class VisionLayer(nn.Module):
    """A transformer block: attention and MLP, each after a layer norm and around a residual."""

    def __init__(self, config: SamVisionConfig, window_size: int):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = VisionAttention(config, window_size)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Mlp(config.hidden_size, config.mlp_dim, config.hidden_act)
        self.mlp_dim = config.mlp_dim

    def forward(self, hidden_states: Tensor, output_attentions: bool = False) -> tuple[Tensor, Tensor | None]:
        """(batch, height, width, hidden_size) to the same shape, and attention weights where asked for."""
        rows = self._rows_at_a_time(hidden_states)
        if self.attn.window_size and not output_attentions:
            strips = hidden_states.split(rows, dim=1)
            return _joined([self._transform(self._attend(strip)[0]) for strip in strips]), None
        hidden_states, weights = self._attend(hidden_states, output_attentions)
        return _joined([self._transform(strip) for strip in hidden_states.split(rows, dim=1)]), weights

    def _attend(self, hidden_states: Tensor, output_attentions: bool = False) -> tuple[Tensor, Tensor | None]:
        attended, weights = self.attn(self.layer_norm1(hidden_states), output_attentions)
        return hidden_states + attended, weights

    def _transform(self, hidden_states: Tensor) -> Tensor:
        return hidden_states + self.mlp(self.layer_norm2(hidden_states))

    def _rows_at_a_time(self, hidden_states: Tensor) -> int:
        """Rows of patches, whole windows, to go through at a time: rows of windows do not see each other.

        What is between the layer's input and its output then stays in the cache and needs no memory of its own.
        """
        batch, height, width, _ = hidden_states.shape
        bytes_per_row = batch * width * self.mlp_dim * hidden_states.element_size()
        rows = min(parts_at_a_time(bytes_per_row, hidden_states.device, STRIP_BYTES), height)
        window = self.attn.window_size
        return max(rows // window, 1) * window if window and rows < height else rows


class VisionNeck(nn.Module):
    """Two convolutions that bring the transformer's channels to the image embedding's."""

    def __init__(self, config: SamVisionConfig):
        super().__init__()
        self.conv1 = nn.Conv2d(config.hidden_size, config.output_channels, kernel_size=1, bias=False)
        self.layer_norm1 = LayerNorm2d(config.output_channels, eps=1e-6)
        self.conv2 = nn.Conv2d(config.output_channels, config.output_channels, kernel_size=3, padding=1, bias=False)
        self.layer_norm2 = LayerNorm2d(config.output_channels, eps=1e-6)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(batch, height, width, hidden_size) to (batch, output_channels, height, width)."""
        features = self.conv1(hidden_states.permute(0, 3, 1, 2))
        return self.layer_norm2(self.conv2(self.layer_norm1(features)))


class VisionEncoder(nn.Module):
    """Image to image embedding."""

    def __init__(self, config: SamVisionConfig):
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbedding(config)
        self.pos_embed = None
        if config.use_abs_pos:
            side = config.image_size // config.patch_size
            self.pos_embed = nn.Parameter(torch.zeros(1, side, side, config.hidden_size))
        self.layers = nn.ModuleList(
            VisionLayer(config, 0 if index in config.global_attn_indexes else config.window_size)
            for index in range(config.num_hidden_layers)
        )
        self.neck = VisionNeck(config)
        self.gradient_checkpointing = False  # set by gradient_checkpointing_enable()
        self._gradient_checkpointing_func = checkpoint

    def forward(
        self,
        pixel_values: Tensor,
        interpolate_pos_encoding: bool = False,
        *,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> SamVisionEncoderOutput | tuple:
        """Encode images.

        Args:
            pixel_values: (batch, channels, height, width), normalised.
            interpolate_pos_encoding: Whether sizes other than the configuration's square are accepted; height and
                width must be multiples of the patch size.
            output_hidden_states: Whether to return the activations between blocks; or which of them.
            output_attentions: Whether to return attention weights, computed by the plain formula.
            return_dict: False returns a tuple of what is set.

        Raises:
            TypeError: If the images are no tensor.
            ValueError: If shape or number of channels is not what the model takes.
        """
        self._check_input(pixel_values, interpolate_pos_encoding)
        output_attentions = or_default(output_attentions, self.config.output_attentions)
        wanted = self._wanted_states(or_default(output_hidden_states, self.config.output_hidden_states))
        hidden_states = self.patch_embed(pixel_values.to(floating_dtype(self.patch_embed, pixel_values.dtype)))
        if self.pos_embed is not None:
            hidden_states = hidden_states + resize_position_embedding(self.pos_embed, tuple(hidden_states.shape[1:3]))
        all_hidden_states = [hidden_states if 0 in wanted else None]
        all_attentions = []
        for number, layer in enumerate(self.layers, start=1):
            if self.gradient_checkpointing and self.training:
                hidden_states, weights = self._gradient_checkpointing_func(
                    layer.__call__, hidden_states, output_attentions
                )
            else:
                hidden_states, weights = layer(hidden_states, output_attentions)
            all_hidden_states.append(hidden_states if number in wanted else None)
            all_attentions.append(weights)
        output = SamVisionEncoderOutput(
            last_hidden_state=self.neck(hidden_states),
            hidden_states=tuple(all_hidden_states) if wanted else None,
            attentions=tuple(all_attentions) if output_attentions else None,
        )
        return output if or_default(return_dict, self.config.return_dict) else output.to_tuple()

    def _wanted_states(self, wanted: bool | int | Sequence[int]) -> set[int]:
        """Which activations are asked for, counted from the first block's input; negative numbers from the end."""
        count = len(self.layers) + 1
        if isinstance(wanted, bool):
            return set(range(count)) if wanted else set()
        numbers = [wanted] if isinstance(wanted, int) else wanted
        return {number % count for number in numbers if -count <= number < count}

    def _check_input(self, pixel_values: Tensor, interpolate_pos_encoding: bool) -> None:
        check_tensors(pixel_values=pixel_values)
        side, patch, channels = self.config.image_size, self.config.patch_size, self.config.num_channels
        if pixel_values.ndim != 4 or pixel_values.shape[1] != channels:
            raise ValueError(
                f"pixel_values must have shape (batch, {channels}, height, width), got {tuple(pixel_values.shape)}; "
                f"prepare images with SamProcessor."
            )
        height, width = pixel_values.shape[2:]
        if interpolate_pos_encoding and (height % patch or width % patch):
            raise ValueError(
                f"Height and width of pixel_values must be multiples of the patch size {patch}, "
                f"got {height} x {width}; pad the image at the right and the bottom."
            )
        if not interpolate_pos_encoding and (height, width) != (side, side):
            raise ValueError(
                f"pixel_values must be {side} x {side} (height x width), got {height} x {width}; "
                f"pass interpolate_pos_encoding=True to run the model at another size."
            )


def _joined(strips: list[Tensor]) -> Tensor:
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=1)


def _window_partition(features: Tensor, window_size: int) -> Tensor:
    """(batch, height, width, channels) to (batch * windows, window_size, window_size, channels)."""
    batch, height, width, channels = features.shape
    grid = features.view(batch, height // window_size, window_size, width // window_size, window_size, channels)
    return grid.transpose(2, 3).reshape(-1, window_size, window_size, channels)


def _window_unpartition(windows: Tensor, window_size: int, size_hw: tuple[int, int], batch: int) -> Tensor:
    """The way back from `_window_partition`, without the padding."""
    height, width = size_hw
    # Not by negative numbers, of which ONNX's division takes the other neighbour.
    rows, columns = (height + window_size - 1) // window_size, (width + window_size - 1) // window_size
    grid = windows.view(batch, rows, columns, window_size, window_size, -1).transpose(2, 3)
    return grid.reshape(batch, rows * window_size, columns * window_size, -1)[:, :height, :width]


def _relative_position_table(rel_pos: Tensor, size: int, side: int) -> Tensor:
    """Embedding of the distance between each query and key position along one axis, (size, size, channels).

    Args:
        rel_pos: (2 * trained side - 1, channels), from the most negative to the most positive distance.
        size: Positions along the axis.
        side: Side of the square whose top-left corner the positions are; distances are scaled as it is to the
            trained side.
    """
    rel_pos = resize_relative_positions(rel_pos, side)
    position = torch.arange(size, device=rel_pos.device)
    return rel_pos[position[:, None] - position[None, :] + side - 1]


def resize_relative_positions(rel_pos: Tensor, side: int) -> Tensor:
    """Relative positions of a grid of another side: (2 * side - 1, channels), interpolated linearly as Meta does."""
    distances = 2 * side - 1
    if rel_pos.shape[0] == distances:
        return rel_pos
    resized = F.interpolate(rel_pos.float().T[None], size=distances, mode="linear")
    return resized[0].T.to(rel_pos.dtype)


def resize_position_embedding(pos_embed: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Absolute positions for a grid that is the top-left corner of a square: resized for its longer side, cropped."""
    height, width = grid_hw
    side = max(height, width)
    if pos_embed.shape[1] != side:
        planes = pos_embed.float().permute(0, 3, 1, 2)
        planes = F.interpolate(planes, size=(side, side), mode="bicubic", align_corners=False)
        pos_embed = planes.permute(0, 2, 3, 1).to(pos_embed.dtype)
    return pos_embed[:, :height, :width]
