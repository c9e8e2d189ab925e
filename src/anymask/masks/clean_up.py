"""Cleaning up masks: small holes are filled, small islands removed, both on the runs of a run-length encoding.

Regions are 8-connected. As in Meta's generator a region of background at the border of the image counts as a hole too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .outlines import ranges
from .rle import Rle, rle_area, rle_to_runs, runs_to_rle, split_at_columns


@dataclass(frozen=True)
class CleanUp:
    """Which holes and islands of a mask go: those that are smaller than its area or its share says.

    Attributes:
        min_hole_area: Holes of fewer pixels are filled.
        min_island_area: Islands of fewer pixels are removed.
        hole_share: Holes of less than this part of the mask's own area are filled, whatever the size of the image.
        island_share: Islands likewise are removed.
    """

    min_hole_area: int = 0
    min_island_area: int = 0
    hole_share: float = 0.0
    island_share: float = 0.0

    def apply(self, rle: Rle) -> tuple[Rle, bool]:
        """Fill holes, then remove islands; say whether there were any. Of nothing but islands the largest stays."""
        area = rle_area(rle)
        min_hole_area = max(self.min_hole_area, math.ceil(self.hole_share * area))
        min_island_area = max(self.min_island_area, math.ceil(self.island_share * area))
        filled, had_holes = _fill_holes(rle, min_hole_area) if min_hole_area > 0 else (rle, False)
        if min_island_area <= 0:
            return filled, had_holes
        clean, had_islands = _remove_islands(filled, min_island_area)
        return clean, had_holes or had_islands


def _fill_holes(rle: Rle, min_area: int) -> tuple[Rle, bool]:
    """Fill regions of background of fewer pixels, and say whether there were any."""
    height, width = rle["size"]
    starts, ends = rle_to_runs(rle)
    gap_starts, gap_ends = split_at_columns(*_complement(starts, ends, height * width), height)
    regions, areas = _regions(gap_starts, gap_ends, height)
    is_small = areas < min_area
    if not is_small.any():
        return rle, False
    filled = is_small[regions]
    starts, ends = np.concatenate([starts, gap_starts[filled]]), np.concatenate([ends, gap_ends[filled]])
    order = np.argsort(starts, kind="stable")
    return runs_to_rle(starts[order], ends[order], (height, width)), True


def _remove_islands(rle: Rle, min_area: int) -> tuple[Rle, bool]:
    """Remove regions of foreground of fewer pixels, and say whether there were any; the largest stays."""
    height, width = rle["size"]
    starts, ends = split_at_columns(*rle_to_runs(rle), height)
    regions, areas = _regions(starts, ends, height)
    is_small = areas < min_area
    if not is_small.any():
        return rle, False
    if is_small.all():
        is_small[_largest_region(starts, regions, areas, (height, width))] = False
    kept = ~is_small[regions]
    return runs_to_rle(starts[kept], ends[kept], (height, width)), True


def _largest_region(starts: np.ndarray, regions: np.ndarray, areas: np.ndarray, size_hw: tuple[int, int]) -> int:
    """Find the largest region; of equally large ones the topmost, as Meta's generator does, then the leftmost."""
    height, width = size_hw
    columns, rows = np.divmod(starts, height)
    first_pixel = np.full(len(areas), height * width)
    np.minimum.at(first_pixel, regions, rows * width + columns)  # row by row
    return int(np.lexsort((first_pixel, -areas))[0])


def _complement(starts: np.ndarray, ends: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The runs between the given runs, of which none is empty."""
    gap_starts = np.concatenate([[0], ends])
    gap_ends = np.concatenate([starts, [length]])
    not_empty = gap_ends > gap_starts
    return gap_starts[not_empty], gap_ends[not_empty]


def _regions(starts: np.ndarray, ends: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the regions, 0 ... R - 1, each run inside one column is of; and the pixels (R,) of each region."""
    regions = _label_runs(starts, ends, height)
    return regions, np.bincount(regions, weights=ends - starts)


def _label_runs(starts: np.ndarray, ends: np.ndarray, height: int) -> np.ndarray:
    """Numbers 0 ... R - 1 of the 8-connected regions that runs, each inside one column, form together."""
    left, right = _touching_runs(starts, ends, height)
    labels = np.arange(len(starts))
    while True:
        # Every run takes the lowest label that a neighbour carries, then follows labels of labels to their root.
        lowest = np.minimum(labels[left], labels[right])
        lowered = labels.copy()
        np.minimum.at(lowered, labels[left], lowest)
        np.minimum.at(lowered, labels[right], lowest)
        while not np.array_equal(lowered, lowered[lowered]):
            lowered = lowered[lowered]
        if np.array_equal(lowered, labels):
            return np.unique(labels, return_inverse=True)[1]
        labels = lowered


def _touching_runs(starts: np.ndarray, ends: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (run, run of the next column) that share an edge or a corner, as two arrays of indices."""
    columns = starts // height
    tops, bottoms = starts - columns * height, ends - columns * height
    # Positions on one line, with room between columns, so that a search for the next column stays within it.
    spacing = height + 2
    own_line = columns * spacing
    next_line = own_line + spacing
    first = np.searchsorted(own_line + bottoms, next_line + tops, side="left")
    past_last = np.searchsorted(own_line + tops, next_line + bottoms, side="right")
    right, left = ranges(first, past_last)
    return left, right
