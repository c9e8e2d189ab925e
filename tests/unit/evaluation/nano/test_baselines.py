"""Classical segmentation finds what is easy to find."""

import numpy as np
import pytest

from anymask.evaluation.nano.baselines import (
    CLICK_BASELINES,
    colour_model_in_box,
    filled_box,
    inscribed_ellipse,
    score_baselines,
)
from anymask.evaluation.nano.examples import Example
from anymask.masks.measures import mask_iou


def disc_on_plain_ground(seed=0):
    """A noisy red disc on noisy green, (120, 160)."""
    rows, columns = np.mgrid[:120, :160]
    disc = np.hypot(rows - 56, columns - 74) < 30
    image = np.where(disc[..., None], (200, 40, 30), (40, 150, 60))
    noise = np.random.default_rng(seed).normal(0, 6, image.shape)
    return Example("disc", (image + noise).clip(0, 255).astype(np.uint8), disc[None])


@pytest.mark.parametrize("name", CLICK_BASELINES)
def test_segment_of_the_click_is_the_disc(name):
    example = disc_on_plain_ground()
    labels = CLICK_BASELINES[name](example.image)
    assert labels.shape == (120, 160)
    assert mask_iou(labels == labels[56, 74], example.masks[0]) > 0.9


def test_colour_model_finds_the_disc():
    example = disc_on_plain_ground()
    assert mask_iou(colour_model_in_box(example.image, np.array([45.0, 27, 104, 86])), example.masks[0]) > 0.93


def test_colour_model_of_a_box_around_everything_has_no_background():
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    box = np.array([0.0, 0, 30, 20])
    assert np.array_equal(colour_model_in_box(image, box), inscribed_ellipse(box, (20, 30)))


def test_box_and_ellipse_areas():
    box = np.array([10.0, 5, 50, 35])
    assert filled_box(box, (40, 60)).sum() == 40 * 30
    assert inscribed_ellipse(box, (40, 60)).sum() == pytest.approx(np.pi * 20 * 15, rel=0.01)


def test_scores_by_prompt():
    (record,) = score_baselines(disc_on_plain_ground())
    assert record["box_filled"] == pytest.approx(np.pi / 4, abs=0.04)
    assert record["box_ellipse"] > 0.95
    assert {name.split("_")[0] for name in record} == {"area", "click", "box"}


def test_no_masks_no_scores():
    assert score_baselines(Example("empty", np.zeros((9, 8, 3), np.uint8), np.zeros((0, 9, 8), bool))) == []
