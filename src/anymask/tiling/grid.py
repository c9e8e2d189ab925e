"""Where a large image is cut: cores that cover it once, and windows, which are cores with a halo around them.

Coordinates are pixels of the large image, x to the right and y down; boxes exclude their right and lower edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tile:
    """One tile of the grid.

    Attributes:
        index: Of the tile, row by row; -1 stands for the whole image, seen small.
        core_xyxy: The part of the image that belongs to this tile alone.
        window_xyxy: What is read: the core and a halo around it, as far as the image goes.
    """

    index: int
    core_xyxy: Box
    window_xyxy: Box

    @property
    def name(self) -> str:
        """Of its file."""
        return f"tile_{self.index:06d}" if self.index >= 0 else "whole_image"


def make_grid(size_hw: Sequence[int], tile: int, halo: int) -> list[Tile]:
    """Cut an image into tiles, row by row.

    Args:
        size_hw: Height and width of the image in pixels.
        tile: Side of a core; those at the right and lower edge may be smaller.
        halo: What a window shows around its core, on each side, in pixels.

    Raises:
        ValueError: If a size is not positive, or the halo is negative.
    """
    height, width = (int(side) for side in size_hw)
    if height < 1 or width < 1:
        raise ValueError(f"An image must have at least one pixel, got {height} x {width}.")
    if tile < 1 or halo < 0:
        raise ValueError(f"`tile` must be at least 1 and `halo` at least 0, got {tile} and {halo}.")
    cores = [
        (left, top, min(left + tile, width), min(top + tile, height))
        for top in range(0, height, tile)
        for left in range(0, width, tile)
    ]
    return [Tile(index, core, _grow(core, halo, width, height)) for index, core in enumerate(cores)]


def _grow(core: Box, halo: int, width: int, height: int) -> Box:
    left, top, right, bottom = core
    return max(left - halo, 0), max(top - halo, 0), min(right + halo, width), min(bottom + halo, height)


def overlap_xyxy(first: Sequence[int], second: Sequence[int]) -> Box | None:
    """What two boxes have in common, or None."""
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def boxes_that_meet(boxes_xyxy: np.ndarray, box_xyxy: Sequence[int] | np.ndarray) -> np.ndarray:
    """Which of boxes (N, 4) have something in common with a box: their positions, in order."""
    left, top, right, bottom = box_xyxy
    x0, y0, x1, y1 = boxes_xyxy.T
    return np.flatnonzero((x0 < right) & (x1 > left) & (y0 < bottom) & (y1 > top))


def overlapping_pairs(tiles: Sequence[Tile]) -> list[tuple[int, int]]:
    """Positions in `tiles` of each two whose windows overlap, the lower first, in order."""
    windows = np.array([tile.window_xyxy for tile in tiles]).reshape(-1, 4)
    pairs: list[tuple[int, int]] = []
    for position, box in enumerate(windows):
        later = windows[position + 1 :]
        pairs.extend((position, position + 1 + int(other)) for other in boxes_that_meet(later, box))
    return pairs


def cut_edges(box_xyxy: Sequence[int], window_xyxy: Box, size_hw: Sequence[int], tolerance: int) -> bool:
    """Whether a box in a window reaches an edge of the window that is none of the image: its object is cut off.

    Args:
        box_xyxy: In pixels of the image, right and lower edge excluded.
        window_xyxy: Of the tile.
        size_hw: Height and width of the image in pixels.
        tolerance: Up to how many pixels from the edge counts as reaching it.
    """
    height, width = size_hw
    image = (0, 0, width, height)
    return any(
        abs(window_xyxy[side] - box_xyxy[side]) <= tolerance and window_xyxy[side] != image[side] for side in range(4)
    )
