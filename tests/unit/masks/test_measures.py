"""What is known of dense masks, against plain loops and literals."""

import numpy as np
import pytest
import torch
from tests.plain_nms import plain_nms

from anymask.masks.measures import (
    find_window,
    iou_to_dice,
    kept_of_overlapping,
    mask_iou,
    masks_to_boxes_xyxy,
    nms,
    outer_box_xyxy,
    stability_scores,
    widened_box_xyxy,
)
from anymask.masks.rle import mask_to_rle


def test_stability_of_counted_pixels():
    logits = torch.tensor([[[2.0, 0.5, -0.5], [-2.0, 2.0, -2.0]], [[-2.0] * 3] * 2])
    torch.testing.assert_close(stability_scores(logits, 0.0, 1.0), torch.tensor([2 / 4, 0.0]))
    torch.testing.assert_close(stability_scores(logits, 0.0, 0.0), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(stability_scores(logits, 1.0, 1.0), torch.tensor([0.0, 0.0]))


def test_boxes_include_their_last_pixel():
    masks = torch.zeros(2, 2, 5, 7, dtype=torch.bool)
    masks[0, 0, 1:4, 2:7] = True
    masks[0, 1, 4, 0] = True
    masks[1, 0] = True
    expected = [[[2, 1, 6, 3], [0, 4, 0, 4]], [[0, 0, 6, 4], [0, 0, 0, 0]]]
    boxes = masks_to_boxes_xyxy(masks)
    assert boxes.tolist() == expected
    assert boxes.dtype == torch.int64
    assert masks_to_boxes_xyxy(masks[:0]).shape == (0, 2, 4)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_nms_against_a_plain_loop(threshold):
    corner = torch.randint(0, 40, (150, 2))
    boxes = torch.cat([corner, corner + torch.randint(0, 40, (150, 2))], dim=1)
    scores = torch.rand(150)
    kept = nms(boxes, scores, threshold)
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), threshold)
    assert kept.dtype == torch.int64


def test_nms_keeps_the_first_of_equals_and_what_lies_at_the_threshold():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 5]])
    assert nms(boxes, torch.ones(3), 0.5).tolist() == [0, 2]
    assert nms(boxes, torch.tensor([0.1, 0.2, 0.3]), 0.4).tolist() == [2]


def test_nms_of_nothing_and_of_boxes_without_area():
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
    assert nms(torch.zeros(3, 4), torch.ones(3), 0.5).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(2,\)"):
        nms(torch.zeros(3, 4), torch.ones(2), 0.5)


def test_outer_edges_lie_one_beyond_the_last_pixel():
    mask = np.zeros((10, 14), dtype=bool)
    mask[3:5, 6:11] = True
    assert outer_box_xyxy(mask).tolist() == [6, 3, 11, 5]
    assert find_window(mask) == (slice(3, 5), slice(6, 11))
    assert find_window(np.zeros((2, 3), dtype=bool)) is None


def test_iou_of_counted_pixels():
    masks = np.zeros((3, 4, 5), bool)
    masks[0, :2] = masks[1, 1:] = True  # 10 and 15 pixels, 5 in common
    assert mask_iou(masks[0], masks[1]) == 5 / 20
    assert mask_iou(masks[2], masks[2]) == 1.0  # two empty masks agree
    assert mask_iou(masks, masks[:1]).tolist() == [1.0, 0.25, 0.0]


# Which of masks that overlap are kept


def test_dice_counts_the_overlap_twice():
    ious = np.array([0.0, 1 / 3, 1.0])
    np.testing.assert_allclose(iou_to_dice(ious), [0.0, 0.5, 1.0])


def test_widened_boxes_stay_within_the_image():
    mask = np.zeros((20, 30), dtype=bool)
    mask[8:12, 2:22] = True
    assert widened_box_xyxy(mask, 0.25) == (0.0, 7.0, 27.0, 13.0)
    assert widened_box_xyxy(mask, 0) == (2.0, 8.0, 22.0, 12.0)


@pytest.mark.parametrize("measure", ["iou", "smaller"])
def test_kept_of_overlapping_against_dense_masks(measure):
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


def test_of_no_masks_none_is_kept():
    assert kept_of_overlapping([], np.zeros(0), 0.5) == []
