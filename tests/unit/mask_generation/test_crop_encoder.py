"""Items made before they are asked for; what crops are and when they are read is tested with the generator."""

import numpy as np
import pytest
import torch
from tests.colour_model import ColourModel, colour_processor

from anymask.mask_generation import crop_encoder as crop_embeddings
from anymask.mask_generation.crop_encoder import CropEncoder, Prefetched
from anymask.mask_generation.options import MaskGenerationOptions


def test_one_item_is_made_ahead_and_no_more():
    made = []
    items = Prefetched(lambda _: (made.append(number) or number for number in range(3)))
    assert made == []
    items.prefetch()
    items.prefetch()
    assert made == [0]
    assert next(items) == 0
    assert made == [0]
    assert list(items) == [1, 2]
    items.prefetch()
    assert list(items) == []


def test_an_error_waits_until_its_item_is_asked_for():
    def numbers(_):
        yield 1
        raise FileNotFoundError("the second")

    items = Prefetched(numbers)
    assert next(items) == 1
    items.prefetch()
    with pytest.raises(FileNotFoundError, match="the second"):
        next(items)


def test_what_cannot_be_made_ahead_is_made_when_it_is_asked_for():
    def numbers(items):
        while items.is_ahead:
            yield None
        yield 1

    items = Prefetched(numbers)
    items.prefetch()
    items.prefetch()
    assert list(items) == [1]


def test_a_crop_that_does_not_fit_beside_the_masks_before_it_is_encoded_after_them():
    model, image = ColourModel(), np.full((48, 64, 3), 50, np.uint8)
    pairs = CropEncoder(model, colour_processor(), pytest.fail).embeddings([image, image], MaskGenerationOptions())
    next(pairs)
    model.most_images = 0
    pairs.prefetch()
    model.most_images = 1
    assert next(pairs)[0].is_last
    model.most_images = 0
    with pytest.raises(torch.OutOfMemoryError):
        list(CropEncoder(model, colour_processor(), pytest.fail).embeddings([image], MaskGenerationOptions()))


@pytest.mark.parametrize(("limit", "expected"), [(1, [1] * 6), (4, [4, 2])])
def test_crops_of_several_images_are_encoded_together(monkeypatch, limit, expected):
    monkeypatch.setattr(crop_embeddings, "encoder_batch_size", lambda model, shape: limit)
    model = ColourModel()
    encoder = CropEncoder(model, colour_processor(), warn_of_memory=pytest.fail)
    dark, bright = np.full((48, 64, 3), 50, np.uint8), np.full((30, 20, 3), 200, np.uint8)
    images = [dark, encoder.prepare(bright), dark, bright, dark, dark]
    pairs = list(encoder.embeddings(images, MaskGenerationOptions()))
    assert model.encoded == expected
    assert [crop.size_hw for crop, _ in pairs] == [(48, 64), (30, 20), (48, 64), (30, 20), (48, 64), (48, 64)]
    values = [embedding[0, 0, 0, 0].item() for _, embedding in pairs]
    assert values == pytest.approx([value / 255 for value in (50, 200, 50, 200, 50, 50)])
    assert all(crop.is_last for crop, _ in pairs)


def test_crops_come_layer_by_layer():
    encoder = CropEncoder(ColourModel(), colour_processor(), warn_of_memory=pytest.fail)
    pairs = list(encoder.embeddings([np.zeros((48, 64, 3), np.uint8)], MaskGenerationOptions(crop_n_layers=1)))
    assert [crop.layer for crop, _ in pairs] == [0, 1, 1, 1, 1]
    assert [crop.is_last for crop, _ in pairs] == [False] * 4 + [True]
