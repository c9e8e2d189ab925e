"""Mixed samples: repeatable by index, of the trainer's shapes, never of a held-out photograph."""

import numpy as np
import torch

from anymask.data.photographs import read_sources, split_held_out
from anymask.training.data import MASK_STRIDE, SampleOptions
from anymask.training.photo_samples import SCENE_EVERY, PhotoSamples

OPTIONS = SampleOptions(image_size=64, num_prompts=3, scene_size=96)


def test_a_sample_depends_on_its_index_alone(data_folder):
    samples = PhotoSamples(OPTIONS, data_folder)
    later = {index: samples[index] for index in (7, 3)}
    for name, tensor in PhotoSamples(OPTIONS, data_folder)[7].items():
        assert torch.equal(tensor, later[7][name]), name


def test_shapes_of_every_kind(data_folder):
    samples = PhotoSamples(OPTIONS, data_folder)
    for index in range(3 * SCENE_EVERY):
        sample = samples[index]
        assert sample["image"].shape == (3, 64, 64) and sample["image"].dtype == torch.uint8
        assert sample["targets"].shape == (3, 64 // MASK_STRIDE, 64 // MASK_STRIDE)
        assert sample["targets"].flatten(1).any(dim=1).all()
        assert (sample["boxes"][:, 2:] > sample["boxes"][:, :2]).all() and sample["boxes"].max() <= 64


def test_held_out_photographs_are_never_shown(data_folder):
    samples = PhotoSamples(OPTIONS, data_folder)
    samples[1]
    for source, photographs in read_sources(data_folder / "photos").items():
        held_out = {photograph.name for photograph in split_held_out(photographs)[1]}
        assert len(held_out) >= 10
        assert not held_out & {photograph.name for photograph in samples._photos[source]}
        assert len(samples._photos[source]) == len(photographs) - len(held_out)


def test_kinds_are_shares():
    from anymask.training.photo_samples import KINDS

    assert np.isclose(sum(KINDS.values()), 1)
