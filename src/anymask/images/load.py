"""One door for every kind of image: paths, URLs, bytes, Pillow images of any mode, NumPy arrays and torch tensors.

`load_image` checks an image and brings it to three channels without touching its values; `white_level` says what its
brightest value means. Files are opened in `files.py`. Nothing is resized or normalised here: that is `preparation.py`.

What values are taken to mean:

| pixels                                            | black .. white                              |
|---------------------------------------------------|---------------------------------------------|
| `uint8`, 8-bit files                              | 0 .. 255                                    |
| `uint16`, 16-bit files (Pillow `I;16`)            | 0 .. 65535                                  |
| Pillow `I`, some above 255                        | 0 .. 65535; other values are refused        |
| `bool`, Pillow `1`                                | False .. True                               |
| other integers, Pillow `I` with none above 255    | 0 .. 255; other values are refused          |
| floats, none above 1                              | 0 .. 1                                      |
| floats, some above 1                              | 0 .. 255; other values are refused          |

Images that mean something else (CT slices in Hounsfield units, 12-bit microscopy) need the processor's option
`value_range`.

A file gives what its array gives: colours of 16 bits and floats keep all of their bits, see `deep_files.py`. Files are
turned upright by their EXIF orientation, as viewers show them. A Pillow image is taken as it is, with the bits of its
mode, so that prompts and masks are in the frame of its `size`; apply `PIL.ImageOps.exif_transpose` first where that is
not what is meant. Of several pages or frames the first is taken, with a warning. Transparency is dropped, as Pillow's
`convert("RGB")` drops it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from .deep_files import DECODING_ERRORS
from .files import read_file

# A float image that was computed (resized, decoded from 16 bits) may overshoot its range by rounding.
_FLOAT_SLACK = 1e-3


def load_image(
    source: Any,
    timeout: float | None = None,
    input_data_format: str | None = None,
    bands: Sequence[int] | None = None,
    page: int | None = None,
) -> Image.Image | np.ndarray:
    """Open and check one image of any kind, and bring it to three channels.

    Args:
        source: path, http(s) URL, `data:` URI or bare base64, encoded bytes, binary file, Pillow image of any mode, or
            NumPy array or torch tensor of shape HxW, HxWx1, HxWx3, HxWx4, 1xHxW, 3xHxW or 4xHxW.
        timeout: seconds for the whole download of a URL; None means 30.
        input_data_format: "channels_first" or "channels_last" for arrays whose shape allows both, such as 3x64x3. By
            default NumPy arrays are then taken as channels last, torch tensors as channels first.
        bands: which bands are red, green and blue, or the one that is grey, counted from 1 as in remote sensing: (3, 2,
            1). By default the first three, or the only one; more than four bands need it. Of an array with any number
            of bands, the shorter of the first and the last axis are its bands.
        page: of a file with several pages or frames, counted from 0.

    Returns:
        A Pillow image of mode RGB for 8-bit images that came encoded or as Pillow images. Otherwise an array of shape
        HxWx3 and dtype uint8, uint16, another integer, or float32, with the values that came; it may be a read-only
        view of the source.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If a URL cannot be reached, for whatever reason.
        ImportError: If a TIFF file needs tifffile, and it is not installed.
        TypeError: If the source is of no kind listed above.
        ValueError: If it cannot be decoded, is truncated, has no pixels, a shape that is no image's, no such page or
            bands, or NaN or infinite values.

    Examples:
        >>> from anymask import load_image
        >>> load_image("photo.jpg").size
        (600, 400)
    """
    name, is_tensor, is_decoded = "The Pillow image", isinstance(source, torch.Tensor), False
    if isinstance(source, str | os.PathLike | bytes | bytearray) or hasattr(source, "read"):
        source, name = read_file(source, timeout, page)
        is_decoded = True
    elif page is not None:
        raise ValueError(f"`page` must come with an image file, got {type(source).__name__} and page {page}.")
    if isinstance(source, Image.Image):
        source = _from_pillow(source, name, keep_bands=bands is not None)
        if isinstance(source, Image.Image):
            return source
        is_decoded = True
    if not isinstance(source, torch.Tensor | np.ndarray):
        raise TypeError(
            "An image must be a path, a URL, encoded bytes, a Pillow image, a NumPy array or a torch tensor, "
            f"got {type(source).__name__}."
        )
    array = _as_array(source)
    if is_decoded:
        input_data_format = "channels_last" if array.ndim == 3 else None
    if bands is not None:
        array, input_data_format = _select_bands(array, bands, is_tensor, input_data_format), None
    elif is_decoded and array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"{name} must have 1, 3 or 4 bands, got {array.shape[2]}: say which are red, green and blue, for example "
            "load_image(source, bands=(3, 2, 1)), counted from 1."
        )
    return _three_channels(array, is_tensor, input_data_format)


def as_rgb_uint8(source: Any, timeout: float | None = None) -> np.ndarray:
    """Any image that `load_image` takes, as an HxWx3 uint8 array with 0 for black and 255 for white."""
    image = load_image(source, timeout)
    if isinstance(image, Image.Image) or image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    scaled = np.asarray(image, dtype=np.float32) * np.float32(255.0 / white_level(image))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def image_size_hw(image: Image.Image | np.ndarray) -> tuple[int, int]:
    """Height and width of an image that `load_image` returned."""
    if isinstance(image, Image.Image):
        return image.height, image.width
    return int(image.shape[0]), int(image.shape[1])


def white_level(pixels: Image.Image | np.ndarray | torch.Tensor) -> float:
    """The value that stands for white in these pixels: 1, 255 or 65535, by the table at the top of this file.

    Raises:
        ValueError: If the values fit no range that their dtype allows.
    """
    if isinstance(pixels, Image.Image) or pixels.dtype in (np.uint8, torch.uint8):
        return 255.0
    if pixels.dtype in (np.uint16, torch.uint16):
        return 65535.0
    low, high = float(pixels.min()), float(pixels.max())
    if _is_floating(pixels) and low >= -_FLOAT_SLACK and high <= 1.0 + _FLOAT_SLACK:
        return 1.0
    if low >= -_FLOAT_SLACK and high <= 255.0 + _FLOAT_SLACK:
        return 255.0
    allowed = "in [0, 1] or [0, 255]" if _is_floating(pixels) else "in [0, 255] (16-bit images come as uint16)"
    raise ValueError(
        f"Pixels of dtype {pixels.dtype} must lie {allowed}, got values from {low:g} to {high:g}. Say what they mean "
        "with value_range=(black, white), for example (-160, 240) for a CT slice, or value_range='min_max'."
    )


def array_layout(shape: Sequence[int], is_tensor: bool, input_data_format: str | None = None) -> str:
    """Say whether an array of this shape is "HW", "HWC" or "CHW".

    Args:
        shape: of the array.
        is_tensor: decides for shapes that allow both: torch means channels first, NumPy channels last.
        input_data_format: "channels_first" or "channels_last", where the caller knows.

    Raises:
        ValueError: If the shape is no image's, or has no pixels.
    """
    if input_data_format not in (None, "channels_first", "channels_last"):
        raise ValueError(
            f"`input_data_format` must be 'channels_first', 'channels_last' or None, got {input_data_format!r}."
        )
    layouts = []
    if len(shape) == 2:
        layouts = ["HW"]
    elif len(shape) == 3:
        first, last = shape[0] in (1, 3, 4), shape[-1] in (1, 3, 4)
        if first and input_data_format != "channels_last":
            layouts.append("CHW")
        if last and input_data_format != "channels_first":
            layouts.append("HWC")
    if not layouts:
        raise ValueError(
            "An image array must have shape HxW, HxWxC or CxHxW with 1, 3 or 4 channels, "
            f"got shape {tuple(shape)}{f' with {input_data_format}' if input_data_format else ''}. Choose among others "
            "with load_image(image, bands=(3, 2, 1)), counted from 1."
        )
    if 0 in shape:
        raise ValueError(f"An image must have at least 1 x 1 pixels, got an array of shape {tuple(shape)}.")
    return layouts[0] if is_tensor else layouts[-1]


def check_finite(pixels: np.ndarray | torch.Tensor) -> None:
    """Raise ValueError where floating-point pixels hold NaN or infinity: one such value spoils the whole embedding."""
    # The extremes tell without a boolean array as large as the image: NaN is kept by both, infinity is one of them.
    if _is_floating(pixels) and not np.isfinite([float(pixels.min()), float(pixels.max())]).all():
        raise ValueError(
            "An image must hold finite values, got NaN or infinity. Replace them, e.g. with np.nan_to_num."
        )


def _is_floating(pixels: np.ndarray | torch.Tensor) -> bool:
    return pixels.is_floating_point() if isinstance(pixels, torch.Tensor) else pixels.dtype.kind == "f"


def _as_array(source: np.ndarray | torch.Tensor) -> np.ndarray:
    """View or copy with a dtype that `load_image` returns.

    Floats become float32, bool becomes uint8 0 and 255, and bytes come in this machine's order, which those of FITS
    files and raw data need not be in.
    """
    if isinstance(source, torch.Tensor):
        source = _values_of(source)
    if source.dtype.kind not in "buif":
        raise ValueError(f"An image array must hold integers, floats or booleans, got dtype {source.dtype}.")
    if source.dtype.kind == "b":
        return source.astype(np.uint8) * np.uint8(255)
    return source.astype(np.float32, copy=False) if source.dtype.kind == "f" else in_native_order(source)


def in_native_order(array: np.ndarray) -> np.ndarray:
    """The same numbers with their bytes in this machine's order, the only one that torch knows."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _three_channels(array: np.ndarray, is_tensor: bool, input_data_format: str | None) -> np.ndarray:
    layout = array_layout(array.shape, is_tensor, input_data_format)
    check_finite(array)
    if layout == "HW":
        array = array[:, :, None]
    elif layout == "CHW":
        array = array.transpose(1, 2, 0)
    if array.shape[2] == 1:
        return np.broadcast_to(array, (*array.shape[:2], 3))
    return array[:, :, :3]


def _values_of(tensor: torch.Tensor) -> np.ndarray:
    check_has_values(tensor)
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    try:
        return tensor.detach().resolve_conj().resolve_neg().to(device="cpu", dtype=dtype).numpy()
    except (RuntimeError, TypeError) as error:  # sparse, nested, quantised, wrapped by a tracer
        raise ValueError(
            f"An image tensor must be dense and hold values, got {type(tensor).__name__}: {error}."
        ) from error


def check_has_values(tensor: torch.Tensor) -> None:
    """Raise ValueError for a tensor that is a shape and nothing else."""
    if tensor.is_meta or hasattr(tensor, "fake_mode"):
        raise ValueError(
            "An image tensor must hold values, got one without, on the meta device or made by a FakeTensorMode."
        )


def _select_bands(
    array: np.ndarray, bands: Sequence[int], is_tensor: bool, input_data_format: str | None
) -> np.ndarray:
    """The bands asked for as (H, W, 1 or 3)."""
    chosen = list(bands) if isinstance(bands, Sequence) and not isinstance(bands, str) else [bands]
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3:
        first, _, last = array.shape
        is_first = first < last or (first == last and is_tensor)
        if input_data_format is not None:
            is_first = input_data_format == "channels_first"
        array = array.transpose(1, 2, 0) if is_first else array
    else:
        raise ValueError(f"An image array with `bands` must have two or three axes, got shape {array.shape}.")
    n_bands = array.shape[2]
    is_number = [isinstance(band, int | np.integer) and 1 <= band <= n_bands for band in chosen]
    if len(chosen) not in (1, 3) or not all(is_number):
        raise ValueError(f"`bands` must be one or three numbers from 1 to {n_bands}, got {bands!r}.")
    return array[:, :, [int(band) - 1 for band in chosen]]


def _from_pillow(image: Image.Image, name: str, keep_bands: bool) -> Image.Image | np.ndarray:
    """A Pillow image in mode RGB, or as an array where it has more than 8 bits or its own bands are asked for."""
    if image.width == 0 or image.height == 0:
        raise ValueError(f"{name} must have at least 1 x 1 pixels, got {image.width} x {image.height}.")
    try:
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16, copy=False)
        if image.mode == "I":
            # Pillow opens some 16-bit files with 32-bit pixels, and makes this mode of 8-bit ones in computations.
            array = np.asarray(image)
            is_16_bit = array.min() >= 0 and 255 < array.max() <= 65535
            return array.astype(np.uint16) if is_16_bit else array
        if image.mode == "F" or (keep_bands and image.mode in ("L", "LA", "RGB", "RGBA", "CMYK")):
            return np.asarray(image)
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode.upper())
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")  # straight to RGB gives the same colours, and a warning
        if image.mode != "RGB":
            return np.asarray(image.convert("RGB")) if keep_bands else image.convert("RGB")
        image.load()
        return image
    except DECODING_ERRORS as error:
        raise ValueError(
            f"{name} (mode {image.mode}) must be a complete image that converts to RGB, but: {error}."
        ) from error
