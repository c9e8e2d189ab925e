"""What there is to know of full-size masks: stability, bounding box, overlap; and non-maximum suppression of boxes.

The box of an RLE is `rle.rle_to_box_xyxy`, that of low-resolution logits `SparseUpsampler.boxes`.
"""

from __future__ import annotations

import numpy as np
import torch


def stability_scores(
    logits: torch.Tensor, mask_threshold: float = 0.0, stability_score_offset: float = 1.0
) -> torch.Tensor:
    """How little each mask changes when its threshold moves: IoU of the masks at threshold + and - offset.

    Args:
        logits: (..., H, W).
        mask_threshold: where logits become foreground.
        stability_score_offset: by how much the threshold moves each way.

    Returns:
        (...) float32 in [0, 1]; 0 where even the lower threshold leaves no pixel.

    Source: Segment Anything (2023), appendix on automatic mask generation.
    """
    # The smaller mask lies inside the larger, so their areas are intersection and union.
    intersections = (logits > mask_threshold + stability_score_offset).sum(dim=(-2, -1))
    unions = (logits > mask_threshold - stability_score_offset).sum(dim=(-2, -1))
    return intersections.float() / unions.clamp(min=1).float()


def masks_to_boxes_xyxy(masks: torch.Tensor) -> torch.Tensor:
    """Bounding boxes (..., 4) int64 of boolean masks (..., H, W).

    Boxes are pixel indices x0, y0, x1, y1 with the last column and row included, as Meta and Transformers give them, so
    a mask of one pixel has x0 == x1. An empty mask has the box 0, 0, 0, 0.
    """
    height, width = masks.shape[-2:]
    if masks.numel() == 0:
        return torch.zeros(*masks.shape[:-2], 4, dtype=torch.int64, device=masks.device)
    in_column, in_row = masks.any(dim=-2), masks.any(dim=-1)
    # argmax gives the first of equal values: the first foreground column, and the last one by looking from behind.
    left, top = in_column.int().argmax(dim=-1), in_row.int().argmax(dim=-1)
    right = width - 1 - in_column.flip(-1).int().argmax(dim=-1)
    bottom = height - 1 - in_row.flip(-1).int().argmax(dim=-1)
    return torch.stack([left, top, right, bottom], dim=-1) * in_row.any(dim=-1, keepdim=True)


def outer_box_xyxy(mask: np.ndarray) -> np.ndarray:
    """Bound a mask (H, W) that is not empty by its outer edges, as a box prompt does: x0, y0, x1, y1, (4,) float32."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def mask_iou(masks: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Measure how much masks and their targets overlap: intersection over union.

    Args:
        masks: (..., H, W) bool.
        targets: (..., H, W) bool, of a shape that broadcasts with that of the masks.

    Returns:
        (...) float32 in [0, 1]; two empty masks agree, so their IoU is 1.
    """
    intersections = (masks & targets).sum(axis=(-2, -1))
    unions = (masks | targets).sum(axis=(-2, -1))
    return np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0).astype(np.float32)


def nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression: keeps the best box, drops those that overlap it too much, and goes on.

    Args:
        boxes_xyxy: (N, 4), x0, y0, x1, y1.
        scores: (N,); of equal scores the first comes first.
        iou_threshold: boxes with an IoU above this with a kept box are dropped.

    Returns:
        (n,) int64 indices of the kept boxes, best first, on the device of the boxes.

    The choice is sequential and needs a few numbers per box, so it runs on the CPU wherever the boxes are.
    """
    if boxes_xyxy.ndim != 2 or boxes_xyxy.shape[1] != 4 or scores.shape != boxes_xyxy.shape[:1]:
        raise ValueError(
            "`boxes_xyxy` must have shape (N, 4) and `scores` shape (N,), "
            f"got {tuple(boxes_xyxy.shape)} and {tuple(scores.shape)}."
        )
    boxes = boxes_xyxy.detach().float().cpu().numpy()
    order = np.argsort(-scores.detach().double().cpu().numpy(), kind="stable")
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0) * (y1 - y0)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        overlap_w = np.maximum(np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest]), 0)
        overlap_h = np.maximum(np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest]), 0)
        intersections = overlap_w * overlap_h
        # Written without a division, since boxes of area 0 are possible: they overlap nothing.
        too_close = intersections > iou_threshold * (areas[best] + areas[rest] - intersections)
        order = rest[~too_close]
    return torch.tensor(np.array(kept, dtype=np.int64), device=boxes_xyxy.device)
