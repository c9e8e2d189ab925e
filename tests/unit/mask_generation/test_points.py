"""Which points are asked after what was found, on grids of a few points."""

from types import SimpleNamespace

import numpy as np
import pytest

from anymask.mask_generation.points import ASKED_PER_MASK, adaptive_rounds

SIDE = 12


def mask(rows, columns):
    """A proposal that covers some rows and columns of the grid."""
    covers = np.zeros((SIDE, SIDE), bool)
    covers[rows, columns] = True
    return SimpleNamespace(covers=covers.ravel())


def asked(*proposals_by_round, points_per_round=16):
    """Points of each round; after round i what is in `proposals_by_round[i]` is found."""
    found, rounds = [], []
    for number, indices in enumerate(adaptive_rounds(SIDE**2, points_per_round, found)):
        rounds.append(indices)
        found += proposals_by_round[number] if number < len(proposals_by_round) else []
    return rounds


def test_the_first_round_is_a_coarse_grid():
    rows, columns = np.divmod(asked()[0], SIDE)
    assert sorted(set(rows)) == sorted(set(columns)) == [1, 4, 7, 10]
    assert len(rows) == 16


def test_no_point_is_asked_twice():
    points = np.concatenate(asked([mask(slice(0, 6), slice(0, 12))]))
    assert len(points) == len(set(points.tolist()))


def test_a_mask_is_asked_for_a_few_times_and_its_part_as_often():
    whole, part = mask(slice(0, 12), slice(0, 12)), mask(slice(3, 9), slice(3, 9))
    points = np.concatenate(asked([whole, part], points_per_round=1))
    in_part = part.covers[points]
    assert in_part.sum() == ASKED_PER_MASK  # 4 of the coarse grid, then two more
    assert (~in_part).sum() == 12  # of the coarse grid; the whole was asked for often enough


def test_where_neighbours_found_nothing_no_more_is_asked():
    left = mask(slice(0, 12), slice(0, 3))
    points = np.concatenate(asked([left], points_per_round=1))
    _, columns = np.divmod(points, SIDE)
    assert (columns > 8).sum() == 4 + 4  # the coarse grid's column 10; corners and edges have one neighbour alone


@pytest.mark.parametrize("side", [1, 2, 3])
def test_small_grids(side):
    points = np.concatenate(list(adaptive_rounds(side**2, 64, [])))
    assert set(points.tolist()) <= set(range(side**2))
    assert len(points) >= 1
