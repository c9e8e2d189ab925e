"""Cleaning up masks: small holes are filled, small islands removed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .rle import Rle, remove_small_regions_rle, rle_area


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
        filled, had_holes = remove_small_regions_rle(rle, min_hole_area, "holes") if min_hole_area > 0 else (rle, False)
        if min_island_area <= 0:
            return filled, had_holes
        clean, had_islands = remove_small_regions_rle(filled, min_island_area, "islands")
        return clean, had_holes or had_islands
