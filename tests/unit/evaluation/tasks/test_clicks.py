"""Clicks by a plain oracle: distances measured pixel by pixel."""

import numpy as np
import pytest
import torch

from anymask.evaluation.tasks.clicks import distance_inside, next_click


def plain_distances(region):
    """Distance of every pixel of a region to the nearest pixel outside, the frame included, by brute force."""
    padded = np.pad(region, 1)
    outside = np.argwhere(~padded)
    return np.array(
        [
            [np.hypot(*(outside - (y, x)).T).min() if padded[y, x] else 0.0 for x in range(1, padded.shape[1] - 1)]
            for y in range(1, padded.shape[0] - 1)
        ]
    )


def plain_click(predicted, truth, clicked=()):
    """The rule of Sofiiuk et al., written out: label, and the distance at every pixel that may be chosen."""
    missed, too_much = plain_distances(truth & ~predicted), plain_distances(~truth & predicted)
    for x, y in clicked:
        missed[y, x] = too_much[y, x] = 0
    label = int(missed.max() > too_much.max())
    distances = missed if label else too_much
    return label, {(x, y) for y, x in np.argwhere(distances == distances.max()).tolist()}


def blobs(count, size_hw, seed):
    """Smooth random shapes (count, H, W)."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(count, *size_hw))
    return np.stack([gaussian_filter(one, 2) > 0.03 for one in noise])


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_exact(seed):
    (region,) = blobs(1, (17, 23), seed)
    np.testing.assert_allclose(distance_inside(region), plain_distances(region), rtol=0, atol=1e-12)


def test_center_follows_the_rule():
    truth, predicted = blobs(6, (19, 26), seed=1), blobs(6, (19, 26), seed=2)
    clicks = next_click(predicted, truth)
    for index in range(6):
        label, places = plain_click(predicted[index], truth[index])
        assert clicks.labels[index] == label
        assert tuple(clicks.points_xy[index].int().tolist()) in places
    assert clicks.points_xy.dtype == torch.float32 and clicks.labels.dtype == torch.int64


def test_clicked_pixels_are_not_clicked_again():
    truth, predicted = blobs(1, (19, 26), seed=1), blobs(1, (19, 26), seed=2)
    clicked = []
    for _ in range(6):
        exclude = np.array([clicked], dtype=np.int64).reshape(1, -1, 2)
        point = tuple(next_click(predicted, truth, exclude=exclude).points_xy[0].int().tolist())
        assert point not in clicked
        assert point in plain_click(predicted[0], truth[0], clicked)[1]
        clicked.append(point)


def test_first_click_is_the_middle():
    truth = np.zeros((2, 12, 17), dtype=bool)
    truth[0, 2:9, 4:11] = True
    truth[1, :, :5] = True  # cut off by three sides of the frame
    clicks = next_click(None, truth)
    assert clicks.points_xy[0].tolist() == [7, 5]
    assert clicks.points_xy[1, 0] == 2 and 2 <= clicks.points_xy[1, 1] <= 9
    assert clicks.labels.tolist() == [1, 1]


def test_equal_depths_give_a_background_click():
    truth = np.zeros((1, 9, 20), dtype=bool)
    predicted = truth.copy()
    truth[0, 3:6, 2:5] = True
    predicted[0, 3:6, 12:15] = True
    clicks = next_click(predicted, truth)
    assert clicks.labels.tolist() == [0] and clicks.points_xy.tolist() == [[13, 4]]


def test_ignored_pixels_are_neither_right_nor_wrong():
    truth = torch.zeros(1, 9, 20, dtype=torch.int8)
    truth[0, 3:6, 2:5] = 1
    truth[0, :, 8:] = -1
    predicted = torch.zeros(1, 9, 20, dtype=torch.bool)
    predicted[0, :, 8:] = True
    assert next_click(predicted, truth).points_xy.tolist() == [[3, 4]]
    generator = torch.Generator().manual_seed(3)
    points = [next_click(predicted, truth, "random", generator=generator).points_xy[0].tolist() for _ in range(30)]
    assert all(2 <= x < 5 and 3 <= y < 6 for x, y in points)


def test_random_clicks_are_uniform_over_the_error():
    truth = torch.zeros(1, 5, 7, dtype=torch.bool)
    truth[0, 1, 1:4] = True
    predicted = torch.zeros_like(truth)
    predicted[0, 1, 3:6] = True  # misses 2 pixels, takes 2 too many
    generator = torch.Generator().manual_seed(0)
    repeats = 4000
    clicks = next_click(predicted.expand(repeats, -1, -1), truth.expand(repeats, -1, -1), "random", generator=generator)
    columns, counts = clicks.points_xy[:, 0].int().unique(return_counts=True)
    assert columns.tolist() == [1, 2, 4, 5]
    assert (counts - repeats / 4).abs().max() < 4 * (repeats * 3 / 16) ** 0.5
    assert ((clicks.points_xy[:, 0] < 3) == (clicks.labels == 1)).all()


def test_seeds_decide():
    truth = torch.from_numpy(blobs(3, (19, 26), seed=1))
    first, again, other = (
        next_click(None, truth, "random", generator=torch.Generator().manual_seed(seed)).points_xy for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("where", ["center", "random"])
def test_nothing_wrong_is_confirmed(where):
    truth = torch.zeros(2, 6, 9, dtype=torch.bool)
    truth[0, :, :4] = True
    truth[1] = True  # no background to click
    clicks = next_click(truth, truth, where)
    assert clicks.labels.tolist() == [0, 1]
    assert clicks.points_xy[0, 0] >= 4


@pytest.mark.parametrize("where", ["center", "random"])
def test_one_pixel_and_its_last_click(where):
    truth = torch.zeros(1, 3, 4, dtype=torch.bool)
    truth[0, 2, 3] = True
    assert next_click(None, truth, where).points_xy.tolist() == [[3, 2]]
    again = next_click(None, truth, where, exclude=torch.tensor([[[3, 2]]]))
    assert again.labels.tolist() == [0] and again.points_xy.tolist() != [[3, 2]]


def test_no_objects_no_clicks():
    clicks = next_click(None, torch.zeros(0, 4, 5, dtype=torch.bool), "random")
    assert clicks.points_xy.shape == (0, 2) and clicks.labels.shape == (0,)


def test_wrong_calls_say_what_is_wrong():
    truth = torch.ones(1, 3, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"`where` must be 'center' or 'random', got 'middle'"):
        next_click(None, truth, "middle")
    with pytest.raises(ValueError, match=r"shape \(objects, height, width\), got \(3, 4\)"):
        next_click(None, truth[0])
    with pytest.raises(ValueError, match=r"shape of `truth`, \(1, 3, 4\), got \(2, 3, 4\)"):
        next_click(truth.expand(2, -1, -1), truth)
    with pytest.raises(ValueError, match=r"`exclude` must have shape \(1, K, 2\), got \(3, 2\)"):
        next_click(None, truth, exclude=torch.zeros(3, 2))
    with pytest.raises(ValueError, match="all of one are ignored or excluded"):
        next_click(None, torch.full((1, 3, 4), -1))
