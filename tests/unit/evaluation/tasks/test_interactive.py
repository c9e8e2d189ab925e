"""Prompts and what is written down of their answers, with a segmenter whose masks are known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.evaluation.drawn import SIZE_HW, Asked, KnowingSegmenter, cut, discs, iou, sample

from anymask.evaluation.tasks.interactive import box_rows, click_rows, coarse_mask, mask_rows, point_rows
from anymask.evaluation.tasks.protocols import PROTOCOLS
from anymask.masks.rle import mask_to_rle, rle_to_mask

PAPER, RITM = PROTOCOLS["paper"], PROTOCOLS["ritm"]


def test_points():
    one = sample()
    segmenter = KnowingSegmenter(one)
    rows = point_rows(segmenter, one, PAPER, seed=0)
    assert [(row["group"], row["object"]) for row in rows] == [
        ("center", 1),
        ("center", 2),
        ("random", 1),
        ("random", 2),
    ]
    assert segmenter.encoded == 1
    for row, mask in zip(rows, [*one.masks, *one.masks], strict=True):
        (x, y, label) = row["clicks"][0]
        assert mask[y, x] and label == 1
        assert row["scores"]["iou_answer@1"] == row["scores"]["iou_chosen@1"] == pytest.approx(iou(cut(mask, 6), mask))
        assert row["scores"]["iou_single@1"] == pytest.approx(iou(cut(mask, 4), mask))
        assert row["scores"]["iou_oracle@1"] == 1
        assert np.array_equal(rle_to_mask(row["mask"]), cut(mask, 6)) and np.array_equal(
            rle_to_mask(row["truth"]), mask
        )
        assert row["scores"]["dice"] == pytest.approx(2 * cut(mask, 6).sum() / (cut(mask, 6).sum() + mask.sum()))
        assert row["scores"]["hausdorff95"] > 0 and 0 < row["scores"]["boundary_iou"] < 1
        assert row["tokens"]["chosen"] == 1 and row["tokens"]["predicted"] == pytest.approx([0.8, 0.9, 0.7, 0.1])
    assert rows[0]["clicks"] == [[20, 24, 1]]


def test_clicks_correct_until_the_best_target_is_reached():
    one = sample()
    segmenter = KnowingSegmenter(one)
    rows = click_rows(segmenter, one, replace(RITM, report_after=(1, 2), targets=(0.85, 0.9, 0.999)), seed=0)
    assert segmenter.asked == [Asked(1, False), *(Asked(count, True) for count in (2, 3, 4, 5))]
    for row, mask in zip(rows, one.masks, strict=True):
        after = [iou(cut(mask, rows_less), mask) for rows_less in (6, 2, 1, 1, 0)]
        assert row["scores"]["iou_answer@1"] == pytest.approx(after[0])
        assert row["scores"]["iou_answer@2"] == pytest.approx(after[1])
        for target in (85, 90, 99.9):
            expected = next(number for number, value in enumerate(after, start=1) if value >= target / 100)
            assert row["scores"][f"noc{target:.0f}"] == expected and row["scores"][f"failed{target:.0f}"] == 0
        # The second click says that what is missing at the foot belongs to the object.
        x, y, label = row["clicks"][1]
        assert label == 1 and (mask & ~cut(mask, 6))[y, x]
        assert np.array_equal(rle_to_mask(row["mask"]), cut(mask, 2)) and row["mask_after"] == 2


def test_targets_that_are_not_reached():
    one = sample()
    protocol = replace(RITM, report_after=(1,), max_clicks=2, targets=(0.5, 0.999))
    for row in click_rows(KnowingSegmenter(one), one, protocol, seed=0):
        assert (row["scores"]["noc100"], row["scores"]["failed100"]) == (2, 1)
        assert (row["scores"]["noc50"], row["scores"]["failed50"]) == (1, 0)


def test_boxes():
    one = sample()
    rows = box_rows(KnowingSegmenter(one), one, PAPER, seed=0)
    for row, mask, box in zip(rows, one.masks, one.boxes_xyxy.tolist(), strict=True):
        assert row["group"] == "box" and row["box_xyxy"] == box
        assert row["scores"]["iou_answer"] == row["scores"]["iou_single"] == pytest.approx(iou(cut(mask, 4), mask))


def test_coarse_masks_go_in_with_their_boxes():
    one = sample()
    segmenter = KnowingSegmenter(one)
    rows = mask_rows(segmenter, one, PAPER, seed=0)
    assert segmenter.asked == [Asked(1, True)]
    for row, mask in zip(rows, one.masks, strict=True):
        assert (
            row["scores"]["iou_input"] == pytest.approx(iou(coarse_mask(mask), mask)) and row["scores"]["iou_input"] < 1
        )


def test_coarse_mask_by_hand():
    mask = np.zeros((6, 10), bool)
    mask[0:3, 0:4] = True
    expected = np.zeros((6, 10), bool)
    expected[0:4, 0:4] = True  # cells of 2: the third row fills half of its cells
    assert np.array_equal(coarse_mask(mask, cells=5), expected)
    pixel = np.zeros((6, 10), bool)
    pixel[5, 9] = True
    assert coarse_mask(pixel, cells=5).sum() == 4


def test_ignored_pixels_and_empty_objects():
    circles = ((20, 24, 12), (50, 20, 8), (-30, -30, 3))  # the last is empty
    ignored = discs((50, 20, 8))[0]  # the second is ignored altogether
    ignored[30:] = True  # and the foot of the first, which is what the answers lack
    one = sample(circles=circles, ignored=mask_to_rle(ignored))
    rows = box_rows(KnowingSegmenter(one), one, PAPER, seed=0)
    assert [row["object"] for row in rows] == [1]
    assert rows[0]["scores"]["iou_answer"] == 1
    nothing = sample(circles=((-30, -30, 3),))
    for function in (point_rows, click_rows, box_rows, mask_rows):
        assert function(KnowingSegmenter(nothing), nothing, PAPER, 0) == []


def test_random_clicks_follow_the_seed_and_the_name():
    one = sample()
    drawn = [
        point_rows(KnowingSegmenter(other), other, PAPER, seed)[2]["clicks"]
        for other, seed in ((one, 0), (one, 0), (one, 1), (sample("another"), 0))
    ]
    assert drawn[0] == drawn[1] and drawn[0] != drawn[2] and drawn[0] != drawn[3]
    assert one.size_hw == SIZE_HW
