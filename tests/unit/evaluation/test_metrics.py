"""Agreement of masks by hand-written values."""

import numpy as np
import pytest

from anymask.evaluation.metrics import mask_dice, size_bucket, summarise
from anymask.masks.measures import mask_iou


def test_iou_and_dice_by_hand():
    masks = np.array([[[1, 1, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]]], dtype=bool)
    target = np.array([[0, 1, 1], [0, 0, 0]], dtype=bool)
    assert mask_iou(masks, target).tolist() == pytest.approx([1 / 3, 2 / 6, 0.0])
    assert mask_dice(masks, target).tolist() == pytest.approx([2 / 4, 4 / 8, 0.0])
    assert mask_iou(masks, target).dtype == np.float32


def test_two_empty_masks_agree():
    empty = np.zeros((4, 5), dtype=bool)
    assert mask_iou(empty, empty) == 1.0


def test_candidates_broadcast_against_targets():
    masks, targets = np.zeros((2, 3, 4, 5), dtype=bool), np.ones((2, 4, 5), dtype=bool)
    masks[1, 2] = True
    assert mask_iou(masks, targets[:, None]).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_summary_by_size():
    records = [{"area_fraction": area, "score": score} for area, score in ((0.005, 0.2), (0.05, 0.4), (0.09, 0.6))]
    assert [size_bucket(area) for area in (0.0099, 0.01, 0.0999, 0.1)] == ["small", "medium", "medium", "large"]
    summary = summarise(records)
    assert list(summary) == ["all", "small", "medium"]
    assert summary["all"] == {"count": 3, "score": pytest.approx(0.4)}
    assert summary["medium"] == {"count": 2, "score": pytest.approx(0.5)}
