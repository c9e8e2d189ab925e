from typing import NamedTuple

import numpy as np
import pytest
import torch
from tests.tiny_sam import IMAGE_SIZE, tiny_image_processor

from anymask.training.samples import TrainingSamples, labels_in_frame


class Drawn(NamedTuple):
    """An image of 60 x 120 pixels; the tiny model sees it at 40 x 80, with padding below."""

    image: np.ndarray
    targets: np.ndarray
    name: str = "drawn"


def drawn(*boxes_xyxy, ignored=None):
    targets = np.zeros((len(boxes_xyxy), 60, 120), np.int8)
    for target, (x0, y0, x1, y1) in zip(targets, boxes_xyxy, strict=True):
        target[y0:y1, x0:x1] = 1
    if ignored is not None:
        targets[:, ignored] = -1
    return Drawn(np.full((60, 120, 3), 90, np.uint8), targets)


def test_a_sample_is_in_the_frame_of_the_model():
    ignored = np.zeros((60, 120), bool)
    ignored[:6] = True
    samples = TrainingSamples([drawn((12, 18, 60, 42), (90, 30, 120, 60), ignored=ignored)], tiny_image_processor())
    sample = samples[0]
    assert sample["pixel_values"].shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    assert sample["input_boxes"].tolist() == [[8, 12, 40, 28], [60, 20, 80, 40]]
    labels = sample["labels"]
    assert labels.dtype == torch.int8 and labels.shape == (2, IMAGE_SIZE, IMAGE_SIZE)
    assert (labels[0, 12:28, 8:40] == 1).all() and labels[0].eq(1).sum() == 16 * 32
    assert (labels[:, :4] == -1).all() and (labels[:, 40:] == -1).all() and (labels[:, 4:40] >= 0).all()


def test_labels_of_another_side():
    geometry = tiny_image_processor().geometry((60, 120))
    labels = labels_in_frame(torch.from_numpy(drawn((12, 18, 60, 42)).targets), geometry, 20)
    assert labels.shape == (1, 20, 20)
    assert (labels[0, 3:7, 2:10] == 1).all() and labels.eq(1).sum() == 4 * 8 and (labels[0, 10:] == -1).all()
    assert labels_in_frame(torch.zeros(0, 60, 120), geometry, 20).shape == (0, 20, 20)


def test_what_cannot_be_learned_is_left_out():
    nothing, dot, full = (0, 0, 0, 0), (50, 50, 51, 51), (0, 0, 119, 60)
    samples = TrainingSamples([drawn(nothing, full, (30, 30, 60, 60))], tiny_image_processor(), label_side=40)
    assert samples[0]["input_boxes"].tolist() == [[20, 20, 40, 40]]
    # A pixel of the image is a ninth of one of the labels: it is the one there.
    small = TrainingSamples([drawn(nothing, dot)], tiny_image_processor(), label_side=40)[0]["labels"]
    assert (small == 1).nonzero().tolist() == [[0, 16, 16]]
    kept = TrainingSamples([drawn(full)], tiny_image_processor(), keep_almost_full=True)
    assert len(kept[0]["labels"]) == 1
    with pytest.raises(ValueError, match="sample 'drawn' has none of 2"):
        TrainingSamples([drawn(nothing, full)], tiny_image_processor())[0]


def test_objects_are_drawn_anew_in_each_epoch_and_the_same_in_the_same():
    many = drawn(*[(x, 10, x + 8, 30) for x in range(0, 110, 10)])
    samples, again = (
        TrainingSamples([many], tiny_image_processor(), max_objects=4, seed=3, sample_seeds=True) for _ in range(2)
    )
    first = samples[0]
    assert len(first["labels"]) == 4
    assert (
        torch.equal(first["input_boxes"], again[0]["input_boxes"]) and first["sample_seed"] == again[0]["sample_seed"]
    )
    samples.set_epoch(1)
    assert not torch.equal(first["input_boxes"], samples[0]["input_boxes"])
    assert first["sample_seed"] != samples[0]["sample_seed"]
    again.set_epoch(1)
    assert torch.equal(again[0]["labels"], samples[0]["labels"])
    samples.set_epoch(0)
    assert torch.equal(first["labels"], samples[0]["labels"])


def test_augmentation_has_the_samples_own_generator():
    def flip(sample, rng):
        assert rng.random() == np.random.default_rng((5, 0, 0)).random()
        return Drawn(sample.image[:, ::-1].copy(), sample.targets[:, :, ::-1].copy())

    samples = TrainingSamples([drawn((0, 0, 30, 30))], tiny_image_processor(), augment=flip, seed=5)
    assert samples[0]["input_boxes"].tolist() == [[60, 0, 80, 20]]
