"""What there is to know of full-size masks: stability, bounding box, overlap; and which that overlap too much are kept.

`nms` tells overlap by boxes, `kept_of_overlapping` by pixels. The box of an RLE is `rle.rle_to_box_xyxy`, that of
low-resolution logits `SparseUpsampler.boxes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .rle import Rle, rle_to_box_xyxy, rle_to_runs

OVERLAPS = ("iou", "smaller")
"""How the overlap of two masks is measured: see `kept_of_overlapping`."""

_Runs = tuple[np.ndarray, np.ndarray]


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
    window = find_window(mask)
    assert window is not None
    rows, columns = window
    return np.array([columns.start, rows.start, columns.stop, rows.stop], dtype=np.float32)


def find_window(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Find the rows and columns that a mask (H, W) spans, so that `mask[window]` is all of it; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)).tolist(), np.flatnonzero(mask.any(axis=0)).tolist()
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if rows else None


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


def iou_to_dice(iou: Any) -> Any:
    """Dice of masks from their IoU, one number or an array or a tensor of any shape: 2 IoU / (1 + IoU)."""
    return 2 * iou / (1 + iou)


def widened_box_xyxy(mask: np.ndarray, share: float) -> tuple[float, float, float, float]:
    """Bound a mask (H, W), not empty, by its outer edges, moved out by a share of its sides, within the image."""
    x0, y0, x1, y1 = outer_box_xyxy(mask).tolist()
    dx, dy = share * (x1 - x0), share * (y1 - y0)
    height, width = mask.shape
    return max(x0 - dx, 0.0), max(y0 - dy, 0.0), min(x1 + dx, float(width)), min(y1 + dy, float(height))


def nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression: keeps the best box, drops those that overlap it too much, and goes on.

    Args:
        boxes_xyxy: (N, 4), x0, y0, x1, y1.
        scores: (N,); of equal scores the first comes first.
        iou_threshold: boxes with an IoU above this with a kept box are dropped.

    Returns:
        (n,) int64 indices of the kept boxes, best first, on the device of the boxes.

    Raises:
        ValueError: If the shapes are others.

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


def kept_of_overlapping(rles: Sequence[Rle], ranks: np.ndarray, max_overlap: float, measure: str = "iou") -> list[int]:
    """Choose masks of which no two overlap more than is allowed: the best, then the next best that fits, and so on.

    Args:
        rles: (N) the masks, all of one size.
        ranks: (N,) how good each is; of equal ones the first comes first.
        max_overlap: in [0, 1]; a mask that overlaps more than this with a better one is dropped.
        measure: "iou", intersection over union; "smaller", intersection over the smaller of the two, which also finds
            masks inside of others.

    Returns:
        Indices of the kept masks, in the order of the masks.

    Raises:
        ValueError: If the measure is unknown or `max_overlap` is not in [0, 1].
    """
    if measure not in OVERLAPS:
        raise ValueError(f"`measure` must be one of {', '.join(map(repr, OVERLAPS))}, got {measure!r}.")
    if not 0 <= max_overlap <= 1:
        raise ValueError(f"`max_overlap` must be between 0 and 1, got {max_overlap!r}.")
    runs = [rle_to_runs(rle) for rle in rles]
    areas = [int((ends - starts).sum()) for starts, ends in runs]
    boxes = np.array([rle_to_box_xyxy(rle) for rle in rles]).reshape(-1, 4)
    kept: list[int] = []
    for index in np.argsort(-np.nan_to_num(ranks, nan=-np.inf), kind="stable").tolist():
        near = (boxes[kept, :2] <= boxes[index, 2:]).all(axis=1) & (boxes[kept, 2:] >= boxes[index, :2]).all(axis=1)
        if all(
            _overlap(runs[index], runs[other], areas[index], areas[other], measure=measure) <= max_overlap
            for other in np.array(kept, dtype=int)[near].tolist()
        ):
            kept.append(index)
    return sorted(kept)


def _overlap(mine: _Runs, other: _Runs, my_area: int, other_area: int, measure: str) -> float:
    common = _intersection(mine, other)
    whole = min(my_area, other_area) if measure == "smaller" else my_area + other_area - common
    return common / whole if whole else 0.0


def _intersection(mine: _Runs, other: _Runs) -> int:
    """Pixels that are in both, from sorted runs that do not touch."""
    starts, ends = other
    lengths = np.concatenate([[0], np.cumsum(ends - starts)])

    def pixels_before(position: np.ndarray) -> np.ndarray:
        run = np.searchsorted(starts, position, side="right")  # runs that begin at or before it
        last = np.maximum(run - 1, 0)
        beyond = np.where(run > 0, np.maximum(ends[last] - position, 0), 0) if len(ends) else 0
        return lengths[run] - beyond

    return int((pixels_before(mine[1]) - pixels_before(mine[0])).sum())
