"""Against SciPy's labels of connected parts."""

import numpy as np
import pytest
from scipy import ndimage

from anymask.masks.clean_up import CleanUp
from anymask.masks.rle import mask_to_rle, rle_to_mask

EIGHT = np.ones((3, 3))


def drop_small(mask, min_area):
    labels, _ = ndimage.label(mask, EIGHT)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    keep = areas >= min_area
    if not keep.any():
        keep[areas.argmax()] = True
    return keep[labels] & mask


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("clean_up", "hole", "island"),
    [
        (CleanUp(), 0, 0),
        (CleanUp(min_hole_area=5), 5, 0),
        (CleanUp(min_hole_area=3, min_island_area=40), 3, 40),
        (CleanUp(hole_share=0.01), 0.01, 0),
        (CleanUp(3, 8, hole_share=0.02, island_share=0.1), 0.02, 0.1),  # the shares are larger here
    ],
)
def test_what_is_smaller_than_an_area_or_a_share_goes(clean_up, hole, island, seed):
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(37, 53)), 1.2) > 0
    hole, island = (value if value >= 1 or value == 0 else int(np.ceil(value * mask.sum())) for value in (hole, island))
    labels, _ = ndimage.label(~mask, EIGHT)
    is_small = np.bincount(labels.ravel()) < hole
    is_small[0] = False
    expected = drop_small(mask | is_small[labels], island)
    clean, is_changed = clean_up.apply(mask_to_rle(mask))
    np.testing.assert_array_equal(rle_to_mask(clean), expected)
    assert is_changed == (expected != mask).any()


def test_nothing_stays_nothing():
    nothing = mask_to_rle(np.zeros((4, 5), dtype=bool))
    assert CleanUp(hole_share=0.5, island_share=0.5).apply(nothing) == (nothing, False)
