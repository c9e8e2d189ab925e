"""Mixed pictures: repeatable by index, of all kinds, never of a held-out photograph."""

import numpy as np

from anymask.data.photographs import read_sources, split_held_out
from anymask.training.nano.photographs import KINDS, SCENE_EVERY, PhotoPictures
from anymask.training.nano.scenes import NanoSamples


def test_a_picture_depends_on_its_index_alone(data_folder):
    pictures = PhotoPictures(data_folder, image_size=64)
    later = {index: pictures[index] for index in (7, 3)}
    again = PhotoPictures(data_folder, image_size=64)[7]
    assert np.array_equal(again.image, later[7].image) and np.array_equal(again.targets, later[7].targets)


def test_every_kind_gives_samples(data_folder):
    samples = NanoSamples(PhotoPictures(data_folder, image_size=64), per_epoch=3 * SCENE_EVERY, num_prompts=3)
    for index in range(len(samples)):
        sample = samples[index]
        assert sample["pixel_values"].shape == (3, 64, 64)
        assert sample["labels"].shape[1:] == (32, 32) and 1 <= len(sample["labels"]) <= 3
        assert (sample["labels"] == 1).flatten(1).any(dim=1).all()
        assert (sample["input_boxes"][:, 2:] > sample["input_boxes"][:, :2]).all() and sample["input_boxes"].max() <= 64


def test_held_out_photographs_are_never_shown(data_folder):
    samples = PhotoPictures(data_folder, image_size=64)
    samples[1]
    for source, photographs in read_sources(data_folder / "photos").items():
        held_out = {photograph.name for photograph in split_held_out(photographs)[1]}
        assert len(held_out) >= 10
        assert not held_out & {photograph.name for photograph in samples._photos[source]}
        assert len(samples._photos[source]) == len(photographs) - len(held_out)


def test_kinds_are_shares():
    assert np.isclose(sum(KINDS.values()), 1)
