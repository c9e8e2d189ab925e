"""Image, masks, boxes and points move together: a mask drawn after the move is the mask that was moved."""

import numpy as np
import pytest

from anymask.data.augment import Augmentation, View, augmented, flipped, recoloured, rescaled
from anymask.data.samples import sample_of_masks
from anymask.masks.measures import masks_to_boxes_xyxy

import torch  # isort: skip


def view():
    """A white rectangle on black, its mask, its box, and its centre as a point."""
    mask = np.zeros((40, 60), bool)
    mask[10:20, 12:30] = True
    image = np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8) * 255
    box = np.array([[12.0, 10, 30, 20]])
    return View(image, mask[None], np.array([[21.0, 15.0]]), box, np.zeros((40, 60), bool))


def assert_together(moved, slack):
    """The image still shows the mask, the box is the mask's, and the point its centre."""
    assert ((moved.image[:, :, 0] > 127) == moved.masks[0]).mean() > 0.98
    x0, y0, x1, y1 = masks_to_boxes_xyxy(torch.from_numpy(moved.masks[0])).tolist()
    np.testing.assert_allclose(moved.boxes_xyxy[0], (x0, y0, x1 + 1, y1 + 1), atol=slack)
    np.testing.assert_allclose(moved.points_xy[0], ((x0 + x1 + 1) / 2, (y0 + y1 + 1) / 2), atol=slack)


def test_flip():
    moved = flipped(view())
    assert_together(moved, 0)
    assert moved.boxes_xyxy.tolist() == [[30, 10, 48, 20]]
    assert np.array_equal(flipped(moved).image, view().image)


@pytest.mark.parametrize("factor", [0.4, 0.73, 1.0, 1.6])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.3, 0.2)])
def test_scale(factor, place):
    moved = rescaled(view(), factor, place)
    assert moved.size_hw == (40, 60)
    assert_together(moved, 1)
    share = min(factor, 1) ** 2
    assert (~moved.ignored).mean() == pytest.approx(share, abs=0.03)


def test_scale_of_one_changes_nothing():
    moved = rescaled(view(), 1.0, (0.5, 0.5))
    assert np.array_equal(moved.image, view().image) and np.array_equal(moved.masks, view().masks)


def test_boxes_are_cut_at_the_frame():
    moved = rescaled(view(), 2.0, (1.0, 1.0))
    assert moved.boxes_xyxy.tolist() == [[0, 0, 0, 0]] and not moved.masks.any()


def test_colour_leaves_geometry_alone():
    grey = View(
        np.full((4, 5, 3), 100, np.uint8),
        view().masks,
        *(getattr(view(), n) for n in ("points_xy", "boxes_xyxy", "ignored")),
    )
    assert (recoloured(grey, 1.2, 1.0, 1.0).image == 120).all()
    assert (recoloured(grey, 1.0, 0.5, 0.5).image == 100).all()
    assert recoloured(grey, 1.1, 0.9, 0.9).masks is grey.masks


def test_seeds_decide_and_objects_that_leave_go(photo, shapes):
    sample = sample_of_masks("a", photo, shapes, labels=["one", "two"])
    first, again = (augmented(sample, Augmentation(), seed=(0, 3)) for _ in range(2))
    assert np.array_equal(first.image, again.image) and np.array_equal(first.masks, again.masks)
    drawn = [augmented(sample, Augmentation(scale=(1.8, 2.0)), seed=seed) for seed in range(20)]
    assert any(len(other.rles) < 2 for other in drawn)
    assert all(len(other.labels) == len(other.rles) and other.masks.any(axis=(1, 2)).all() for other in drawn)
    assert not np.array_equal(drawn[0].image, drawn[1].image)


def test_nothing_asked_nothing_changed(photo, shapes):
    sample = sample_of_masks("a", photo, shapes)
    same = augmented(sample, Augmentation(flip=0, scale=None, brightness=0, contrast=0, saturation=0), seed=0)
    assert np.array_equal(same.image, photo) and np.array_equal(same.masks, shapes) and same.ignored is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 2}, "`flip` must be a probability"),
        ({"scale": (2, 1)}, "`scale` must be two rising factors"),
        ({"contrast": 1}, "`contrast` must be in"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)
