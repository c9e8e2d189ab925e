"""Crops and their embeddings; when images are read is tested with the generator."""

import numpy as np
import pytest
import torch
from tests.colour_model import ColourModel, colour_processor

from anymask.mask_generation.crop_encoder import CropEncoder
from anymask.mask_generation.options import MaskGenerationOptions


@pytest.mark.parametrize(("limit", "expected"), [(1, [1] * 6), (4, [4, 2])])
def test_crops_of_several_images_are_encoded_together(limit, expected):
    model = ColourModel()
    encoder = CropEncoder(model, colour_processor(), warn_of_memory=pytest.fail, batch_size=limit)
    dark, bright = np.full((48, 64, 3), 50, np.uint8), np.full((30, 20, 3), 200, np.uint8)
    images = [dark, encoder.preprocess(bright), dark, bright, dark, dark]
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


def test_out_of_memory_halves_the_crops_that_are_encoded_together():
    model, said, image = ColourModel(most_images=2), [], np.full((48, 64, 3), 50, np.uint8)
    encoder = CropEncoder(model, colour_processor(), warn_of_memory=said.append, batch_size=4)
    assert len(list(encoder.embeddings([image] * 5, MaskGenerationOptions()))) == 5
    assert (model.encoded, said) == ([2, 2, 1], ["the encoder goes on with 2 crops at a time"])
    model.most_images = 0
    with pytest.raises(torch.OutOfMemoryError):
        list(
            CropEncoder(model, colour_processor(), warn_of_memory=pytest.fail).embeddings(
                [image], MaskGenerationOptions()
            )
        )
