import numpy as np
import pytest
import torch
from PIL import Image

from anymask.images.preparation import ImagePreprocessor


def test_pixels_are_pillows_resize_rescaled_and_normalised():
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    processor = ImagePreprocessor(size=32, pad_size=48)
    resized = np.asarray(Image.fromarray(image).resize((25, 32), Image.Resampling.BILINEAR))
    expected = np.zeros((3, 48, 48))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected[:, :32, :25] = ((resized / 255 - mean) / std).transpose(2, 0, 1)
    for source in (
        image,
        Image.fromarray(image),
        torch.from_numpy(image.transpose(2, 0, 1).copy()),
        image[:, ::-1][:, ::-1],
    ):
        pixels = processor(source, return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(pixels, expected, atol=1e-6)


@pytest.mark.parametrize("filter_code", list(Image.Resampling))
def test_all_of_pillows_filters(filter_code):
    image = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    processor = ImagePreprocessor(size=20, do_pad=False, do_normalize=False, resample=filter_code)
    expected = np.asarray(Image.fromarray(image).resize((20, 15), filter_code)) / 255
    np.testing.assert_allclose(processor(image, return_tensors="np")["pixel_values"][0, 1], expected, atol=1e-6)


def test_sixteen_bits_are_resized_in_float32():
    image = np.random.default_rng(0).integers(0, 65536, (30, 40), dtype=np.uint16)
    processor = ImagePreprocessor(size=20, do_pad=False, do_normalize=False)
    expected = np.asarray(Image.fromarray(image.astype(np.float32)).resize((20, 15), Image.Resampling.BILINEAR)) / 65535
    np.testing.assert_allclose(processor(image, return_tensors="np")["pixel_values"][0, 2], expected, atol=1e-6)
