import numpy as np
import pytest

from anymask.masks.label_maps import fill_label_map, label_map_to_rles, paint_label_map, rles_to_label_map
from anymask.masks.rle import mask_to_rle, rle_to_mask, rle_to_runs

SIZE = (14, 19)


@pytest.fixture
def masks():
    return np.random.default_rng(0).random((5, *SIZE)) < np.array([0.1, 0.9, 0.5, 0.3, 0.0])[:, None, None]


def painted(masks, order):
    """Masks over each other in order, pixel by pixel."""
    label_map = np.zeros(SIZE, int)
    for index in order:
        label_map[masks[index]] = index + 1
    return label_map


def test_later_layers_cover_earlier_ones(masks):
    layers = [(index + 1, *rle_to_runs(mask_to_rle(masks[index]))) for index in (2, 0, 3, 4, 1)]
    np.testing.assert_array_equal(paint_label_map(layers, SIZE), painted(masks, (2, 0, 3, 4, 1)))


@pytest.mark.parametrize(
    ("priority", "bottom_to_top"),
    [("score", (3, 0, 4, 1, 2)), ("small_first", (1, 2, 3, 0, 4)), ("large_first", (4, 0, 3, 2, 1))],
)
def test_priorities(masks, priority, bottom_to_top):
    scores = [0.2, 0.8, 0.9, 0.1, 0.5]
    label_map = rles_to_label_map([mask_to_rle(mask) for mask in masks], SIZE, priority, scores)
    assert label_map.dtype == np.uint16
    np.testing.assert_array_equal(label_map, painted(masks, bottom_to_top))


def test_the_earlier_mask_wins_a_tie(masks):
    rles = [mask_to_rle(masks[1])] * 3
    for priority in ("score", "small_first", "large_first"):
        assert set(np.unique(rles_to_label_map(rles, SIZE, priority, [0.5] * 3))) == {0, 1}


def test_nothing_and_many():
    assert rles_to_label_map([], SIZE, "score", []).sum() == 0
    empty = mask_to_rle(np.zeros((2, 3), bool))
    last = mask_to_rle(np.ones((2, 3), bool))
    label_map = rles_to_label_map([empty] * 65535 + [last], (2, 3), "small_first", [])
    assert label_map.dtype == np.int32
    assert np.unique(label_map).tolist() == [65536]


def test_bad_priorities(masks):
    rles = [mask_to_rle(mask) for mask in masks]
    with pytest.raises(ValueError, match="must be one of 'score', 'small_first', 'large_first', got 'best'"):
        rles_to_label_map(rles, SIZE, "best", [1.0] * 5)
    with pytest.raises(ValueError, match="a predicted IoU for every mask, but some have none; take 'small_first'"):
        rles_to_label_map(rles, SIZE, "score", [1.0, np.nan, 1, 1, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_every_number_becomes_a_mask(masks, dtype):
    label_map = painted(masks, (1, 2, 3, 0)).astype(dtype) * 3
    rles = label_map_to_rles(label_map)
    assert list(rles) == np.unique(label_map)[1:].tolist()
    for number, rle in rles.items():
        assert rle == mask_to_rle(label_map == number)
        np.testing.assert_array_equal(rle_to_mask(rle), label_map == number)
    assert label_map_to_rles(np.zeros(SIZE, dtype)) == {}


@pytest.mark.parametrize(("size", "share"), [((14, 19), 0.03), ((40, 23), 0.01), ((1, 30), 0.1), ((25, 1), 0.1)])
def test_pixels_without_a_number_get_that_of_the_nearest(size, share):
    rng = np.random.default_rng(3)
    label_map = np.where(rng.random(size) < share, rng.integers(1, 9, size), 0).astype(np.uint16)
    label_map[0, 0] = 5
    filled = fill_label_map(label_map)
    assert filled.dtype == np.uint16
    known = np.argwhere(label_map)
    for pixel in np.ndindex(size):
        distances = ((known - pixel) ** 2).sum(axis=1)
        nearest = {label_map[tuple(known[index])] for index in np.flatnonzero(distances == distances.min())}
        assert filled[pixel] in nearest


def test_nothing_to_fill_and_nothing_to_fill_with():
    for value in (0, 3):
        label_map = np.full((4, 6), value, np.int32)
        filled = fill_label_map(label_map)
        np.testing.assert_array_equal(filled, label_map)
        assert filled is not label_map
