import math

import pytest

from anymask.geometry.coordinates import ResizeGeometry
from anymask.images.options import ImageOptions


def test_defaults_are_those_of_transformers_config_files():
    options = ImageOptions()
    assert options.size == {"longest_edge": 1024}
    assert options.pad_size == {"height": 1024, "width": 1024}
    assert options.mask_size == {"longest_edge": 256}
    assert options.mask_pad_size == {"height": 256, "width": 256}


def test_sizes_in_every_form():
    options = ImageOptions(size=512, pad_size=640, mask_size=(64, 96), mask_pad_size=[64, 96])
    assert options.size == {"longest_edge": 512}
    assert options.pad_size == {"height": 640, "width": 640}
    assert options.mask_size == options.mask_pad_size == {"height": 64, "width": 96}
    assert ImageOptions(size={"longest_edge": 512, "height": None}).size == {"longest_edge": 512}
    assert (options.size.longest_edge, options.size.height, options.pad_size.width) == (512, None, 640)
    with pytest.raises(AttributeError, match="a size has no side 'depth'"):
        options.size.depth  # noqa: B018


def test_a_fixed_size_leaves_nothing_to_pad_and_masks_of_a_quarter():
    options = ImageOptions.complete({"size": {"height": 1024, "width": 512}})
    assert options.geometry((300, 200)) == ResizeGeometry((300, 200), (1024, 512), (1024, 512))
    assert options.mask_geometry(options.geometry((300, 200))) == ResizeGeometry((300, 200), (256, 128), (256, 128))


def test_what_is_said_beside_a_fixed_size_stays():
    options = ImageOptions.complete({"size": (64, 48), "pad_size": 64, "mask_size": (32, 24)}, {"resample": 3})
    assert options.geometry((300, 200)).padded_size_hw == (64, 64)
    assert options.mask_size == {"height": 32, "width": 24}
    assert options.resample == 3


def test_geometry_with_square_padding():
    options = ImageOptions()
    geometry = options.geometry((300, 200))
    assert geometry == ResizeGeometry((300, 200), (1024, 683), (1024, 1024))
    assert options.mask_geometry(geometry) == ResizeGeometry((300, 200), (256, 171), (256, 256))


def test_geometry_without_square_padding_is_a_multiple_of_the_patch():
    options = ImageOptions(size=128, pad_size=None, size_divisor=16)
    geometry = options.geometry((300, 200))
    assert geometry == ResizeGeometry((300, 200), (128, 85), (128, 96))
    assert options.mask_geometry(geometry) == ResizeGeometry((300, 200), (32, 21), (32, 24))


def test_geometry_without_padding_or_resizing():
    assert ImageOptions(do_pad=False).geometry((300, 200)).padded_size_hw == (1024, 683)
    assert ImageOptions(pad_size=None).geometry((300, 200)).padded_size_hw == (1024, 683)
    assert ImageOptions(do_resize=False).geometry((300, 200)).resized_size_hw == (300, 200)


def test_masks_without_a_pad_size_are_not_padded():
    options = ImageOptions(mask_pad_size=None)
    assert options.mask_geometry(options.geometry((300, 200))).padded_size_hw == (256, 171)


def test_images_larger_than_the_padding_are_refused():
    with pytest.raises(ValueError, match="must hold the resized image"):
        ImageOptions(do_resize=False).geometry((300, 2000))


def test_affine_rescales_and_normalises():
    gains, offsets = ImageOptions(image_mean=(0.5, 0.25, 0.0), image_std=(0.5, 0.25, 1.0)).affine(0.0, 255.0)
    assert [gain * 255 + offset for gain, offset in zip(gains, offsets, strict=True)] == pytest.approx([1, 3, 1])
    assert offsets == pytest.approx([-1, -1, 0])


@pytest.mark.parametrize(
    ("options", "levels", "value", "expected"),
    [
        ({}, (0, 65535), 65535, 1),
        ({}, (0, 1), 0.5, 0.5),
        ({"do_rescale": False}, (0, 255), 128, 128),
        ({"do_rescale": False}, (0, 1), 0.5, 0.5),
        ({"rescale_factor": 1.0}, (0, 65535), 65535, 255),
        ({"value_range": "min_max"}, (10, 20), 15, 0.5),
        ({"value_range": "min_max", "do_rescale": False}, (10, 20), 15, 0.5),
        ({"value_range": "min_max"}, (10, 10), 10, 0),
        ({"value_range": (-160, 240)}, (-160, 240), 40, 0.5),
    ],
)
def test_affine_knows_what_values_mean(options, levels, value, expected):
    gains, offsets = ImageOptions(do_normalize=False, **options).affine(*levels)
    assert [gain * value + offset for gain, offset in zip(gains, offsets, strict=True)] == pytest.approx([expected] * 3)
    assert all(math.isfinite(number) for number in gains + offsets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"size": {"shortest_edge": 5}},
            r"`size` must be {'longest_edge': n} or {'height': h, 'width': w} in whole pixels",
        ),
        ({"size": 0}, "`size` must be"),
        ({"size": 10.5}, "`size` must be"),
        ({"pad_size": {"longest_edge": 5}}, r"`pad_size` must be {'height': h, 'width': w} in whole pixels"),
        ({"mask_size": {"height": 5}}, "`mask_size` must be"),
        ({"mask_pad_size": (5, -1)}, "`mask_pad_size` must be"),
        ({"image_mean": (1, 2)}, "`image_mean` must be one finite number or three"),
        ({"image_mean": float("nan")}, "`image_mean` must be one finite number or three"),
        ({"image_std": (1, 2, float("inf"))}, "`image_std` must be one finite number or three"),
        ({"image_std": 0}, "`image_std` must not hold zero"),
        ({"resample": 9}, r"`resample` must be one of Pillow's filters .*2 \(bilinear\).* got 9"),
        ({"size_divisor": 0}, "`size_divisor` must be the model's patch size or None, got 0"),
        ({"value_range": (5, 5)}, "`value_range` must be 'auto', 'min_max' or"),
        ({"value_range": "minmax"}, "`value_range` must be 'auto', 'min_max' or"),
    ],
)
def test_values_that_an_option_cannot_have(options, message):
    with pytest.raises(ValueError, match=message):
        ImageOptions(**options)


def test_size_and_mask_size_must_be_of_a_kind():
    options = ImageOptions(mask_size=(64, 48))
    with pytest.raises(ValueError, match="must both be a longest edge or both a height and a width"):
        options.mask_geometry(options.geometry((300, 200)))


def test_a_divisor_given_goes_before_padding_that_is_not():
    saved = ImageOptions.complete({"size": {"longest_edge": 256}, "pad_size": {"height": 256, "width": 256}})
    base = {name: getattr(saved, name) for name in ("size", "pad_size")}
    assert ImageOptions.complete({"size_divisor": 16}, base).geometry((300, 400)).padded_size_hw == (192, 256)
    assert ImageOptions.complete({"size_divisor": 16, "pad_size": 256}).pad_size == {"height": 256, "width": 256}
