"""The prompt encoder: points, boxes and masks to embeddings (Segment Anything, section 3 and appendix A).

Points and box corners become tokens: a positional encoding of where they are plus a learned embedding of what they are.
A mask becomes a dense embedding that is added to the image embedding. Coordinates are pixels of the model's input, x to
the right and y down; label codes live in `coordinates.py`.
"""

from __future__ import annotations

import math

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
    MASK_PIXELS_PER_PATCH,
)
from ..support.exporting import is_being_exported
from .layers import LayerNorm2d, activation

POINT_EMBEDDING_LABELS = (LABEL_BACKGROUND, LABEL_FOREGROUND, LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT)
"""The labels whose learned embeddings are `point_embed.0` to `point_embed.3`."""


def grid_centres_xy(grid_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Where the patches of an image embedding are, (height, width, 2), x and y from 0 to 1, float32.

    They are the top-left corner of a square whose side is the longer one, as in training with padded images.
    """
    height, width = grid_hw
    side = max(height, width)
    centres = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side
    x, y = centres[:width].expand(height, width), centres[:height, None].expand(height, width)
    return torch.stack([x, y], dim=-1)


class PositionalEmbedding(nn.Module):
    """Random Fourier features of positions (https://arxiv.org/abs/2006.10739), shared by prompts and image.

    The frequencies are drawn once and never trained. Meta's code holds them as a buffer; here they are a parameter, so
    that transformers ties and stores them as in the hub's files, but no gradient ever reaches it.
    """

    def __init__(self, num_pos_feats: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(2, num_pos_feats), requires_grad=False)

    def forward(self, points_xy: Tensor) -> Tensor:
        """Encode positions (..., 2), x and y from 0 to 1, as (..., 2 * num_pos_feats) in float32.

        In half precision neighbouring pixels would share a code, so this runs in float32 in every model.
        """
        x_frequency, y_frequency = self.positional_embedding.detach().float()
        centred = 2 * points_xy.float() - 1
        # Not a matrix product: autocast would compute that in half precision.
        angles = 2 * math.pi * (centred[..., :1] * x_frequency + centred[..., 1:] * y_frequency)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class MaskEmbedding(nn.Module):
    """Low-resolution mask logits, four times finer than the image embedding, to a dense embedding."""

    def __init__(self, config: SamPromptEncoderConfig):
        super().__init__()
        channels = config.mask_input_channels
        self.conv1 = nn.Conv2d(1, channels // 4, kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(channels // 4, channels, kernel_size=2, stride=2)
        self.conv3 = nn.Conv2d(channels, config.hidden_size, kernel_size=1)
        self.layer_norm1 = LayerNorm2d(channels // 4, eps=config.layer_norm_eps)
        self.layer_norm2 = LayerNorm2d(channels, eps=config.layer_norm_eps)
        self.activation = activation(config.hidden_act)

    def forward(self, masks: Tensor) -> Tensor:
        """(masks, 1, 4 * height, 4 * width) to (masks, hidden_size, height, width)."""
        features = self.activation(self.layer_norm1(self.conv1(masks)))
        features = self.activation(self.layer_norm2(self.conv2(features)))
        return self.conv3(features)


class PromptEncoder(nn.Module):
    """Points, boxes and masks to the sparse and the dense embedding.

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
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
        grid_hw: tuple[int, int] | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Encode prompts.

        Args:
            input_points: (batch, prompts, points, 2), in pixels of the model's input.
            input_labels: (batch, prompts, points), codes of `coordinates.LABELS`. None means all foreground.
            input_boxes: (batch, prompts, 4), left, top, right, bottom in pixels of the model's input.
            input_masks: (batch, 1, 4 * height, 4 * width), one for the prompts of an image, or
                (batch, prompts, 4 * height, 4 * width), one each; logits. NaN throughout stands for no mask.
            grid_hw: Height and width of the image embedding; None takes the configuration's.

        Returns:
            The sparse embedding, (batch, prompts, tokens, channels), or None without points and boxes; and the dense
            one, (1 or batch, channels, height, width), or (batch, prompts, channels, height, width) with own masks.

        Raises:
            ValueError: If a mask is not four times the image embedding.
        """
        side = self.config.image_embedding_size
        grid_hw = grid_hw or (side, side)
        learned = self._call_embeddings()
        tokens = []
        if input_points is not None:
            points, labels = _complete_points(input_points, input_labels, has_boxes=input_boxes is not None)
            tokens.append(self._embed_points(points, labels, learned, grid_hw))
        if input_boxes is not None:
            corners = torch.stack([input_boxes[..., :2], input_boxes[..., 2:]], dim=-2)
            labels = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT], device=input_boxes.device)
            tokens.append(self._embed_points(corners, labels.expand(corners.shape[:3]), learned, grid_hw))
        no_mask = learned["no mask"]
        sparse = torch.cat(tokens, dim=2).to(no_mask.dtype) if tokens else None
        return sparse, self._embed_masks(input_masks, no_mask, grid_hw)

    def _call_embeddings(self) -> dict[str | int, Tensor]:
        """What has been learned, (1, channels) each: of every label, of what is no point, of the absence of a mask."""
        index = torch.zeros(1, dtype=torch.long, device=next(self.parameters()).device)
        learned: dict[str | int, Tensor] = {"no mask": self.no_mask_embed(index)}
        learned[LABEL_NOT_A_POINT] = self.not_a_point_embed(index)
        for label, embed in zip(POINT_EMBEDDING_LABELS, self.point_embed, strict=True):
            learned[label] = embed(index)
        return learned

    def _embed_points(
        self, points: Tensor, labels: Tensor, learned: dict[str | int, Tensor], grid_hw: tuple[int, int]
    ) -> Tensor:
        """Tokens of points in float32: where they are and what they are; a token of padding is zero."""
        input_side = max(grid_hw) * self.config.patch_size
        embedding = self.shared_embedding((points.float() + 0.5) / input_side)  # + 0.5: the centre of the pixel
        labels = labels[..., None]
        embedding = embedding.masked_fill(labels < LABEL_BACKGROUND, 0.0)  # not a point, padding: no position
        for label in (LABEL_NOT_A_POINT, *POINT_EMBEDDING_LABELS):
            embedding = embedding + learned[label].float().masked_fill(labels != label, 0.0)
        return embedding

    def _embed_masks(self, masks: Tensor | None, no_mask: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        height, width = grid_hw
        no_mask = no_mask[..., None, None]  # (1, channels, 1, 1)
        if masks is None:
            return no_mask.expand(-1, -1, height, width)
        mask_hw = (MASK_PIXELS_PER_PATCH * height, MASK_PIXELS_PER_PATCH * width)
        if masks.ndim != 4 or tuple(masks.shape[2:]) != mask_hw:
            raise ValueError(
                f"input_masks must be logits of shape (batch, 1 or prompts, {mask_hw[0]}, {mask_hw[1]}), "
                f"got {tuple(masks.shape)}; SamProcessor brings any mask to this shape."
            )
        batch, count = masks.shape[:2]
        is_absent = masks.flatten(0, 1).isnan().all(dim=-1).all(dim=-1)[:, None, None, None]
        # Filled, for NaN would be in the gradients of what it passes through.
        filled = masks.flatten(0, 1)[:, None].masked_fill(is_absent, 0)
        dense = self.mask_embed(filled.to(no_mask.dtype))
        # A copy is made where there may be something to replace; an accelerator is not asked, which would wait for it.
        if dense.device.type != "cpu" or is_being_exported() or is_absent.any():
            dense = torch.where(is_absent, no_mask, dense)
        return dense if count == 1 else dense.unflatten(0, (batch, count))


def find_padding(input_points: Tensor | None, input_labels: Tensor | None, input_boxes: Tensor | None) -> Tensor | None:
    """Which tokens of the sparse embedding must not be attended to: (batch, prompts, tokens) bool, None if none can be.

    Args:
        input_points: As in `PromptEncoder.forward`, as the others.
        input_labels: Likewise.
        input_boxes: Likewise.
    """
    if input_points is None or input_labels is None:  # all foreground: the decoder is spared the comparison
        return None
    _, labels = _complete_points(input_points, input_labels, has_boxes=input_boxes is not None)
    return F.pad(labels == LABEL_PADDING, (0, 0 if input_boxes is None else 2), value=False)


def find_filling(input_labels: Tensor | None, input_boxes: Tensor | None) -> Tensor | None:
    """Which prompts only fill up the batch: (batch, prompts) bool, None if none can; arguments as in `find_padding`."""
    if input_labels is None or input_boxes is not None:
        return None
    return (input_labels == LABEL_PADDING).all(dim=-1)


def _complete_points(points: Tensor, labels: Tensor | None, has_boxes: bool) -> tuple[Tensor, Tensor]:
    """Points and whole labels with the token that stands for a missing box, where there are no boxes.

    SAM was trained with it. A prompt with a box's corners among its labels gets padding instead, so that each prompt is
    what it would be alone.
    """
    if labels is None:
        labels = torch.full_like(points[..., 0], LABEL_FOREGROUND, dtype=torch.long)
    labels = labels.long()  # the negative codes do not fit every type
    if has_boxes:
        return points, labels
    has_corner = ((labels == LABEL_BOX_TOP_LEFT) | (labels == LABEL_BOX_BOTTOM_RIGHT)).any(dim=-1, keepdim=True)
    extra = torch.where(has_corner, LABEL_PADDING, LABEL_NOT_A_POINT).to(labels.dtype)
    nowhere = points.new_zeros(points.shape[0], points.shape[1], 1, 2)
    return torch.cat([points, nowhere], dim=2), torch.cat([labels, extra], dim=2)
