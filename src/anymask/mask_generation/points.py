"""Which points of a grid are asked, and in which order.

Of a square grid much is asked in vain: dozens of points on one wall propose one wall, and points where the model is
sure of nothing propose nothing. `adaptive_rounds` asks a coarse grid first, and then goes through the rest only where
something new may be found. What that costs in masks is in docs/lab-book.md; all points are the default.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from .filters import Proposal

COARSE_STEP = 3  # every third point of every third row is asked at once
ASKED_PER_MASK = 6  # points on one mask after which further ones propose what is there already
NEIGHBOUR_STEPS = 2  # how far on the grid a point's neighbours lie, in both directions
BARREN_NEIGHBOURS = 2  # neighbours in vain after which a point is not asked


def adaptive_rounds(n_points: int, points_per_round: int, found: Sequence[Proposal]) -> Iterator[np.ndarray]:
    """Choose the points of a square grid to be asked, round by round, from what the rounds before have found.

    A point is spared if the smallest mask that covers it, of those found so far, covers six points that were asked and
    of which it is the smallest mask too: parts are smaller than their wholes, so they are still asked for. It is spared
    as well if no mask covers it, and none covers its neighbours that were asked, two at least.

    Args:
        n_points: Of the grid, row by row.
        points_per_round: How many are asked before what they propose counts.
        found: Proposals with `covers`, to which the caller adds what each round proposes.

    Yields:
        Indices (P,) of points of the grid.
    """
    side = math.isqrt(n_points)
    rows, columns = np.divmod(np.arange(n_points), side)
    is_coarse = (rows % COARSE_STEP == COARSE_STEP // 2) & (columns % COARSE_STEP == COARSE_STEP // 2)
    was_asked = is_coarse.copy()
    if is_coarse.any():
        yield np.flatnonzero(is_coarse)
    rest = np.flatnonzero(~is_coarse)
    # Multiples of the golden ratio lie evenly, however many there are: each round is spread over the image.
    rest = rest[np.argsort(np.arange(len(rest)) * (math.sqrt(5) - 1) / 2 % 1)]
    for first in range(0, len(rest), points_per_round):
        some = rest[first : first + points_per_round]
        smallest = _smallest_mask(found, n_points)
        asked_per_mask = np.bincount(smallest[was_asked & (smallest >= 0)], minlength=len(found) + 1)
        is_known = (smallest[some] >= 0) & (asked_per_mask[smallest[some]] >= ASKED_PER_MASK)

        asked = np.flatnonzero(was_asked)
        distance = np.maximum(abs(rows[some, None] - rows[asked]), abs(columns[some, None] - columns[asked]))
        is_near = distance <= NEIGHBOUR_STEPS
        is_barren = (smallest[some] < 0) & (is_near.sum(axis=1) >= BARREN_NEIGHBOURS)
        is_barren &= ~(is_near & (smallest[asked] >= 0)).any(axis=1)

        some = some[~is_known & ~is_barren]
        was_asked[some] = True
        if len(some):
            yield some


def _smallest_mask(found: Sequence[Proposal], n_points: int) -> np.ndarray:
    """Index (N,) of the smallest proposal that covers each point of the grid; -1 where none does."""
    smallest = np.full(n_points, -1)
    sizes = [int(proposal.covers.sum()) for proposal in found]
    for index in sorted(range(len(found)), key=lambda index: -sizes[index]):  # smaller ones over larger ones
        smallest[found[index].covers] = index
    return smallest
