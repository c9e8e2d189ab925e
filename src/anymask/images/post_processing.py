"""The way back: what the image processors do with the masks of the model, as functions.

Their arguments are those of the methods of `SamImageProcessor`, where they are described. To segment everything use
`SamMaskGenerator`, which does in one go, with Meta's semantics and without full-size intermediate masks, what
`generate_crop_boxes`, `filter_masks` and `post_process_for_mask_generation` are the steps of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..geometry.coordinates import LABEL_FOREGROUND, LABEL_PADDING, MASK_PIXELS_PER_PATCH, ResizeGeometry
from ..geometry.crops import boxes_near_crop_edge, build_point_grids, crop_boxes_xyxy, uncrop_boxes_xyxy, uncrop_masks
from ..masks.measures import masks_to_boxes_xyxy, nms, stability_scores
from ..masks.resize import resize_logits, resize_to_masks
from ..masks.rle import Rle, mask_to_rle, rle_to_mask
from .options import ImageOptions

# Masks are resized together as long as their low-resolution rows, resized to full width, take this many bytes.
CHUNK_BYTES = 16 * 2**20


def post_process_masks(
    masks: Any,
    original_sizes: Any,
    reshaped_input_sizes: Any,
    *,
    options: ImageOptions,
    pad_size: Mapping[str, int] | Sequence[int] | int | None = None,
    mask_threshold: float = 0.0,
    binarize: bool = True,
    chunk_bytes: int = CHUNK_BYTES,
) -> list[torch.Tensor]:
    """Remove the padding of masks and bring them to the size of the original images.

    Args:
        masks: see `SamImageProcessor.post_process_masks`.
        original_sizes: see there.
        reshaped_input_sizes: see there.
        options: of the processor that prepared the images; they say how these were padded.
        pad_size: see there.
        mask_threshold: see there.
        binarize: see there.
        chunk_bytes: how much memory intermediate results may take; results do not depend on it.

    Returns:
        For each image (P, M, H, W) bool, or float32 logits with `binarize=False`, on the device of its masks.

    Raises:
        TypeError: If the masks of an image are neither a tensor nor an array.
        ValueError: If the numbers of masks and sizes differ, or the sizes cannot be.
    """
    sizes = _pairs("original_sizes", original_sizes)
    reshaped_sizes = _pairs("reshaped_input_sizes", reshaped_input_sizes)
    for logits in masks:
        if not isinstance(logits, torch.Tensor | np.ndarray):
            raise TypeError(f"The masks of an image must be a tensor or an array, got {type(logits).__name__}.")
    if not len(masks) == len(sizes) == len(reshaped_sizes):
        raise ValueError(
            "There must be masks, an original size and a reshaped input size for each image, "
            f"got {len(masks)}, {len(sizes)} and {len(reshaped_sizes)}."
        )
    processed = []
    for logits, original_hw, reshaped_hw in zip(masks, sizes, reshaped_sizes, strict=True):
        if isinstance(logits, np.ndarray):
            logits = torch.from_numpy(logits)
        if logits.ndim < 2 or not logits.is_floating_point():
            raise ValueError(
                "The masks of an image must be logits of shape (prompts, masks, height, width), "
                f"got {logits.dtype} of shape {tuple(logits.shape)}."
            )
        padded_hw = _padded_size_hw(options, pad_size, logits.shape[-2:], reshaped_hw, reshaped_sizes=reshaped_sizes)
        geometry = ResizeGeometry(original_hw, reshaped_hw, padded_hw)
        processed.append(_resize_in_chunks(logits, geometry, mask_threshold if binarize else None, chunk_bytes))
    return processed


def _padded_size_hw(
    options: ImageOptions,
    pad_size: Mapping[str, int] | Sequence[int] | int | None,
    low_res_hw: Sequence[int],
    reshaped_hw: tuple[int, int],
    reshaped_sizes: list[tuple[int, int]],
) -> tuple[int, int]:
    """Height and width of the model's input that masks belong to."""
    is_given = pad_size is not None
    pad_size = options.pad_size if not is_given and options.do_pad else pad_size
    if pad_size is not None:
        height, width = _height_and_width(pad_size)
        if not is_given and low_res_hw[0] * width != low_res_hw[1] * height:
            raise ValueError(
                f"Masks must have the shape of the model's input, padded to {height} x {width} (height x width), "
                f"got masks of {low_res_hw[0]} x {low_res_hw[1]}; pass the `pad_size` that the images were given."
            )
        return height, width
    if not options.do_pad:
        return reshaped_hw
    if options.size_divisor is None:
        return max(height for height, _ in reshaped_sizes), max(width for _, width in reshaped_sizes)
    patch_size = options.size_divisor
    height, width = (side * patch_size // MASK_PIXELS_PER_PATCH for side in low_res_hw)
    return height, width


def _height_and_width(size: Mapping[str, int] | Sequence[int] | int) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    height, width = size if isinstance(size, Sequence) else (size["height"], size["width"])
    return int(height), int(width)


def generate_crop_boxes(
    size_hw: tuple[int, int],
    *,
    options: ImageOptions,
    crop_n_layers: int,
    overlap_ratio: float,
    points_per_crop: int,
    crop_n_points_downscale_factor: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lay layers of overlapping crops over an image, each with a grid of points.

    Args:
        size_hw: height and width of the image in pixels.
        options: say how a crop is resized.
        crop_n_layers: see `SamImageProcessor.generate_crop_boxes`.
        overlap_ratio: see there.
        points_per_crop: see there.
        crop_n_points_downscale_factor: see there.

    Returns:
        Crop boxes (C, 4), points (1, N, C, 2) and labels (1, N, C), as there.
    """
    boxes, layers = crop_boxes_xyxy(size_hw, crop_n_layers, overlap_ratio)
    grids = build_point_grids(points_per_crop, crop_n_layers, crop_n_points_downscale_factor)
    n_points = max(len(grid) for grid in grids)
    points = np.full((1, n_points, len(boxes), 2), LABEL_PADDING, dtype=np.float32)
    labels = np.full((1, n_points, len(boxes)), LABEL_PADDING, dtype=np.int64)
    for index, ((x0, y0, x1, y1), layer) in enumerate(zip(boxes, layers, strict=True)):
        grid = grids[layer] * (x1 - x0, y1 - y0)
        points[0, : len(grid), index] = options.geometry((y1 - y0, x1 - x0)).points_to_model(grid)
        labels[0, : len(grid), index] = LABEL_FOREGROUND
    return torch.from_numpy(np.array(boxes, dtype=np.float32)), torch.from_numpy(points), torch.from_numpy(labels)


def filter_masks(
    masks: torch.Tensor,
    iou_scores: torch.Tensor,
    original_size: Sequence[int],
    cropped_box_image: Sequence[float],
    *,
    pred_iou_thresh: float,
    stability_score_thresh: float,
    mask_threshold: float,
    stability_score_offset: float,
) -> tuple[list[Rle], torch.Tensor, torch.Tensor]:
    """Keep the masks of a crop that are good, stable and not cut off by its edge; see `SamImageProcessor`.

    Raises:
        ValueError: If there is not one score per mask.
    """
    masks, iou_scores = masks.flatten(0, 1), iou_scores.flatten(0, 1).to(masks.device)
    if len(masks) != len(iou_scores):
        raise ValueError(f"There must be one IoU score per mask, got {len(iou_scores)} for {len(masks)} masks.")
    if pred_iou_thresh > 0:
        good = iou_scores > pred_iou_thresh
        masks, iou_scores = masks[good], iou_scores[good]
    if stability_score_thresh > 0:
        stable = stability_scores(masks, mask_threshold, stability_score_offset) >= stability_score_thresh
        masks, iou_scores = masks[stable], iou_scores[stable]
    binary = masks > mask_threshold
    crop_box_xyxy = [int(edge) for edge in cropped_box_image]
    boxes = masks_to_boxes_xyxy(binary)
    whole = ~boxes_near_crop_edge(boxes, crop_box_xyxy, original_size)
    rles = [mask_to_rle(uncrop_masks(mask, crop_box_xyxy, original_size)) for mask in binary[whole]]
    return rles, iou_scores[whole], uncrop_boxes_xyxy(boxes[whole], crop_box_xyxy)


def post_process_for_mask_generation(
    all_masks: Sequence[Rle], all_scores: torch.Tensor, all_boxes: torch.Tensor, crops_nms_thresh: float
) -> tuple[list[np.ndarray], torch.Tensor, list[Rle], torch.Tensor]:
    """Drop masks whose boxes repeat those of better ones; see `SamImageProcessor`."""
    kept = nms(all_boxes.float(), all_scores, crops_nms_thresh)
    rles = [all_masks[index] for index in kept.tolist()]
    return [rle_to_mask(rle) for rle in rles], all_scores[kept], rles, all_boxes[kept]


def _resize_in_chunks(
    logits: torch.Tensor, geometry: ResizeGeometry, threshold: float | None, chunk_bytes: int
) -> torch.Tensor:
    """Logits (..., h, w) at the original size; as masks where there is a threshold."""
    height, width = geometry.original_size_hw
    flat = logits.reshape(-1, *logits.shape[-2:])
    out = torch.empty(
        len(flat), height, width, dtype=torch.float32 if threshold is None else torch.bool, device=flat.device
    )
    step = max(chunk_bytes // max(4 * flat.shape[1] * width, 1), 1)
    for part in (slice(first, first + step) for first in range(0, len(flat), step)):
        if threshold is None:
            out[part] = resize_logits(flat[part], geometry)
        else:
            resize_to_masks(flat[part], geometry, threshold, out=out[part])
    return out.reshape(*logits.shape[:-2], height, width)


def _pairs(name: str, sizes: Any) -> list[tuple[int, int]]:
    """Sizes as a list of (height, width)."""
    rows = sizes.tolist() if isinstance(sizes, torch.Tensor | np.ndarray) else sizes
    if any(np.shape(row) != (2,) for row in rows):
        raise ValueError(f"`{name}` must be (height, width) for each image, got {sizes}.")
    return [(int(height), int(width)) for height, width in rows]
