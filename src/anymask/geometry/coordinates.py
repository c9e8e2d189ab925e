"""The mapping between pixels of the original image and pixels of the model's input, and the codes of labels.

Every image is resized, and then padded at the right and at the bottom, before the model sees it. Points and boxes
travel the same way, and masks travel back. `images/options.py` chooses the sizes, `masks/resize.py` brings masks back.

Coordinates are continuous, x to the right and y down, with (0, 0) at the outer corner of the first pixel, so a box
around a whole image of height H and width W is (0, 0, W, H).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

# Codes of `input_labels`, one per point. Corners are how a box enters the prompt encoder: two points with labels of
# their own.
LABEL_FOREGROUND = 1
LABEL_BACKGROUND = 0
LABEL_BOX_TOP_LEFT = 2
LABEL_BOX_BOTTOM_RIGHT = 3
LABEL_NOT_A_POINT = -1  # a token that says "no point here"; the model attends to it
LABEL_PADDING = -10  # fills up a batch; masked out, so that it changes nothing
LABELS_WITHOUT_PLACE = (LABEL_NOT_A_POINT, LABEL_PADDING)
"""Whose coordinates mean nothing."""

PADDED_OBJECT = -100
"""Label of every pixel of an object that only fills up a batch. What `transformers.Trainer` does not count."""
IGNORED_PIXEL = -1
"""Label of a pixel of which nobody knows what it shows."""

LABEL_MEANINGS = "1 (foreground), 0 (background), 2 and 3 (corners of a box), -1 (not a point) or -10 (padding)"
"""The codes for people, in messages."""

MASK_PIXELS_PER_PATCH = 4
"""Pixels of the model's low-resolution masks along each side of a patch of the image embedding: the mask decoder
upscales twice by 2."""

LABELS = (
    LABEL_FOREGROUND,
    LABEL_BACKGROUND,
    LABEL_BOX_TOP_LEFT,
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_NOT_A_POINT,
    LABEL_PADDING,
)


def resized_size_hw(original_size_hw: Sequence[int], longest_edge: int) -> tuple[int, int]:
    """Size of an image whose longer side is brought to `longest_edge`, its aspect ratio kept.

    Args:
        original_size_hw: height and width in pixels, both at least 1.
        longest_edge: wanted length of the longer side in pixels.

    Returns:
        Height and width, halves rounded up; a side never falls below 1 pixel, however thin the image is.

    Raises:
        ValueError: If a side is below 1 pixel.

    Source: Meta's `ResizeLongestSide.get_preprocess_shape` for the rounding; the lower bound is ours.
    """
    height, width = (int(side) for side in original_size_hw)
    if height < 1 or width < 1:
        raise ValueError(f"An image must have at least 1 x 1 pixels, got {height} x {width} (height x width).")
    scale = longest_edge * 1.0 / max(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


@dataclass(frozen=True)
class ResizeGeometry:
    """How one image was brought to the size of the model's input.

    Attributes:
        original_size_hw: height and width of the image as it came, in pixels.
        resized_size_hw: height and width after resizing, in pixels; the frame's top left part that shows the image.
        padded_size_hw: height and width of the model's input in pixels; what lies right of and below the image is
            padding.

    Raises:
        ValueError: If a size is not a height and a width of at least 1 pixel, or the padded one holds no resized image.

    Examples:
        >>> import torch
        >>> from anymask import ResizeGeometry
        >>> geometry = ResizeGeometry((400, 600), (683, 1024), (1024, 1024))
        >>> geometry.points_to_original(torch.tensor([[1024.0, 683.0]]))
        tensor([[600., 400.]])
    """

    original_size_hw: tuple[int, int]
    resized_size_hw: tuple[int, int]
    padded_size_hw: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("original_size_hw", "resized_size_hw", "padded_size_hw"):
            size = tuple(int(side) for side in getattr(self, name))
            if len(size) != 2 or min(size) < 1:
                raise ValueError(
                    f"`{name}` must be a height and a width of at least 1 pixel, got {getattr(self, name)}."
                )
            object.__setattr__(self, name, size)
        if any(padded < resized for padded, resized in zip(self.padded_size_hw, self.resized_size_hw, strict=True)):
            raise ValueError(
                f"`padded_size_hw` must hold the resized image, got {self.padded_size_hw} for {self.resized_size_hw}. "
                "Raise the processor's `pad_size`, or lower its `size`."
            )

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Model pixels per original pixel along x and along y."""
        (original_h, original_w), (resized_h, resized_w) = self.original_size_hw, self.resized_size_hw
        return resized_w / original_w, resized_h / original_h

    def points_to_model(self, points_xy_original: Any) -> Any:
        """Points (..., 2) in pixels of the original image to float32 points in pixels of the model's input."""
        return _scale(points_xy_original, self.scale_xy, "points")

    def points_to_original(self, points_xy_model: Any) -> Any:
        """Points (..., 2) in pixels of the model's input to float32 points in pixels of the original image."""
        return _scale(points_xy_model, self._inverse_scale_xy, "points")

    def boxes_to_model(self, boxes_xyxy_original: Any) -> Any:
        """Boxes (..., 4) as x0, y0, x1, y1 in pixels of the original image to float32 boxes in model pixels."""
        return _scale(boxes_xyxy_original, self.scale_xy * 2, "boxes")

    def boxes_to_original(self, boxes_xyxy_model: Any) -> Any:
        """Boxes (..., 4) as x0, y0, x1, y1 in model pixels to float32 boxes in pixels of the original image."""
        return _scale(boxes_xyxy_model, self._inverse_scale_xy * 2, "boxes")

    @property
    def _inverse_scale_xy(self) -> tuple[float, float]:
        (original_h, original_w), (resized_h, resized_w) = self.original_size_hw, self.resized_size_hw
        return original_w / resized_w, original_h / resized_h


def _scale(coordinates: Any, factors: tuple[float, ...], what: str) -> Any:
    """A float32 copy, its last axis multiplied by `factors`; torch stays torch, anything else becomes NumPy."""
    if isinstance(coordinates, torch.Tensor):
        _check_last_axis(coordinates.shape, len(factors), what)
        return coordinates.to(torch.float32) * torch.tensor(factors, dtype=torch.float32, device=coordinates.device)
    array = np.asarray(coordinates, dtype=np.float32)
    _check_last_axis(array.shape, len(factors), what)
    return array * np.asarray(factors, dtype=np.float32)


def _check_last_axis(shape: Sequence[int], wanted: int, what: str) -> None:
    if len(shape) == 0 or shape[-1] != wanted:
        raise ValueError(f"{what} must have shape (..., {wanted}), got {tuple(shape)}.")
