"""Training samples: repeatable by index, targets and boxes in agreement, sizes balanced."""

from itertools import islice

import numpy as np
import pytest
import torch

from anymask.training.data import (
    MASK_STRIDE,
    PADDING_COLOUR,
    ConsecutiveSampler,
    SampleOptions,
    SceneSamples,
    make_loader,
    make_sample,
    normalise_images,
    sample_by_area,
    scene_index,
)

OPTIONS = SampleOptions(image_size=64, num_prompts=5, scene_size=96, repeats=2, window=3)


def test_a_sample_depends_on_its_index_alone():
    one_by_one = [SceneSamples(OPTIONS)[index] for index in (4, 5)]
    together = SceneSamples(OPTIONS)
    for index, expected in zip((4, 5), one_by_one, strict=True):
        for name, tensor in together[index].items():
            assert torch.equal(tensor, expected[name]), name


def test_shapes_and_agreement_of_boxes_with_targets():
    for index in range(6):
        sample = SceneSamples(OPTIONS)[index]
        assert sample["image"].shape == (3, 64, 64) and sample["image"].dtype == torch.uint8
        assert sample["targets"].shape == (5, 64 // MASK_STRIDE, 64 // MASK_STRIDE)
        for target, box in zip(sample["targets"], sample["boxes"], strict=True):
            rows, columns = target.nonzero(as_tuple=True)
            seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * MASK_STRIDE
            # Thin ends may vanish at low resolution, but nothing of a target lies outside its box.
            assert (box[:2] <= seen[:2] + MASK_STRIDE).all() and (box[2:] >= seen[2:] - MASK_STRIDE).all()


def test_scenes_come_back_after_a_window():
    assert [scene_index(index, OPTIONS) for index in range(12)] == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_padding_is_the_mean_colour():
    image = np.full((96, 96, 3), 255, dtype=np.uint8)
    masks = np.ones((1, 96, 96), dtype=bool)
    masks[:, :, :10] = False
    seen = 0
    for seed in range(20):
        sample = make_sample(image, masks, OPTIONS, np.random.default_rng(seed))
        if sample is None:
            continue
        is_padding = (sample["image"] == torch.from_numpy(PADDING_COLOUR)[:, None, None]).all(dim=0)
        seen += is_padding.any().item()
        coarse = torch.nn.functional.max_pool2d(is_padding[None].float(), MASK_STRIDE)[0].bool()
        assert not (sample["targets"] & coarse).any()
    assert seen > 5
    assert normalise_images(torch.from_numpy(PADDING_COLOUR).view(1, 3, 1, 1)).abs().max() < 0.01


def test_scenes_without_a_usable_mask_give_no_sample():
    image = np.zeros((96, 96, 3), dtype=np.uint8)
    for masks in (np.zeros((0, 96, 96), dtype=bool), np.ones((1, 96, 96), dtype=bool)):
        assert make_sample(image, masks, OPTIONS, np.random.default_rng(0)) is None


def test_every_octave_of_area_is_as_likely():
    areas = np.array([10] * 90 + [1000] * 9 + [50000])
    rng = np.random.default_rng(0)
    picked = np.concatenate([sample_by_area(areas, 1, rng) for _ in range(3000)])
    shares = np.bincount(np.digitize(areas[picked], [100, 10000]), minlength=3) / len(picked)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)


def test_few_masks_are_all_used_then_repeated():
    picked = sample_by_area(np.array([10, 20, 3000]), 7, np.random.default_rng(0))
    assert len(picked) == 7 and set(picked) == {0, 1, 2}


def test_loader_continues_where_it_is_told():
    from_zero = list(islice(make_loader(SceneSamples(OPTIONS), 0, batch_size=2, num_workers=0), 3))
    (resumed,) = islice(make_loader(SceneSamples(OPTIONS), 4, batch_size=2, num_workers=0), 1)
    for name, tensor in resumed.items():
        assert torch.equal(tensor, from_zero[2][name]), name
    assert list(islice(ConsecutiveSampler(5), 3)) == [5, 6, 7]
