"""Where "segment everything" looks: grids of points, crops of the image, and the way from a crop back to the image.

Crops come in layers: layer 0 is the whole image, layer i cuts it into 2^i x 2^i parts that overlap. Each layer has a
grid of its own. `mask_generation/` uses all of this; the image processors offer it under the names that Transformers
gives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch


def build_point_grid(points_per_side: int) -> np.ndarray:
    """Evenly spaced points (points_per_side^2, 2), x then y, in [0, 1], row by row; float64.

    Raises:
        ValueError: If there are none.
    """
    if points_per_side < 1:
        raise ValueError(f"A grid must have at least 1 point per side, got {points_per_side}.")
    centres = (np.arange(points_per_side) + 0.5) / points_per_side
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def build_point_grids(points_per_side: int, n_layers: int = 0, downscale_factor: int = 1) -> list[np.ndarray]:
    """One grid per crop layer, the whole image first.

    In layer i the side of the grid is divided by `downscale_factor ** i`, and never falls below 1 point.

    Raises:
        ValueError: If `points_per_side` or `downscale_factor` is below 1.
    """
    if downscale_factor < 1:
        raise ValueError(f"`crop_n_points_downscale_factor` must be at least 1, got {downscale_factor}.")
    return [build_point_grid(max(int(points_per_side / downscale_factor**layer), 1)) for layer in range(n_layers + 1)]


def crop_boxes_xyxy(
    original_size_hw: Sequence[int], n_layers: int = 0, overlap_ratio: float = 512 / 1500
) -> tuple[list[list[int]], list[int]]:
    """Boxes of all crops of an image, and the layer of each.

    Args:
        original_size_hw: height and width of the image in pixels.
        n_layers: layers of crops beyond the whole image; layer i has 2^i crops along each side.
        overlap_ratio: how much crops of the first layer overlap, as a part of the image's shorter side; each further
            layer halves it.

    Returns:
        Boxes [x0, y0, x1, y1] in pixels of the image, the right and lower edge excluded, whole image first; layer per
        box.

    Raises:
        ValueError: If `n_layers` is negative, or `overlap_ratio` is not in [0, 1).

    Source: Meta's `generate_crop_boxes`. Crops that would be empty, in images of a few pixels, are left out here.
    """
    if n_layers < 0:
        raise ValueError(f"`crop_n_layers` must not be negative, got {n_layers}.")
    if not 0 <= overlap_ratio < 1:
        raise ValueError(f"`crop_overlap_ratio` must lie in [0, 1), got {overlap_ratio}.")
    height, width = (int(side) for side in original_size_hw)
    boxes, layers = [[0, 0, width, height]], [0]
    for layer in range(1, n_layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / per_side))
        x_ranges = _crop_ranges(width, per_side, overlap)
        y_ranges = _crop_ranges(height, per_side, overlap)
        crops = [[x0, y0, x1, y1] for x0, x1 in x_ranges for y0, y1 in y_ranges if x0 < x1 and y0 < y1]
        boxes.extend(crops)
        layers.extend([layer] * len(crops))
    return boxes, layers


def _crop_ranges(length: int, n_crops: int, overlap: int) -> list[tuple[int, int]]:
    crop_length = math.ceil((overlap * (n_crops - 1) + length) / n_crops)
    firsts = [(crop_length - overlap) * index for index in range(n_crops)]
    return [(first, min(first + crop_length, length)) for first in firsts]


def uncrop_boxes_xyxy(boxes_xyxy: torch.Tensor, crop_box_xyxy: Sequence[int]) -> torch.Tensor:
    """Boxes (N, 4) in pixels of a crop to boxes in pixels of the image; the dtype stays."""
    left, top = (int(edge) for edge in crop_box_xyxy[:2])
    return boxes_xyxy + torch.tensor([left, top, left, top], dtype=boxes_xyxy.dtype, device=boxes_xyxy.device)


def uncrop_masks(masks: torch.Tensor, crop_box_xyxy: Sequence[int], original_size_hw: Sequence[int]) -> torch.Tensor:
    """Masks (..., crop height, crop width) of a crop to masks (..., height, width) of the image, background around.

    Raises:
        ValueError: If the masks are not of the crop's size.
    """
    left, top, right, bottom = (int(edge) for edge in crop_box_xyxy)
    height, width = (int(side) for side in original_size_hw)
    if masks.shape[-2:] != (bottom - top, right - left):
        raise ValueError(
            f"The masks of crop {[left, top, right, bottom]} must be {bottom - top} x {right - left} (height x width), "
            f"got {tuple(masks.shape[-2:])}."
        )
    return torch.nn.functional.pad(masks, (left, width - right, top, height - bottom))


def boxes_near_crop_edge(
    boxes_xyxy: torch.Tensor, crop_box_xyxy: Sequence[int], original_size_hw: Sequence[int], tolerance: float = 20.0
) -> torch.Tensor:
    """Which boxes touch an edge of their crop that is not an edge of the image: their objects are cut off.

    Args:
        boxes_xyxy: (N, 4), in pixels of the crop.
        crop_box_xyxy: the crop, in pixels of the image.
        original_size_hw: height and width of the image in pixels.
        tolerance: up to how many pixels away counts as touching.

    Returns:
        (N,) bool.
    """
    height, width = original_size_hw
    boxes = uncrop_boxes_xyxy(boxes_xyxy, crop_box_xyxy).float()
    crop = torch.tensor([float(edge) for edge in crop_box_xyxy], dtype=boxes.dtype, device=boxes.device)
    image = torch.tensor([0.0, 0.0, float(width), float(height)], dtype=boxes.dtype, device=boxes.device)
    near_crop = (boxes - crop).abs() <= tolerance
    near_image = (boxes - image).abs() <= tolerance
    return (near_crop & ~near_image).any(dim=1)
