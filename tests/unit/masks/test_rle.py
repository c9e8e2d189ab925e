"""Run-length encoding against pycocotools' own strings, hand-written runs and a plain flood fill."""

import numpy as np
import pytest
import torch

from anymask.masks import rle as rle_module
from anymask.masks.rle import (
    as_rle,
    coco_to_rle,
    mask_to_rle,
    remove_small_regions,
    remove_small_regions_rle,
    rle_area,
    rle_to_box_xyxy,
    rle_to_coco,
    rle_to_mask,
    rle_to_part,
    rle_to_runs,
    runs_to_rle,
)

# (mask, uncompressed counts, counts as pycocotools 2.0 wrote them)
LITERALS = [
    (np.zeros((3, 4), bool), [12], "<"),
    (np.ones((3, 4), bool), [0, 12], "0<"),
    (np.array([[0, 1], [1, 1], [0, 0]], bool), [1, 1, 1, 2, 1], "111O00"),
    (np.array([[1]], bool), [0, 1], "01"),
]


def random_masks():
    rng = np.random.default_rng(3)
    for shape in ((1, 1), (1, 9), (9, 1), (7, 5), (40, 63), (150, 97)):
        for share in (0.02, 0.5, 0.97):
            yield rng.random(shape) < share


@pytest.mark.parametrize(("mask", "counts", "coco"), LITERALS[:2] + LITERALS[3:])
def test_literals(mask, counts, coco):
    rle = mask_to_rle(mask)
    assert rle == {"size": list(mask.shape), "counts": counts}
    assert rle_to_coco(rle)["counts"] == coco
    assert coco_to_rle({"size": list(mask.shape), "counts": coco}) == rle
    np.testing.assert_array_equal(rle_to_mask(rle), mask)


def test_columns_are_read_before_rows():
    mask = np.array([[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
    assert mask_to_rle(mask) == {"size": [3, 4], "counts": [1, 1, 1, 2, 6, 1]}


def test_string_of_pycocotools():
    mask = np.zeros((40, 300), bool)
    mask[3:30, 10:200] = True
    mask[5:7, 50:60] = False
    mask[0:2, 299] = True
    # Written by pycocotools 2.0.
    head, tail = "c<k0=000000000000000000000000", "ek3WOTUL"
    counts = rle_to_coco(mask_to_rle(mask))["counts"]
    assert counts.startswith(head)
    assert counts.endswith(tail)
    assert "WOEe0;[OEe0;[O" in counts


def plain_coco_string(counts):
    """The format as its description has it, one number and one group of bits at a time."""
    text = ""
    for index, count in enumerate(counts):
        number = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            group = number & 0x1F
            number >>= 5
            more = number != (-1 if group & 0x10 else 0)
            text += chr((group | (0x20 if more else 0)) + 48)
    return text


def test_round_trips_and_plain_format():
    for mask in random_masks():
        rle = mask_to_rle(mask)
        assert sum(rle["counts"]) == mask.size
        np.testing.assert_array_equal(rle_to_mask(rle), mask)
        assert rle_to_mask(rle).flags.c_contiguous
        compressed = rle_to_coco(rle)
        assert isinstance(compressed["counts"], str)
        assert compressed["counts"] == plain_coco_string(rle["counts"])
        assert coco_to_rle(compressed) == rle
        assert coco_to_rle({**compressed, "counts": compressed["counts"].encode()}) == rle
        assert rle_area(rle) == rle_area(compressed) == mask.sum()
        assert runs_to_rle(*rle_to_runs(rle), mask.shape) == rle
        np.testing.assert_array_equal(rle_to_mask(compressed), mask)


def test_counts_are_plain_ints():
    rle = mask_to_rle(torch.eye(3, dtype=torch.bool))
    assert all(type(count) is int for count in rle["counts"])
    assert all(type(side) is int for side in rle["size"])


def test_box_is_that_of_the_pixels():
    for mask in random_masks():
        rows, columns = np.nonzero(mask)
        expected = [columns.min(), rows.min(), columns.max(), rows.max()] if mask.any() else [0, 0, 0, 0]
        assert rle_to_box_xyxy(mask_to_rle(mask)) == expected


def test_beyond_two_to_the_31():
    size = (60_000, 70_000)
    starts, ends = np.array([5, 2**31 + 7]), np.array([10, 2**31 + 2**30])
    rle = runs_to_rle(starts, ends, size)
    assert rle_area(rle) == 5 + 2**30 - 7
    assert coco_to_rle(rle_to_coco(rle)) == rle


def test_touching_runs_are_merged():
    assert runs_to_rle(np.array([1, 3]), np.array([3, 4]), (2, 3))["counts"] == [1, 3, 2]


def test_foreign_runs_that_touch_are_merged():
    starts, ends = rle_to_runs({"size": [3, 4], "counts": [1, 2, 0, 3, 2, 0, 1, 3]})
    assert (starts.tolist(), ends.tolist()) == ([1, 9], [6, 12])


def test_any_form_of_mask():
    mask = np.array([[0, 1], [1, 1], [0, 0]], bool)
    rle = mask_to_rle(mask)
    assert as_rle(rle) is rle
    assert as_rle(mask) == as_rle(torch.from_numpy(mask)) == rle


def test_errors_say_what_came():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        mask_to_rle(np.zeros((2, 3, 4), bool))
    with pytest.raises(ValueError, match="height \\* width = 2 \\* 3 = 6, got 5"):
        rle_to_mask({"size": [2, 3], "counts": [2, 3]})
    with pytest.raises(ValueError, match=r"0 or more and add up .* = 6, got 6, the lowest of them -1"):
        rle_to_mask({"size": [2, 3], "counts": [3, -1, 4]})
    with pytest.raises(ValueError, match="as pycocotools writes it"):
        rle_to_mask({"size": [2, 3], "counts": "o"})
    with pytest.raises(ValueError, match="holes"):
        remove_small_regions(np.zeros((2, 2), bool), 1, "hole")


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
            cleaned, changed = remove_small_regions(mask, min_area, mode)
            assert changed == expected_change
            if mode == "islands" and cleaned.sum() != expected.sum():
                raise AssertionError("another island was kept")
            if mode == "holes" or len(list(plain_regions(expected))) != 1:
                np.testing.assert_array_equal(cleaned, expected)


def test_diagonal_pixels_are_one_region():
    mask = np.eye(6, dtype=bool)
    assert not remove_small_regions(mask, 6, "islands")[1]
    assert remove_small_regions(mask, 7, "islands")[1]


def test_background_at_the_border_is_a_hole_too():
    mask = np.ones((5, 4), bool)
    mask[0, 0] = False
    cleaned, changed = remove_small_regions(mask, 2, "holes")
    assert changed
    assert cleaned.all()


def test_only_the_largest_of_small_islands_is_kept():
    mask = np.zeros((5, 9), bool)
    mask[1, 1] = mask[3, 4:7] = True
    cleaned, changed = remove_small_regions(mask, 100, "islands")
    assert changed
    assert cleaned.sum() == 3
    assert cleaned[3, 4:7].all()


def test_of_equally_large_islands_the_topmost_is_kept():
    mask = np.zeros((7, 9), bool)
    mask[4:6, 0] = mask[1, 5:7] = mask[3, 2:4] = True  # the first one column by column is not the first row by row
    cleaned, _ = remove_small_regions(mask, 100, "islands")
    assert np.argwhere(cleaned).tolist() == [[1, 5], [1, 6]]
    mask[1, 1:3] = True  # as high up, further left
    cleaned, _ = remove_small_regions(mask, 100, "islands")
    assert np.argwhere(cleaned).tolist() == [[1, 1], [1, 2]]


def test_empty_mask_has_no_islands():
    rle = {"size": [3, 4], "counts": [12]}
    assert remove_small_regions_rle(rle, 5, "islands") == (rle, False)


@pytest.mark.parametrize("rows", [slice(None), slice(3, 6), slice(1, None, 3), slice(4, 4)])
@pytest.mark.parametrize("columns", [slice(None), slice(2, 4), slice(1, None, 2), slice(3, 3)])
@pytest.mark.parametrize("pixels_at_a_time", [1, 30, 1 << 22])
def test_a_part_is_that_of_the_mask(rows, columns, pixels_at_a_time, monkeypatch):
    monkeypatch.setattr(rle_module, "PIXELS_AT_A_TIME", pixels_at_a_time)
    for mask in [*random_masks(), np.zeros((8, 9), bool), np.ones((9, 7), bool)]:
        np.testing.assert_array_equal(rle_to_part(rle_to_coco(mask_to_rle(mask)), rows, columns), mask[rows, columns])
