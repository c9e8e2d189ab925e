"""Pictures of scenes: repeatable by index, in the frame that inference has, cut into epochs."""

import numpy as np
import torch

from anymask.training.nano.scenes import NanoSamples, ScenePictures, finish_picture


def pictures():
    return ScenePictures(image_size=64, scene_size=96, repeats=2, window=3)


def test_a_picture_depends_on_its_index_alone():
    one_by_one = [pictures()[index] for index in (4, 5)]
    together = pictures()
    for index, expected in zip((4, 5), one_by_one, strict=True):
        assert np.array_equal(together[index].image, expected.image)
        assert np.array_equal(together[index].targets, expected.targets)


def test_samples_are_in_the_frame_of_the_model():
    samples = NanoSamples(pictures(), per_epoch=6, num_prompts=5)
    seen_padding = 0
    for index in range(6):
        sample = samples[index]
        assert sample["pixel_values"].shape == (3, 64, 64)
        labels = sample["labels"]
        assert labels.shape[1:] == (32, 32) and 1 <= len(labels) <= 5
        # Padding is ignored, and is the mean colour.
        is_padding = (labels[0] == -1).repeat_interleave(2, 0).repeat_interleave(2, 1)
        if is_padding.any():
            assert (sample["pixel_values"][:, is_padding] == 0).float().mean() > 0.9
        seen_padding += int(is_padding.any())
        for label, box in zip(labels, sample["input_boxes"], strict=True):
            rows, columns = (label == 1).nonzero(as_tuple=True)
            seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * 2
            # Thin ends may vanish at low resolution, but nothing of an object lies outside its box.
            assert (box[:2] <= seen[:2] + 2).all() and (box[2:] >= seen[2:] - 2).all()
    assert seen_padding


def test_epochs_follow_one_another_and_have_their_size():
    samples = NanoSamples(pictures(), per_epoch=2, num_prompts=5)
    samples.enter(3, 128)
    (expected,) = (NanoSamples(ScenePictures(image_size=128, scene_size=96, repeats=2, window=3), 8, 5).prepare(7),)
    found = samples.prepare(1)
    assert len(samples) == 2 and found["labels"].shape[1:] == (64, 64)
    assert np.array_equal(found["image"], expected["image"]) and torch.equal(found["labels"], expected["labels"])
    first = samples[1]["sample_seed"]
    samples.enter(4, 128)
    assert samples[1]["sample_seed"] != first


def test_scenes_come_back_after_a_window():
    assert [pictures().scene_index(index) for index in range(12)] == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_pictures_without_a_usable_mask_are_none():
    image, rng = np.zeros((96, 80, 3), dtype=np.uint8), np.random.default_rng(0)
    dot = np.zeros((1, 96, 80), dtype=bool)
    dot[0, 5:9, 7:11] = True  # at 64 pixels less than 12 of the low-resolution mask
    for masks in (np.zeros((0, 96, 80), dtype=bool), np.ones((1, 96, 80), dtype=bool), dot):
        assert finish_picture(image, masks, 64, rng) is None
    assert finish_picture(image, dot, 512, rng).targets.sum() == 16
