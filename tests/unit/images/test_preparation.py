"""What every image processor computes, as a plain `ImagePreprocessor` and as one of Transformers' image processors."""

import numpy as np
import pytest
import torch
from PIL import Image

from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.images.preparation import ImagePreprocessor, SamInputs

BOTH = pytest.mark.parametrize("make", [ImagePreprocessor, SamImageProcessorFast])
SMALL = {"size": 64, "pad_size": 64, "mask_size": 16, "mask_pad_size": 16}


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random image: noise of few pixels, enlarged."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


# Results


@BOTH
def test_shapes_types_and_padding(make):
    inputs = make(**SMALL)([photo(40, 80), photo(50, 25, seed=1)], return_tensors="pt")
    assert inputs["pixel_values"].shape == (2, 3, 64, 64)
    assert inputs["pixel_values"].dtype == torch.float32
    assert inputs["original_sizes"].tolist() == [[40, 80], [50, 25]]
    assert inputs["reshaped_input_sizes"].tolist() == [[32, 64], [64, 32]]
    assert inputs["original_sizes"].dtype == inputs["reshaped_input_sizes"].dtype == torch.int64
    assert (inputs["pixel_values"][0, :, 32:] == 0).all()
    assert (inputs["pixel_values"][1, :, :, 32:] == 0).all()
    assert (inputs["pixel_values"][0, :, :32] != 0).any()


@BOTH
def test_a_batch_is_its_images_one_by_one(make):
    processor = make(**SMALL)
    images = [photo(40, 80), photo(40, 80, seed=1), photo(50, 25, seed=2)]
    together = processor(images, return_tensors="pt")["pixel_values"]
    alone = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images])
    assert torch.equal(together, alone)


@BOTH
def test_every_way_to_pass_images(make, tmp_path):
    processor = make(**SMALL)
    image = photo(40, 80)
    Image.fromarray(image).save(tmp_path / "image.png")
    expected = processor([image, image], return_tensors="np")["pixel_values"]
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    for images in [
        (image, image),
        [[image], [image]],
        np.stack([image, image]),
        [Image.fromarray(image), tmp_path / "image.png"],
        [tensor, str(tmp_path / "image.png")],
        torch.stack([tensor, tensor]),
    ]:
        assert (processor.preprocess(images, return_tensors="np")["pixel_values"] == expected).all()


@BOTH
def test_kinds_of_tensors(make):
    processor = make(**SMALL)
    for kind, expected in [("pt", torch.Tensor), ("np", np.ndarray)]:
        inputs = processor(photo(40, 80), photo(40, 80)[..., 0], return_tensors=kind)
        assert {type(value) for value in inputs.values()} == {expected}
    inputs = processor([photo(40, 80)], [photo(40, 80)[..., 0]])
    assert [array.shape for array in inputs["pixel_values"]] == [(3, 64, 64)]
    assert inputs["original_sizes"] == [(40, 80)]
    with pytest.raises(ValueError, match="`return_tensors` must be 'pt', 'np' or None, got 'tf'"):
        processor(photo(4, 8), return_tensors="tf")


@BOTH
def test_values_mean_the_same_in_every_dtype(make):
    processor = make(**SMALL)
    image = photo(64, 64)  # no resize, so that rounding cannot hide a factor
    expected = processor(image, return_tensors="pt")["pixel_values"]
    for same in [
        image.astype(np.float32),
        image.astype(np.float64) / 255,
        image.astype(np.int64),
        image.astype(np.uint16) * 257,
        torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255,
    ]:
        torch.testing.assert_close(processor(same, return_tensors="pt")["pixel_values"], expected, rtol=0, atol=2e-6)


@BOTH
def test_grey_images_are_three_equal_channels_before_normalising(make):
    pixels = make(**SMALL, do_normalize=False)(photo(40, 80)[..., 0], return_tensors="pt")["pixel_values"][0]
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


@BOTH
def test_float_images_are_resized_as_floats(make):
    image = np.linspace(0, 1, 80 * 40, dtype=np.float32).reshape(40, 80)
    pixels = make(**SMALL, do_normalize=False)(image, return_tensors="pt")["pixel_values"][0, 0, :32]
    assert len(pixels.unique()) > 1000  # 8 bits would leave 256


@BOTH
def test_medsam_preprocessing_is_a_matter_of_options(make):
    processor = make(size={"height": 64, "width": 64}, value_range="min_max", do_normalize=False, resample=3)
    slice_16_bit = photo(50, 30)[..., 0].astype(np.uint16) * 13 + 500
    inputs = processor([slice_16_bit, photo(20, 70)], return_tensors="pt")
    assert inputs["reshaped_input_sizes"].tolist() == [[64, 64], [64, 64]]
    assert inputs["pixel_values"].amin((1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert inputs["pixel_values"].amax((1, 2, 3)).tolist() == pytest.approx([1, 1])


@BOTH
def test_a_window_clips_before_resizing(make):
    processor = make(size={"height": 2, "width": 2}, value_range=(-160, 240), do_normalize=False)
    hounsfield = np.array([[-1000, 40], [240, 3000]], dtype=np.int16)
    pixels = processor(hounsfield, return_tensors="pt")["pixel_values"][0, 1]
    np.testing.assert_allclose(pixels, [[0, 0.5], [1, 1]], atol=1e-6)
    assert hounsfield.min() == -1000


@BOTH
def test_a_constant_image_has_no_range(make):
    processor = make(**SMALL, value_range="min_max", do_normalize=False)
    assert (processor(np.full((40, 80), 7, np.uint8), return_tensors="pt")["pixel_values"] == 0).all()


@BOTH
def test_rectangles_without_the_padding_of_a_square(make):
    processor = make(size=64, pad_size=None, size_divisor=16)
    assert processor(photo(50, 100), return_tensors="pt")["pixel_values"].shape == (1, 3, 32, 64)
    batch = processor([photo(50, 100), photo(100, 50)], return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 3, 64, 64)
    assert (batch["pixel_values"][0, :, 32:] == 0).all()
    with pytest.raises(ValueError, match=r"Images of a batch must have one size, got \[\(32, 64\), \(64, 32\)\]"):
        make(size=64, do_pad=False)([photo(50, 100), photo(100, 50)])


@BOTH
@pytest.mark.parametrize("shape", [(1, 1, 3), (3000, 10), (2, 900, 3)])
def test_extreme_shapes(make, shape):
    inputs = make(**SMALL)(np.full(shape, 255, np.uint8), return_tensors="pt")
    height, width = inputs["reshaped_input_sizes"][0].tolist()
    assert max(height, width) == 64
    assert (inputs["pixel_values"][0, :, :height, :width] > 2).all()


@BOTH
def test_the_callers_pixels_are_not_changed(make):
    for image in (photo(64, 64).copy(), photo(64, 64) / np.float32(255), torch.rand(3, 64, 64)):
        before = image.clone() if isinstance(image, torch.Tensor) else image.copy()
        for options in ({}, {"value_range": (0.25, 0.5)}, {"value_range": "min_max"}):
            make(**SMALL, **options)(image, return_tensors="pt")["pixel_values"].add_(1)
        assert (image == before).all()


# Segmentation maps


@BOTH
@pytest.mark.parametrize(
    "as_map", [np.asarray, torch.from_numpy, Image.fromarray, lambda a: a[..., None], lambda a: a[None]]
)
def test_segmentation_maps_keep_their_labels(make, as_map):
    labels = np.zeros((40, 80), np.uint8)
    labels[:, 40:] = 7
    result = make(**SMALL)(photo(40, 80), as_map(labels), return_tensors="pt")["labels"]
    expected = torch.zeros(1, 16, 16, dtype=torch.int64)
    expected[:, :8, 8:] = 7
    assert torch.equal(result, expected)


# Value ranges


@BOTH
@pytest.mark.parametrize(
    ("pixels", "value_range", "expected"),
    [
        (photo(40, 80), "auto", (0, 255)),
        (photo(40, 80).astype(np.float32) / 255, "auto", (0, 1)),
        (photo(40, 80).astype(np.uint16), "auto", (0, 65535)),
        (photo(40, 80).astype(np.int16), (-160, 240), (-160, 240)),
    ],
)
def test_black_and_white(make, pixels, value_range, expected):
    assert make(**SMALL, value_range=value_range).black_and_white(pixels) == expected


@BOTH
def test_black_and_white_of_min_max_are_those_after_resizing(make):
    processor = make(**SMALL, value_range="min_max", do_normalize=False)
    pixels = np.zeros((40, 80, 3), np.float32)
    pixels[:20], pixels[7, 9] = -30, 500
    black, white = processor.black_and_white(pixels)
    assert black == pytest.approx(-30, abs=1e-4) and 0 < white < 500
    whole, again = (processor(pixels, **given)["pixel_values"][0] for given in ({}, {"value_range": (-30, 500)}))
    np.testing.assert_allclose(whole[:, :32] * (white - black), again[:, :32] * 530, atol=1e-2)


# Options


@BOTH
def test_options_can_be_overridden_for_a_call(make):
    processor = make(**SMALL)
    inputs = processor(photo(40, 80), size=32, pad_size=48, do_normalize=False, return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 48, 48)
    assert inputs["reshaped_input_sizes"].tolist() == [[16, 32]]
    assert processor.size == {"longest_edge": 64}
    assert processor.geometry((40, 80), size=32).resized_size_hw == (16, 32)


@BOTH
def test_options_can_be_set_as_attributes(make):
    processor = make(**SMALL)
    processor.size = {"longest_edge": 32}
    assert processor.geometry((40, 80)).resized_size_hw == (16, 32)


@BOTH
def test_what_is_set_is_checked_at_once_and_a_size_can_be_changed_in_place(make):
    processor = make(**SMALL)
    with pytest.raises(ValueError, match="`image_std` must not hold zero"):
        processor.image_std = 0
    processor.size["longest_edge"] = 32
    assert processor.geometry((40, 80)).resized_size_hw == (16, 32)
    assert make(**SMALL).size == {"longest_edge": 64}


@BOTH
def test_conversion_to_rgb_cannot_be_switched_off(make):
    grey = photo(40, 80)[..., 0]
    switched_off = make(**SMALL, do_convert_rgb=False)
    assert switched_off.do_convert_rgb is False
    expected = make(**SMALL)(grey, return_tensors="pt")["pixel_values"]
    assert torch.equal(switched_off(grey, return_tensors="pt")["pixel_values"], expected)


@BOTH
def test_no_images(make):
    with pytest.raises(ValueError, match="at least one image, got an empty list"):
        make()([])


def test_ours_alone_is_written_only_where_it_says_something():
    assert not {"size_divisor", "value_range"} & set(ImagePreprocessor().to_dict())


# The returned dictionary


def test_only_pixels_follow_a_dtype():
    inputs = SamInputs(
        {
            "pixel_values": torch.zeros(2, 3),
            "input_points": torch.full((2, 2), 1023.25),
            "input_labels": torch.ones(2, dtype=torch.int64),
            "names": ["a", "b"],
        }
    )
    assert inputs.to(torch.float16) is inputs
    assert inputs["pixel_values"].dtype == torch.float16
    assert inputs["input_points"].dtype == torch.float32
    assert inputs["input_points"][0, 0] == 1023.25
    inputs.to("meta", torch.bfloat16)
    assert {inputs[name].device.type for name in ("pixel_values", "input_points", "input_labels")} == {"meta"}
    assert inputs["pixel_values"].dtype == torch.bfloat16
    assert inputs["input_points"].dtype == torch.float32


@BOTH
def test_the_result_lies_on_the_device_asked_for(make):
    assert make(**SMALL)(photo(40, 80), return_tensors="pt", device="cpu")["pixel_values"].device.type == "cpu"
