"""Metrics against MONAI, SciPy, pycocotools and counting by hand, with empty, full, one-pixel and border cases."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from pycocotools import mask as coco_mask
from scipy import ndimage, stats

from anymask.evaluation.metrics import (
    boundary_iou,
    calibration,
    mask_dice,
    pairwise_iou,
    size_bucket,
    summarise,
    surface_distances,
)
from anymask.masks.rle import mask_to_rle

# MONAI calls a part of itself in a way that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")

SIZE_HW = (37, 52)


def blob(seed):
    noise = np.random.default_rng(seed).normal(size=SIZE_HW)
    return ndimage.gaussian_filter(noise, 4) > 0.01


def rectangle(rows, columns):
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


EMPTY, FULL = rectangle((0, 0), (0, 0)), rectangle((0, 37), (0, 52))
PIXEL, BORDER = rectangle((5, 6), (9, 10)), rectangle((0, 20), (30, 52))
PAIRS = {
    "blobs": (blob(0), blob(1)),
    "other blobs": (blob(2), blob(3)),
    "a pixel and a border": (PIXEL, BORDER),
    "full and a border": (FULL, BORDER),
    "full and a pixel": (FULL, PIXEL),
    "two pixels": (PIXEL, rectangle((30, 31), (40, 41))),
    "the same": (BORDER, BORDER),
}


def in_monai(mask):
    return torch.from_numpy(mask)[None, None].float()


def test_dice_by_hand():
    masks = np.array([[[1, 1, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]]], dtype=bool)
    target = np.array([[0, 1, 1], [0, 0, 0]], dtype=bool)
    assert mask_dice(masks, target).tolist() == pytest.approx([2 / 4, 4 / 8, 0.0])
    assert mask_dice(EMPTY, EMPTY) == 1


@pytest.mark.parametrize("spacing_hw", [(1.0, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("name", PAIRS)
def test_hausdorff_as_in_monai(name, spacing_hw):
    mask, target = PAIRS[name]
    distances = surface_distances(mask, target, spacing_hw)
    for percentile in (95, 100):
        expected = compute_hausdorff_distance(
            in_monai(mask), in_monai(target), include_background=True, percentile=percentile, spacing=spacing_hw
        )
        assert distances.hausdorff(percentile) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("spacing_hw", [(1.0, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("name", PAIRS)
def test_normalised_surface_distance_as_in_monai(name, spacing_hw):
    mask, target = PAIRS[name]
    for tolerance in (0.0, 1.0, 4.2):
        expected = compute_surface_dice(
            in_monai(mask), in_monai(target), [tolerance], include_background=True, spacing=spacing_hw
        )
        assert surface_distances(mask, target, spacing_hw).dice(tolerance) == pytest.approx(float(expected), rel=1e-6)


def test_distances_by_hand():
    distances = surface_distances(PIXEL, rectangle((5, 6), (9, 13)), (1.0, 2.0))  # one pixel against a row of four
    assert distances.to_target.tolist() == [0] and distances.to_mask.tolist() == [0, 2, 4, 6]
    assert distances.hausdorff(100) == 6 and distances.dice(2.0) == 3 / 5
    assert distances.hausdorff(50) == 3.0  # between 2 and 4
    assert distances.hausdorff(50, "pooled") == 2.0  # of 0, 0, 2, 4, 6
    with pytest.raises(ValueError, match="'directed' or 'pooled'"):
        distances.hausdorff(definition="mean")


def test_distance_to_nothing_is_the_diagonal():
    both = surface_distances(EMPTY, EMPTY)
    assert (both.hausdorff(), both.dice(1.0)) == (0.0, 1.0)
    for one in (surface_distances(EMPTY, PIXEL, (2.0, 1.0)), surface_distances(PIXEL, EMPTY, (2.0, 1.0))):
        assert one.hausdorff() == pytest.approx(np.hypot(74, 52)) and one.dice(1000.0) == 0.0


@pytest.mark.parametrize("name", PAIRS)
def test_boundary_iou_by_its_definition(name):
    """Pad by one pixel, erode by 3 x 3 as often as the rim is wide, take what went: the paper's own words."""
    mask, target = PAIRS[name]
    fraction = 0.05
    times = max(1, round(fraction * (SIZE_HW[0] ** 2 + SIZE_HW[1] ** 2) ** 0.5))
    assert times == 3

    def rim(one):
        eroded = ndimage.binary_erosion(np.pad(one, 1), np.ones((3, 3)), iterations=times)
        return one & ~eroded[1:-1, 1:-1]

    expected = (rim(mask) & rim(target)).sum() / (rim(mask) | rim(target)).sum()
    assert boundary_iou(mask[None], target[None], fraction)[0] == pytest.approx(expected)


def test_boundary_iou_of_nothing():
    assert boundary_iou(np.stack([EMPTY, EMPTY]), np.stack([EMPTY, PIXEL])).tolist() == [1, 0]
    assert boundary_iou(np.zeros((0, *SIZE_HW), bool), np.zeros((0, *SIZE_HW), bool)).shape == (0,)


def test_pairwise_iou_as_in_pycocotools():
    masks = [blob(4), EMPTY, FULL, PIXEL, BORDER]
    targets = [blob(5), blob(6), FULL, EMPTY]
    ious = pairwise_iou([mask_to_rle(mask) for mask in masks], [mask_to_rle(mask) for mask in targets])
    in_coco = [[coco_mask.encode(np.asfortranarray(mask)) for mask in side] for side in (masks, targets)]
    expected = coco_mask.iou(*in_coco, [0] * len(targets))
    expected[1, 3] = 1  # two empty masks agree here
    np.testing.assert_allclose(ious, expected, rtol=1e-6)
    assert pairwise_iou([], [mask_to_rle(FULL)]).shape == (0, 1)
    with pytest.raises(ValueError, match=r"one size, got \[\(3, 4\), \(37, 52\)\]"):
        pairwise_iou([mask_to_rle(FULL)], [mask_to_rle(np.ones((3, 4), bool))])


def test_calibration_by_hand_and_by_scipy():
    predicted, real = np.array([0.91, 0.99, 0.52, 1.2, 0.52]), np.array([0.8, 1.0, 0.4, 0.9, 0.6])
    report = calibration(predicted, real, bins=10)
    assert [(row["count"], row["predicted"], row["real"]) for row in report["bins"]] == [
        (2, pytest.approx(0.52), pytest.approx(0.5)),
        (3, pytest.approx(3.1 / 3), pytest.approx(0.9)),
    ]
    assert report["expected_error"] == pytest.approx((2 * 0.02 + 3 * (3.1 / 3 - 0.9)) / 5)
    assert report["bias"] == pytest.approx((predicted - real).mean())
    assert report["pearson"] == pytest.approx(stats.pearsonr(predicted, real).statistic)
    assert report["spearman"] == pytest.approx(stats.spearmanr(predicted, real).statistic)
    assert calibration(predicted, np.ones(5))["pearson"] is None


def test_summary_by_size():
    records = [{"area_fraction": area, "score": score} for area, score in ((0.005, 0.2), (0.05, 0.4), (0.09, 0.6))]
    assert [size_bucket(area) for area in (0.0099, 0.01, 0.0999, 0.1)] == ["small", "medium", "medium", "large"]
    summary = summarise(records)
    assert list(summary) == ["all", "small", "medium"]
    assert summary["all"] == {"count": 3, "score": pytest.approx(0.4)}
    assert summary["medium"] == {"count": 2, "score": pytest.approx(0.5)}
