"""Which points of a grid are asked, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .filters import Proposal

POINT_CHOICES = ("grid", "adaptive")


class PointSchedule:
    """The points of a crop, some at a time.

    Attributes:
        n_spared: Points that were not asked.
    """

    def __init__(self, grid_xy: np.ndarray, choice: str) -> None:
        """Take the points (N, 2) of a crop, in its pixels, and how to choose from them."""
        self._grid_xy, self._choice = grid_xy, choice
        self.n_spared = 0

    def rounds(self, found: Sequence[Proposal]) -> Iterator[np.ndarray]:
        """Yield points (P, 2) to be asked next, given what was found so far."""
        yield self._grid_xy
