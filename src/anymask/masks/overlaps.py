"""How much masks overlap, and which of those that overlap too much are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .rle import Rle, rle_to_box_xyxy, rle_to_runs

MEASURES = ("iou", "smaller")


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
    if measure not in MEASURES:
        raise ValueError(f"`measure` must be one of {', '.join(map(repr, MEASURES))}, got {measure!r}.")
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


_Runs = tuple[np.ndarray, np.ndarray]


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
