import numpy as np
import pytest
import torch
from PIL import Image

from anymask.image_processing_sam import SamImageProcessor
from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.images.load import load_image
from anymask.images.resize_torch import _interpolate_8_bit, _three_channels, normalise_and_pad

PLAIN = {"do_normalize": False, "do_pad": False}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("resample", "steps"), [(2, 1), (3, 2)])
@pytest.mark.parametrize("size", [50, 300])
def test_differs_from_pillow_by_one_step_of_eight_bits_or_two(resample, steps, size):
    image = noise(160, 120, 3)
    options = {"size": size, "resample": resample, **PLAIN}
    slow = SamImageProcessor(**options)(image, return_tensors="pt")["pixel_values"] * 255
    fast = SamImageProcessorFast(**options)(image, return_tensors="pt")["pixel_values"] * 255
    difference = (slow - fast).abs().round()
    assert difference.max() <= steps
    assert (difference > 0).float().mean() < 0.02


@pytest.mark.parametrize(("resample", "mode"), [(2, "bilinear"), (3, "bicubic")])
@pytest.mark.parametrize("size_hw", [(50, 38), (300, 225), (160, 60), (80, 120)])
def test_eight_bits_on_other_devices_are_those_of_pillow(resample, mode, size_hw):
    image = noise(160, 120, 3)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = _interpolate_8_bit(tensor, size_hw, mode)[0]
    expected = np.asarray(Image.fromarray(image).resize(size_hw[::-1], resample), dtype=np.float32)
    difference = np.abs(resized.permute(1, 2, 0).numpy() - expected)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.1


def test_one_step_is_at_most_0018_after_normalising():
    step = 1 / 255 / min(SamImageProcessor().image_std)
    assert 0.017 < step < 0.018


@pytest.mark.parametrize("resample", [2, 3])
def test_agrees_with_pillow_on_more_than_eight_bits(resample):
    image = noise(160, 120).astype(np.uint16) * 200
    options = {"size": 50, "resample": resample, **PLAIN}
    slow = SamImageProcessor(**options)(image, return_tensors="pt")["pixel_values"]
    fast = SamImageProcessorFast(**options)(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(fast, slow, rtol=0, atol=2e-5)


def test_filters_that_torch_does_not_have():
    with pytest.raises(ValueError, match=r"`resample` of SamImageProcessorFast must be one of \[2, 3\], got 1"):
        SamImageProcessorFast(resample=1)(noise(4, 5, 3))


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (3, 5, 7), (4, 5, 7), (5, 7, 1), (5, 7, 3)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64, torch.bool])
def test_a_tensor_that_stays_on_its_device_is_read_as_by_load_image(shape, dtype):
    tensor = (torch.from_numpy(noise(*shape)) % 2).to(dtype)
    expected = torch.from_numpy(np.array(load_image(tensor))).permute(2, 0, 1)
    assert torch.equal(_three_channels(tensor, None), expected)


def test_bad_tensors_on_a_device_are_refused_like_others():
    with pytest.raises(ValueError, match="finite values"):
        _three_channels(torch.full((3, 4, 5), float("nan")), None)
    with pytest.raises(ValueError, match="must have shape HxW"):
        _three_channels(torch.zeros(2, 4, 5), None)


def test_read_only_arrays_are_taken_without_a_warning():
    image = noise(40, 50, 3)
    image.flags.writeable = False
    writable = SamImageProcessorFast(size=20)(image.copy(), return_tensors="pt")["pixel_values"]
    assert torch.equal(SamImageProcessorFast(size=20)(image, return_tensors="pt")["pixel_values"], writable)
    assert torch.equal(
        SamImageProcessorFast(size=20)(Image.fromarray(image), return_tensors="pt")["pixel_values"], writable
    )


def test_images_resized_before_are_normalised_and_padded_as_the_processor_does():
    processor = SamImageProcessor(size=64, pad_size={"height": 64, "width": 64})
    image = noise(64, 48, 3)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    values = normalise_and_pad(pixels, (64, 64), processor.options())
    torch.testing.assert_close(values, processor(image, return_tensors="pt")["pixel_values"])
    assert (values[..., 48:] == 0).all()
