import numpy as np
import pytest

from anymask.masks.overlaps import kept_of_overlapping
from anymask.masks.rle import mask_to_rle


@pytest.mark.parametrize("measure", ["iou", "smaller"])
def test_against_dense_masks(measure):
    rng = np.random.default_rng(0)
    masks = np.zeros((40, 23, 31), bool)
    for mask in masks:
        y, x = rng.integers(0, 18), rng.integers(0, 26)
        mask[y : y + rng.integers(1, 14), x : x + rng.integers(1, 18)] = True
        mask &= rng.random(mask.shape) < 0.9
    ranks = rng.random(40)
    ranks[7] = np.nan  # comes last
    rles = [mask_to_rle(mask) for mask in masks]
    for most in (0.0, 0.15, 0.5):
        kept: list[int] = []
        for index in sorted(range(40), key=lambda index: (index == 7, -ranks[index])):
            overlaps = []
            for other in kept:
                common = (masks[index] & masks[other]).sum()
                small = min(masks[index].sum(), masks[other].sum())
                union = (masks[index] | masks[other]).sum()
                overlaps.append(common / max(union if measure == "iou" else small, 1))
            if all(overlap <= most for overlap in overlaps):
                kept.append(index)
        assert kept_of_overlapping(rles, ranks, most, measure) == sorted(kept)


def test_none():
    assert kept_of_overlapping([], np.zeros(0), 0.5) == []
