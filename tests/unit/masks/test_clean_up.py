"""Against SciPy's labels of connected parts, and against a flood fill in plain Python."""

import numpy as np
import pytest
from scipy import ndimage
from tests.unit.masks.test_rle import random_masks

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


def removed(mask, min_area, mode):
    clean_up = CleanUp(min_hole_area=min_area) if mode == "holes" else CleanUp(min_island_area=min_area)
    rle, is_changed = clean_up.apply(mask_to_rle(mask))
    return rle_to_mask(rle), is_changed


def plain_regions(mask):
    """8-connected regions as lists of pixels, by flood fill."""
    todo = {tuple(pixel) for pixel in np.argwhere(mask)}
    while todo:
        region, stack = [], [todo.pop()]
        while stack:
            row, column = stack.pop()
            region.append((row, column))
            near = {(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
            todo -= near
            stack.extend(near)
        yield region


def plain_removal(mask, min_area, mode):
    mask = mask.copy()
    regions = list(plain_regions(~mask if mode == "holes" else mask))
    small = [region for region in regions if len(region) < min_area]
    if mode == "islands" and small and len(small) == len(regions):
        small.remove(max(small, key=len))
        for region in small:
            mask[tuple(np.transpose(region))] = False
        return mask, True
    for region in small:
        mask[tuple(np.transpose(region))] = mode == "holes"
    return mask, bool(small)


@pytest.mark.parametrize("mode", ["holes", "islands"])
def test_small_regions_against_flood_fill(mode):
    for mask in random_masks():
        for min_area in (1, 3, 20):
            expected, expected_change = plain_removal(mask, min_area, mode)
            cleaned, changed = removed(mask, min_area, mode)
            assert changed == expected_change
            if mode == "islands" and cleaned.sum() != expected.sum():
                raise AssertionError("another island was kept")
            if mode == "holes" or len(list(plain_regions(expected))) != 1:
                np.testing.assert_array_equal(cleaned, expected)


def test_diagonal_pixels_are_one_region():
    mask = np.eye(6, dtype=bool)
    assert not removed(mask, 6, "islands")[1]
    assert removed(mask, 7, "islands")[1]


def test_background_at_the_border_is_a_hole_too():
    mask = np.ones((5, 4), bool)
    mask[0, 0] = False
    cleaned, changed = removed(mask, 2, "holes")
    assert changed
    assert cleaned.all()


def test_only_the_largest_of_small_islands_is_kept():
    mask = np.zeros((5, 9), bool)
    mask[1, 1] = mask[3, 4:7] = True
    cleaned, changed = removed(mask, 100, "islands")
    assert changed
    assert cleaned.sum() == 3
    assert cleaned[3, 4:7].all()


def test_of_equally_large_islands_the_topmost_is_kept():
    mask = np.zeros((7, 9), bool)
    mask[4:6, 0] = mask[1, 5:7] = mask[3, 2:4] = True  # the first one column by column is not the first row by row
    cleaned, _ = removed(mask, 100, "islands")
    assert np.argwhere(cleaned).tolist() == [[1, 5], [1, 6]]
    mask[1, 1:3] = True  # as high up, further left
    cleaned, _ = removed(mask, 100, "islands")
    assert np.argwhere(cleaned).tolist() == [[1, 1], [1, 2]]


def test_empty_mask_has_no_islands():
    rle = {"size": [3, 4], "counts": [12]}
    assert CleanUp(min_island_area=5).apply(rle) == (rle, False)
