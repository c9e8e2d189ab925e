"""Run-length encoding against pycocotools' own strings, hand-written runs and a plain flood fill."""

import numpy as np
import pytest
import torch

from anymask.masks import rle as rle_module
from anymask.masks.rle import (
    as_rle,
    coco_to_rle,
    mask_to_rle,
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


@pytest.mark.parametrize("values", [[-5.0, 2.0], [0.1, 0.9], [0.0, 1.0, 255.0], [-5.0, -5.0], [float("nan"), 0.0]])
def test_logits_and_probabilities_are_no_masks(values):
    for mask in (np.array([values]), torch.tensor([values])):
        with pytest.raises(ValueError, match="A mask must be binary, got floats from"):
            mask_to_rle(mask)


def test_floats_of_two_values_are_masks():
    expected = mask_to_rle(np.array([[False, True, False]]))
    assert mask_to_rle(np.array([[0.0, 1.0, 0.0]])) == mask_to_rle(np.array([[0, 255, 0]], np.float32)) == expected


def test_errors_say_what_came():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        mask_to_rle(np.zeros((2, 3, 4), bool))
    with pytest.raises(ValueError, match="height \\* width = 2 \\* 3 = 6, got 5"):
        rle_to_mask({"size": [2, 3], "counts": [2, 3]})
    with pytest.raises(ValueError, match=r"0 or more and add up .* = 6, got 6, the lowest of them -1"):
        rle_to_mask({"size": [2, 3], "counts": [3, -1, 4]})
    with pytest.raises(ValueError, match="as pycocotools writes it"):
        rle_to_mask({"size": [2, 3], "counts": "o"})


@pytest.mark.parametrize("rows", [slice(None), slice(3, 6), slice(1, None, 3), slice(4, 4)])
@pytest.mark.parametrize("columns", [slice(None), slice(2, 4), slice(1, None, 2), slice(3, 3)])
@pytest.mark.parametrize("pixels_at_a_time", [1, 30, 1 << 22])
def test_a_part_is_that_of_the_mask(rows, columns, pixels_at_a_time, monkeypatch):
    monkeypatch.setattr(rle_module, "PIXELS_AT_A_TIME", pixels_at_a_time)
    for mask in [*random_masks(), np.zeros((8, 9), bool), np.ones((9, 7), bool)]:
        np.testing.assert_array_equal(rle_to_part(rle_to_coco(mask_to_rle(mask)), rows, columns), mask[rows, columns])
