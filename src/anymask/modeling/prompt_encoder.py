"""The prompt encoder: points, boxes and masks to embeddings (Segment Anything, section 3 and appendix A).

Points and box corners become tokens: a positional encoding of where they are plus a learned embedding of what they are.
A mask becomes a dense embedding that is added to the image embedding. Coordinates are pixels of the model's input, x to
the right and y down; label codes live in `coordinates.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..configuration_sam import SamPromptEncoderConfig
from ..geometry.coordinates import (
    LABEL_BACKGROUND,
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_FOREGROUND,
    LABEL_NOT_A_POINT,
    LABEL_PADDING,
)
from .fast.memo import Memo
from .layers import LayerNorm2d, activation

POINT_EMBEDDING_LABELS = (LABEL_BACKGROUND, LABEL_FOREGROUND, LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT)
"""The labels whose learned embeddings are `point_embed.0` to `point_embed.3`."""


class PromptEmbeddings(NamedTuple):
    """Prompts as the mask decoder takes them."""

    sparse: Tensor | None  # (batch, prompts, tokens, channels), or None without points and boxes
    dense: Tensor  # (batch, channels, height, width), or (batch, prompts, channels, height, width) with own masks
    is_padding: Tensor | None  # (batch, prompts, tokens) bool: tokens that must not be attended to; None if none can be


class PositionalEmbedding(nn.Module):
    """Random Fourier features of positions (https://arxiv.org/abs/2006.10739), shared by prompts and image.

    The frequencies are drawn once and never trained. Meta's code holds them as a buffer; here they are a parameter, so
    that transformers ties and stores them as in the hub's files, but no gradient ever reaches it.
    """

    def __init__(self, num_pos_feats: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(2, num_pos_feats), requires_grad=False)
        self._grid: Memo[Tensor] = Memo()

    def forward(self, points_xy: Tensor) -> Tensor:
        """Encode positions (..., 2), x and y from 0 to 1, as (..., 2 * num_pos_feats) in float32.

        In half precision neighbouring pixels would share a code, so this runs in float32 in every model.
        """
        x_frequency, y_frequency = self.positional_embedding.detach().float()
        centred = 2 * points_xy.float() - 1
        # Not a matrix product: autocast would compute that in half precision.
        angles = 2 * math.pi * (centred[..., :1] * x_frequency + centred[..., 1:] * y_frequency)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def grid(self, grid_hw: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Encode the centres of an image embedding's cells, (1, channels, height, width), computed in float32.

        The cells are the top-left corner of a square whose side is the longer one, as in training with padded images.
        """
        return self._grid.get(lambda: self._make_grid(grid_hw).to(dtype), [self.positional_embedding], grid_hw, dtype)

    def _make_grid(self, grid_hw: tuple[int, int]) -> Tensor:
        height, width = grid_hw
        side = max(height, width)
        centres = (torch.arange(side, device=self.positional_embedding.device, dtype=torch.float32) + 0.5) / side
        x, y = centres[:width].expand(height, width), centres[:height, None].expand(height, width)
        return self(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None]


class MaskEmbedding(nn.Module):
    """Low-resolution mask logits, four times finer than the image embedding, to a dense embedding."""

    def __init__(self, config: SamPromptEncoderConfig):
        super().__init__()
        channels = config.mask_input_channels
        self.conv1 = nn.Conv2d(1, channels // 4, kernel_size=2, stride=2)
        self.layer_norm1 = LayerNorm2d(channels // 4, eps=config.layer_norm_eps)
        self.conv2 = nn.Conv2d(channels // 4, channels, kernel_size=2, stride=2)
        self.layer_norm2 = LayerNorm2d(channels, eps=config.layer_norm_eps)
        self.conv3 = nn.Conv2d(channels, config.hidden_size, kernel_size=1)
        self.activation = activation(config.hidden_act)

    def forward(self, masks: Tensor) -> Tensor:
        """(masks, 1, 4 * height, 4 * width) to (masks, hidden_size, height, width)."""
        features = self.activation(self.layer_norm1(self.conv1(masks)))
        features = self.activation(self.layer_norm2(self.conv2(features)))
        return self.conv3(features)


class PromptEncoder(nn.Module):
    """Points, boxes and masks to `PromptEmbeddings`.

    Args:
        config: The prompt encoder's configuration.
    """

    def __init__(self, config: SamPromptEncoderConfig):
        super().__init__()
        self.config = config
        # `SamModel` ties its frequencies to those that encode the image's positions.
        self.shared_embedding = PositionalEmbedding(config.hidden_size // 2)
        self.mask_embed = MaskEmbedding(config)
        self.no_mask_embed = nn.Embedding(1, config.hidden_size)
        self.point_embed = nn.ModuleList(nn.Embedding(1, config.hidden_size) for _ in POINT_EMBEDDING_LABELS)
        self.not_a_point_embed = nn.Embedding(1, config.hidden_size)

    def forward(
        self,
        input_points: Tensor | None,
        input_labels: Tensor | None,
        input_boxes: Tensor | None,
        input_masks: Tensor | None,
        grid_hw: tuple[int, int],
    ) -> PromptEmbeddings:
        """Encode prompts.

        Args:
            input_points: (batch, prompts, points, 2), in pixels of the model's input.
            input_labels: (batch, prompts, points), codes of `coordinates.LABELS`. None means all foreground.
            input_boxes: (batch, prompts, 4), left, top, right, bottom in pixels of the model's input.
            input_masks: (batch, 1, 4 * height, 4 * width), one for the prompts of an image, or
                (batch, prompts, 4 * height, 4 * width), one each; logits. NaN throughout stands for no mask.
            grid_hw: Height and width of the image embedding.

        Raises:
            ValueError: If a mask is not four times the image embedding.
        """
        dtype = self.no_mask_embed.weight.dtype
        tokens, padding = [], []
        if input_points is not None:
            if input_labels is None:
                # All foreground: nothing can be padding, so the decoder is spared the mask.
                labels = torch.full(input_points.shape[:3], LABEL_FOREGROUND, device=input_points.device)
            else:
                labels = input_labels.long()  # the negative codes do not fit every type
            if input_boxes is None:
                input_points, labels = _append_not_a_point(input_points, labels)
            tokens.append(self._embed_points(input_points, labels, grid_hw))
            padding.append(None if input_labels is None else labels == LABEL_PADDING)
        if input_boxes is not None:
            corners = input_boxes.unflatten(-1, (2, 2))
            labels = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT], device=input_boxes.device)
            labels = labels.expand(corners.shape[:3])
            tokens.append(self._embed_points(corners, labels, grid_hw))
            padding.append(None)
        sparse = torch.cat(tokens, dim=2).to(dtype) if tokens else None
        return PromptEmbeddings(sparse, self._embed_masks(input_masks, grid_hw), _join_padding(tokens, padding))

    def _embed_points(self, points: Tensor, labels: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Tokens of points in float32; a token of padding is zero."""
        input_side = max(grid_hw) * self.config.patch_size
        embedding = self.shared_embedding((points.float() + 0.5) / input_side)  # + 0.5: the centre of the pixel
        embedding = embedding.masked_fill((labels < LABEL_BACKGROUND)[..., None], 0.0)  # not a point, padding
        # A row for each label, in ascending order: padding, far below the others, not a point, and those that are.
        padding, not_a_point = torch.zeros_like(self.not_a_point_embed.weight), self.not_a_point_embed.weight
        points_and_corners = [layer.weight for layer in cast(Iterable[nn.Embedding], self.point_embed)]
        learned = torch.cat([padding, not_a_point, *points_and_corners]).float()
        return embedding + F.embedding((labels - LABEL_NOT_A_POINT + 1).clamp(min=0), learned)

    def _embed_masks(self, masks: Tensor | None, grid_hw: tuple[int, int]) -> Tensor:
        height, width = grid_hw
        if masks is None:
            return self.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(1, -1, height, width)
        if masks.ndim != 4 or tuple(masks.shape[2:]) != (4 * height, 4 * width):
            raise ValueError(
                f"input_masks must be logits of shape (batch, 1 or prompts, {4 * height}, {4 * width}), "
                f"got {tuple(masks.shape)}; SamProcessor brings any mask to this shape."
            )
        batch, count = masks.shape[:2]
        no_mask = self.no_mask_embed.weight[..., None, None]
        is_absent = masks.flatten(0, 1).isnan().all(dim=(-2, -1))[:, None, None, None]
        # Filled, for NaN would be in the gradients of what it passes through.
        filled = masks.flatten(0, 1)[:, None].masked_fill(is_absent, 0)
        dense = self.mask_embed(filled.to(no_mask.dtype))
        # A copy is made where there may be something to replace; an accelerator is not asked, which would wait for it.
        if dense.device.type != "cpu" or torch.compiler.is_compiling() or is_absent.any():
            dense = torch.where(is_absent, no_mask, dense)
        return dense if count == 1 else dense.unflatten(0, (batch, count))


def _append_not_a_point(points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Add the token that stands for a missing box to every prompt that has no box corner among its labels.

    SAM was trained with it. A prompt with corners gets padding instead, so that each prompt is what it would be alone.
    """
    has_corner = ((labels == LABEL_BOX_TOP_LEFT) | (labels == LABEL_BOX_BOTTOM_RIGHT)).any(dim=-1, keepdim=True)
    extra = torch.where(has_corner, LABEL_PADDING, LABEL_NOT_A_POINT).to(labels.dtype)
    return torch.cat([points, torch.zeros_like(points[:, :, :1])], dim=2), torch.cat([labels, extra], dim=2)


def _join_padding(tokens: list[Tensor], padding: list[Tensor | None]) -> Tensor | None:
    if all(part is None for part in padding):
        return None
    parts = [
        token.new_zeros(token.shape[:3], dtype=torch.bool) if part is None else part
        for token, part in zip(tokens, padding, strict=True)
    ]
    return torch.cat(parts, dim=2)
