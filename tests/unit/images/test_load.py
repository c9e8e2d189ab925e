import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from anymask.images.load import as_rgb_uint8, image_size_hw, load_image, white_level

HEIGHT, WIDTH = 5, 7
GREY = (np.arange(HEIGHT * WIDTH, dtype=np.uint8) * 7).reshape(HEIGHT, WIDTH)
RGB = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def encoded(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


# Pillow images


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"])
def test_pillow_modes_of_eight_bits_become_rgb(mode):
    image = Image.fromarray(RGB)
    image = image.convert(mode.upper()).convert(mode) if mode in ("La", "RGBa") else image.convert(mode)
    loaded = load_image(image)
    assert loaded.mode == "RGB"
    assert image_size_hw(loaded) == (HEIGHT, WIDTH)
    assert white_level(loaded) == 255


def test_grey_pillow_becomes_three_equal_channels():
    assert (np.asarray(load_image(Image.fromarray(GREY))) == GREY[..., None]).all()


def test_palette_with_transparency_keeps_its_colours():
    image = Image.fromarray(RGB).quantize(4)
    expected = np.asarray(image.convert("RGB"))
    image.info["transparency"] = bytes([0, 255, 255, 255])
    assert (np.asarray(load_image(image)) == expected).all()


def test_alpha_is_dropped():
    rgba = np.dstack([RGB, np.zeros((HEIGHT, WIDTH), np.uint8)])
    assert (np.asarray(load_image(Image.fromarray(rgba))) == RGB).all()
    assert (load_image(rgba) == RGB).all()


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bit_pillow_keeps_its_values(dtype):
    values = GREY.astype(np.uint16) * 257
    image = Image.frombytes("I;16" if dtype == "<u2" else "I;16B", (WIDTH, HEIGHT), values.astype(dtype).tobytes())
    loaded = load_image(image)
    assert loaded.dtype == np.uint16
    assert (loaded == values[..., None]).all()
    assert white_level(loaded) == 65535
    assert (as_rgb_uint8(image) == GREY[..., None]).all()


@pytest.mark.parametrize(("brightest", "white"), [(255, 255), (256, 65535), (65535, 65535)])
def test_mode_i_is_read_by_its_values(brightest, white):
    """As other integers, but that 16-bit files come in this mode too."""
    values = np.zeros((HEIGHT, WIDTH), np.int32)
    values[0, 0] = brightest
    loaded = load_image(Image.fromarray(values))
    assert loaded.max() == brightest
    assert white_level(loaded) == white


def test_sixteen_bit_png_file():
    values = GREY.astype(np.uint16) * 257
    assert (load_image(encoded(Image.fromarray(values))) == values[..., None]).all()


def test_thirty_two_bit_pillow():
    hounsfield = load_image(Image.fromarray(GREY.astype(np.int32) - 1000))
    assert hounsfield.min() == -1000
    assert (load_image(Image.fromarray(GREY.astype(np.float32) / 255))[..., 1] == GREY.astype(np.float32) / 255).all()


# Arrays


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", ">f8"])
def test_arrays_of_the_other_byte_order(dtype):
    native = np.dtype(dtype).newbyteorder("=")
    swapped, plain = load_image(GREY.astype(dtype)), load_image(GREY.astype(native))
    assert swapped.dtype == plain.dtype
    assert swapped.dtype.isnative
    assert (swapped == plain).all()
    assert white_level(swapped) == white_level(plain)


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64])
def test_arrays_of_every_layout(make, dtype):
    rgb, grey = RGB.astype(dtype), GREY.astype(dtype)
    rgba = np.concatenate([rgb, rgb[..., :1]], axis=-1)
    for array, expected in [
        (grey, grey[..., None].repeat(3, -1)),
        (grey[..., None], grey[..., None].repeat(3, -1)),
        (grey[None], grey[..., None].repeat(3, -1)),
        (rgb, rgb),
        (rgba, rgb),
        (rgb.transpose(2, 0, 1), rgb),
        (rgba.transpose(2, 0, 1), rgb),
    ]:
        loaded = load_image(make(np.ascontiguousarray(array)))
        assert loaded.dtype == (np.float32 if np.dtype(dtype).kind == "f" else dtype)
        assert (loaded == expected).all()
        assert (as_rgb_uint8(loaded) == (expected if dtype != np.uint16 else np.rint(expected / 257))).all()


def test_shapes_that_allow_both_layouts_follow_the_library_or_the_caller():
    array = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    assert (load_image(array) == array).all()
    assert (load_image(torch.from_numpy(array)) == array.transpose(1, 2, 0)).all()
    assert (load_image(array, input_data_format="channels_first") == array.transpose(1, 2, 0)).all()
    assert (load_image(torch.from_numpy(array), input_data_format="channels_last") == array).all()
    assert load_image(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)


def test_other_tensors():
    assert as_rgb_uint8(torch.tensor([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]
    assert load_image(torch.ones(4, 6, dtype=torch.bfloat16)).dtype == np.float32
    assert load_image(torch.rand(3, 4, 6, requires_grad=True)).shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("pixels", "white"),
    [
        (np.array([0.0, 1.0], np.float32), 1),
        (np.array([-1e-4, 1.0005], np.float32), 1),
        (np.array([0.0, 1.5], np.float32), 255),
        (np.array([0, 1], np.int32), 255),
        (np.array([0, 1], np.uint16), 65535),
        (torch.tensor([0.0, 0.5]), 1),
        (torch.tensor([0, 255], dtype=torch.uint8), 255),
    ],
)
def test_white_level(pixels, white):
    assert white_level(pixels) == white


@pytest.mark.parametrize(
    "pixels", [np.array([-1.0, 1.0]), np.array([0.0, 256.0]), np.array([-5, 5]), np.array([0, 300])]
)
def test_values_without_a_meaning_are_refused(pixels):
    with pytest.raises(ValueError, match=r"must lie in \[0, .*Say what they mean with value_range"):
        white_level(pixels)


# Bad images


@pytest.mark.parametrize("shape", [(2, 5, 7), (5, 7, 2), (5,), (1, 3, 5, 7), (5, 7, 5)])
def test_shapes_that_are_no_image(shape):
    with pytest.raises(ValueError, match=r"must have shape HxW, HxWxC or CxHxW .* got shape"):
        load_image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_bands_are_chosen(make):
    scene = np.arange(5 * 7 * 9, dtype=np.uint16).reshape(5, 7, 9)
    for array in (scene[..., :2], scene[..., :4], scene[:, :, ::-1][:, :, :3].copy()):
        n_bands = array.shape[2]
        channels_first = np.ascontiguousarray(array.transpose(2, 0, 1))
        for bands in ((2, 1, 2), (n_bands, 1, 1)):
            expected = array[..., [band - 1 for band in bands]]
            assert (load_image(make(array), bands=bands) == expected).all()
            assert (load_image(make(channels_first), bands=bands) == expected).all()
    assert (load_image(make(scene), bands=[9], input_data_format="channels_last") == scene[..., 8:]).all()
    assert (
        load_image(make(scene), bands=(5, 4, 1), input_data_format="channels_first")
        == scene[[4, 3, 0]].transpose(1, 2, 0)
    ).all()
    assert (load_image(make(scene[..., 0].copy()), bands=(1,)) == scene[..., :1]).all()


def test_bands_of_a_pillow_image():
    rgba = Image.fromarray(np.dstack([RGB, GREY]))
    assert (load_image(rgba, bands=(4, 3, 1)) == np.stack([GREY, RGB[..., 2], RGB[..., 0]], axis=-1)).all()
    assert (load_image(Image.fromarray(RGB).convert("P"), bands=(1,)).ndim) == 3


@pytest.mark.parametrize("bands", [(1, 2), (0, 1, 2), (1, 2, 5), (1.0, 2, 3), "321", 4.5])
def test_bands_that_there_are_not(bands):
    with pytest.raises(ValueError, match=r"`bands` must be one or three numbers from 1 to 4, got"):
        load_image(np.zeros((6, 7, 4), np.uint8), bands=bands)


def test_arrays_of_other_bands_say_how_to_choose():
    with pytest.raises(ValueError, match=r"Choose among others with load_image\(image, bands=\(3, 2, 1\)\)"):
        load_image(np.zeros((6, 7, 9), np.uint8))
    with pytest.raises(ValueError, match="`page` must come with an image file, got ndarray and page 1"):
        load_image(RGB, page=1)


def test_tensors_without_values():
    with pytest.raises(ValueError, match="must hold values, got one without"):
        load_image(torch.zeros(3, 4, 5, device="meta"))
    with FakeTensorMode():
        fake = torch.zeros(3, 4, 5)
    with pytest.raises(ValueError, match="must hold values, got one without"):
        load_image(fake)
    with pytest.raises(ValueError, match="must be dense and hold values, got Tensor"):
        load_image(torch.zeros(4, 5).to_sparse())


def test_tensors_that_are_seen_negated():
    conjugate = torch.complex(torch.zeros(4, 5), -torch.rand(4, 5)).conj()
    assert conjugate.imag.is_neg()
    assert (load_image(conjugate.imag)[..., 0] == conjugate.imag.clone().numpy()).all()


def test_layouts_that_the_shape_contradicts():
    with pytest.raises(ValueError, match="with channels_first"):
        load_image(np.zeros((5, 7, 3), np.uint8), input_data_format="channels_first")
    with pytest.raises(ValueError, match="`input_data_format` must be 'channels_first'"):
        load_image(np.zeros((5, 7, 3), np.uint8), input_data_format="first")


@pytest.mark.parametrize("image", [np.zeros((0, 5, 3), np.uint8), torch.zeros(3, 5, 0), Image.new("RGB", (0, 5))])
def test_images_without_pixels(image):
    with pytest.raises(ValueError, match="must have at least 1 x 1 pixels"):
        load_image(image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, Image.fromarray])
def test_values_that_are_not_finite(value, make):
    array = np.zeros((4, 5), np.float32)
    array[2, 3] = value
    with pytest.raises(ValueError, match="finite values, got NaN"):
        load_image(make(array))


def test_kinds_that_are_no_image():
    with pytest.raises(TypeError, match=r"must be a path, a URL.*got int"):
        load_image(3)
    with pytest.raises(ValueError, match="integers, floats or booleans, got dtype complex"):
        load_image(np.zeros((4, 5), complex))


def test_pillow_images_that_were_opened_but_break_when_decoded():
    data = encoded(Image.fromarray(RGB.repeat(20, 0).repeat(20, 1)), "JPEG")
    with (
        Image.open(io.BytesIO(data[: len(data) // 2])) as image,
        pytest.raises(ValueError, match=r"The Pillow image \(mode RGB\) must be a complete image"),
    ):
        load_image(image)


def test_the_source_is_not_changed():
    array = np.full((4, 5, 3), 0.5, np.float64)
    load_image(array)
    assert (array == 0.5).all()
    assert array.dtype == np.float64
