"""The way back: what both image processors do with the masks of the model, under the names that Transformers gives it.

Thin adapters over `masks.py`, `rle.py` and `crops.py`. To segment everything use `SamMaskGenerator`, which does in one
go, with Meta's semantics and without full-size intermediate masks, what `generate_crop_boxes`, `filter_masks` and
`post_process_for_mask_generation` are the steps of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..geometry.coordinates import (
    LABEL_FOREGROUND,
    LABEL_PADDING,
    MASK_PIXELS_PER_PATCH,
    ResizeGeometry,
    resized_size_hw,
)
from ..geometry.crops import boxes_near_crop_edge, build_point_grids, crop_boxes_xyxy, uncrop_boxes_xyxy, uncrop_masks
from ..masks.measures import masks_to_boxes_xyxy, nms, stability_scores
from ..masks.resize import resize_logits, resize_to_masks
from ..masks.rle import Rle, mask_to_rle, rle_to_mask

# Masks are resized together as long as their low-resolution rows, resized to full width, take this many bytes.
_CHUNK_BYTES = 16 * 2**20


class MaskPostProcessing:
    """Methods of the image processors that take masks; `self` knows how images were resized and padded."""

    do_pad: bool
    pad_size: Mapping[str, int] | None
    size_divisor: int | None

    def post_process_masks(
        self,
        masks: Any,
        original_sizes: Any,
        reshaped_input_sizes: Any,
        mask_threshold: float = 0.0,
        binarize: bool = True,
        pad_size: Mapping[str, int] | int | None = None,
    ) -> list[torch.Tensor]:
        """Removes the padding of masks and brings them to the size of the original images.

        Args:
            masks: `pred_masks` of the model, (B, P, M, h, w), or a list of (P, M, h, w), one per image; tensors or
                arrays.
            original_sizes: (B, 2), height and width of the images, as the processor returned them.
            reshaped_input_sizes: (B, 2), height and width after resizing, likewise.
            mask_threshold: logits above it are foreground.
            binarize: whether to return masks or logits.
            pad_size: height and width of the model's input, where it is not this processor's own.

        Returns:
            For each image (P, M, H, W) bool, or float32 logits with `binarize=False`, on the device of its masks.

        Raises:
            ValueError: the numbers of masks and sizes differ, or the sizes cannot be.
        """
        sizes = _pairs("original_sizes", original_sizes)
        reshaped_sizes = _pairs("reshaped_input_sizes", reshaped_input_sizes)
        if not len(masks) == len(sizes) == len(reshaped_sizes):
            raise ValueError(
                "There must be masks, an original size and a reshaped input size for each image, "
                f"got {len(masks)}, {len(sizes)} and {len(reshaped_sizes)}."
            )
        processed = []
        for logits, original_hw, reshaped_hw in zip(masks, sizes, reshaped_sizes, strict=True):
            if not isinstance(logits, torch.Tensor):
                logits = torch.from_numpy(np.asarray(logits))
            if logits.ndim < 2 or not logits.is_floating_point():
                raise ValueError(
                    "The masks of an image must be logits of shape (prompts, masks, height, width), "
                    f"got {logits.dtype} of shape {tuple(logits.shape)}."
                )
            padded_hw = self._padded_size_hw(pad_size, logits.shape[-2:], reshaped_hw, reshaped_sizes)
            geometry = ResizeGeometry(original_hw, reshaped_hw, padded_hw)
            processed.append(_resize_in_chunks(logits, geometry, mask_threshold if binarize else None))
        return processed

    def _padded_size_hw(
        self,
        pad_size: Mapping[str, int] | int | None,
        low_res_hw: Sequence[int],
        reshaped_hw: tuple[int, int],
        reshaped_sizes: list[tuple[int, int]],
    ) -> tuple[int, int]:
        """Height and width of the model's input that masks belong to."""
        is_given = pad_size is not None
        pad_size = self.pad_size if not is_given and self.do_pad else pad_size
        if isinstance(pad_size, int):
            pad_size = {"height": pad_size, "width": pad_size}
        if pad_size is not None:
            height, width = int(pad_size["height"]), int(pad_size["width"])
            if not is_given and low_res_hw[0] * width != low_res_hw[1] * height:
                raise ValueError(
                    f"Masks must have the shape of the model's input, padded to {height} x {width} (height x width), "
                    f"got masks of {low_res_hw[0]} x {low_res_hw[1]}; pass the `pad_size` that the images were given."
                )
            return height, width
        if not self.do_pad:
            return reshaped_hw
        if self.size_divisor is None:
            return max(height for height, _ in reshaped_sizes), max(width for _, width in reshaped_sizes)
        height, width = (
            side * self.size_divisor // MASK_PIXELS_PER_PATCH for side in low_res_hw
        )  # it is the patch size
        return height, width

    def generate_crop_boxes(
        self,
        image: Any,
        target_size: int | None = None,
        crop_n_layers: int = 0,
        overlap_ratio: float = 512 / 1500,
        points_per_crop: int = 32,
        crop_n_points_downscale_factor: int = 1,
        device: str | torch.device | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, list[Any], torch.Tensor]:
        """Cuts an image into layers of overlapping crops, each with a grid of points.

        Args:
            image: any image that `preprocess` takes.
            target_size: longest edge of a resized crop; by default this processor's own resize.
            crop_n_layers: layers beyond the whole image; layer i has 2^i x 2^i crops.
            overlap_ratio: how much crops of the first layer overlap, as a part of the image's shorter side.
            points_per_crop: points along each side of the grid.
            crop_n_points_downscale_factor: in layer i the grid's side is divided by this to the power of i.
            device: where the tensors lie; by default the CPU.

        Returns:
            Crop boxes (C, 4) float32 x0, y0, x1, y1 in pixels of the image; points (1, N, C, 2) float32 in pixels of
            each resized crop; the crops, 3 x height x width; labels (1, N, C) int64. Smaller grids are filled up with
            padding.
        """
        loaded = self._load(image, None, None)  # type: ignore[attr-defined]
        pixels = loaded if isinstance(loaded, torch.Tensor) else np.asarray(loaded).transpose(2, 0, 1)
        size_hw = (int(pixels.shape[1]), int(pixels.shape[2]))
        boxes, layers = crop_boxes_xyxy(size_hw, crop_n_layers, overlap_ratio)
        grids = build_point_grids(points_per_crop, crop_n_layers, crop_n_points_downscale_factor)
        n_points = max(len(grid) for grid in grids)
        points = torch.full((1, n_points, len(boxes), 2), float(LABEL_PADDING))
        labels = torch.full((1, n_points, len(boxes)), LABEL_PADDING, dtype=torch.int64)
        crops = []
        for index, ((x0, y0, x1, y1), layer) in enumerate(zip(boxes, layers, strict=True)):
            crops.append(pixels[:, y0:y1, x0:x1])
            crop_hw = (y1 - y0, x1 - x0)
            if target_size is None:
                geometry = self.geometry(crop_hw)  # type: ignore[attr-defined]
            else:
                resized_hw = resized_size_hw(crop_hw, target_size)
                geometry = ResizeGeometry(crop_hw, resized_hw, resized_hw)
            grid = grids[layer] * (crop_hw[1], crop_hw[0])
            points[0, : len(grid), index] = torch.from_numpy(geometry.points_to_model(grid))
            labels[0, : len(grid), index] = LABEL_FOREGROUND
        return torch.tensor(boxes, dtype=torch.float32, device=device), points.to(device), crops, labels.to(device)

    def filter_masks(
        self,
        masks: torch.Tensor,
        iou_scores: torch.Tensor,
        original_size: Sequence[int],
        cropped_box_image: Sequence[float],
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        mask_threshold: float = 0.0,
        stability_score_offset: float = 1.0,
    ) -> tuple[list[Rle], torch.Tensor, torch.Tensor]:
        """Keeps the masks of a crop that are good, stable and not cut off by the crop's edge.

        Args:
            masks: (P, M, h, w) logits at the size of the crop.
            iou_scores: (P, M) predicted by the model.
            original_size: height and width of the image.
            cropped_box_image: the crop, x0, y0, x1, y1 in pixels of the image.
            pred_iou_thresh: masks with a predicted IoU above it are kept; 0 keeps all.
            stability_score_thresh: masks at least as stable are kept; 0 keeps all.
            mask_threshold: logits above it are foreground.
            stability_score_offset: by how much the threshold moves each way to see how stable a mask is.

        Returns:
            RLEs of the whole image, scores (n,), and boxes (n, 4) int64 in pixels of the image.
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
        self, all_masks: Sequence[Rle], all_scores: torch.Tensor, all_boxes: torch.Tensor, crops_nms_thresh: float
    ) -> tuple[list[np.ndarray], torch.Tensor, list[Rle], torch.Tensor]:
        """Drops masks whose boxes repeat those of better ones.

        Args:
            all_masks: RLEs of all crops.
            all_scores: (N,) predicted IoU.
            all_boxes: (N, 4), x0, y0, x1, y1.
            crops_nms_thresh: boxes that overlap a better one with a larger IoU are dropped.

        Returns:
            Masks (H, W) bool, scores, RLEs and boxes of what was kept, best first.
        """
        kept = nms(all_boxes.float(), all_scores, crops_nms_thresh)
        rles = [all_masks[index] for index in kept.tolist()]
        return [rle_to_mask(rle) for rle in rles], all_scores[kept], rles, all_boxes[kept]


def _resize_in_chunks(logits: torch.Tensor, geometry: ResizeGeometry, threshold: float | None) -> torch.Tensor:
    """Logits (..., h, w) at the original size; as masks where there is a threshold."""
    height, width = geometry.original_size_hw
    flat = logits.reshape(-1, *logits.shape[-2:])
    out = torch.empty(
        len(flat), height, width, dtype=torch.float32 if threshold is None else torch.bool, device=flat.device
    )
    step = max(_CHUNK_BYTES // max(4 * flat.shape[1] * width, 1), 1)
    for part in (slice(first, first + step) for first in range(0, len(flat), step)):
        if threshold is None:
            out[part] = resize_logits(flat[part], geometry)
        else:
            resize_to_masks(flat[part], geometry, threshold, out=out[part])
    return out.reshape(*logits.shape[:-2], height, width)


def _pairs(name: str, sizes: Any) -> list[tuple[int, int]]:
    """Sizes as a list of (height, width)."""
    rows = sizes.tolist() if isinstance(sizes, torch.Tensor | np.ndarray) else sizes
    if any(len(row) != 2 for row in rows):
        raise ValueError(f"`{name}` must be (height, width) for each image, got {sizes}.")
    return [(int(height), int(width)) for height, width in rows]
