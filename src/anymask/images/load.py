"""One door for every kind of image: paths, URLs, bytes, Pillow images of any mode, NumPy arrays and torch tensors.

`load_image` checks an image and brings it to three channels without touching its values; `white_level` says what its
brightest value means. Nothing is resized or normalised here: that is `image_preparation.py`.

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

Files are turned upright by their EXIF orientation, as viewers show them. A Pillow image is taken as it is, so that
prompts and masks are in the frame of its `size`; apply `PIL.ImageOps.exif_transpose` first where that is not what is
meant. An animation gives its first frame. Transparency is dropped, as Pillow's `convert("RGB")` drops it.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import struct
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps

URL_TIMEOUT_SECONDS = 30.0

# A float image that was computed (resized, decoded from 16 bits) may overshoot its range by rounding.
_FLOAT_SLACK = 1e-3

# What Pillow's decoders raise on broken files, besides its own `UnidentifiedImageError`, which is an OSError.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def load_image(
    source: Any, timeout: float | None = None, input_data_format: str | None = None
) -> Image.Image | np.ndarray:
    """Opens and checks one image of any kind, and brings it to three channels.

    Args:
        source: path, http(s) URL, `data:` URI, encoded bytes, binary file, Pillow image of any mode, or NumPy array or
            torch tensor of shape HxW, HxWx1, HxWx3, HxWx4, 1xHxW, 3xHxW or 4xHxW.
        timeout: seconds for the whole download of a URL; None means 30.
        input_data_format: "channels_first" or "channels_last" for arrays whose shape allows both, such as 3x64x3. By
            default NumPy arrays are then taken as channels last, torch tensors as channels first.

    Returns:
        A Pillow image of mode RGB for 8-bit images that came encoded or as Pillow images. Otherwise an array of shape
        HxWx3 and dtype uint8, uint16, another integer, or float32, with the values that came; it may be a read-only
        view of the source.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the source is of no kind listed above.
        ValueError: it cannot be decoded, is truncated, has no pixels, a shape that is no image's, or NaN or infinite
        values.
    """
    if isinstance(source, torch.Tensor | np.ndarray):
        return _three_channels(_as_array(source), isinstance(source, torch.Tensor), input_data_format)
    if isinstance(source, Image.Image):
        return _from_pillow(source, "The Pillow image")
    if isinstance(source, str | os.PathLike | bytes | bytearray) or hasattr(source, "read"):
        return _from_file(source, URL_TIMEOUT_SECONDS if timeout is None else timeout)
    raise TypeError(
        "An image must be a path, a URL, encoded bytes, a Pillow image, a NumPy array or a torch tensor, "
        f"got {type(source).__name__}."
    )


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
        ValueError: the values fit no range that their dtype allows.
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
    """Says whether an array of this shape is "HW", "HWC" or "CHW".

    Args:
        shape: of the array.
        is_tensor: decides for shapes that allow both: torch means channels first, NumPy channels last.
        input_data_format: "channels_first" or "channels_last", where the caller knows.

    Raises:
        ValueError: the shape is no image's, or has no pixels.
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
            f"got shape {tuple(shape)}{f' with {input_data_format}' if input_data_format else ''}."
        )
    if 0 in shape:
        raise ValueError(f"An image must have at least 1 x 1 pixels, got an array of shape {tuple(shape)}.")
    return layouts[0] if is_tensor else layouts[-1]


def check_finite(pixels: np.ndarray | torch.Tensor) -> None:
    """Raises ValueError where floating-point pixels hold NaN or infinity: one such value spoils the whole embedding."""
    # The extremes tell without a boolean array as large as the image: NaN is kept by both, infinity is one of them.
    if _is_floating(pixels) and not np.isfinite([float(pixels.min()), float(pixels.max())]).all():
        raise ValueError(
            "An image must hold finite values, got NaN or infinity. Replace them, e.g. with np.nan_to_num."
        )


def _is_floating(pixels: np.ndarray | torch.Tensor) -> bool:
    return pixels.is_floating_point() if isinstance(pixels, torch.Tensor) else pixels.dtype.kind == "f"


def _as_array(source: np.ndarray | torch.Tensor) -> np.ndarray:
    """View or copy with a dtype that `load_image` returns: floats become float32, bool becomes uint8 0 and 255."""
    if isinstance(source, torch.Tensor):
        source = source.detach().to(device="cpu", dtype=torch.float32 if source.is_floating_point() else source.dtype)
        source = source.numpy()
    if source.dtype.kind not in "buif":
        raise ValueError(f"An image array must hold integers, floats or booleans, got dtype {source.dtype}.")
    if source.dtype.kind == "b":
        return source.astype(np.uint8) * np.uint8(255)
    return source.astype(np.float32, copy=False) if source.dtype.kind == "f" else source


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


def _from_pillow(image: Image.Image, name: str) -> Image.Image | np.ndarray:
    """Decodes a Pillow image and brings it to mode RGB, or to an array where it has more than 8 bits."""
    if image.width == 0 or image.height == 0:
        raise ValueError(f"{name} must have at least 1 x 1 pixels, got {image.width} x {image.height}.")
    try:
        if image.mode.startswith("I;16"):
            return _three_channels(np.asarray(image).astype(np.uint16, copy=False), False, None)
        if image.mode == "I":
            # Pillow opens some 16-bit files with 32-bit pixels, and makes this mode of 8-bit ones in computations.
            array = np.asarray(image)
            is_16_bit = array.min() >= 0 and 255 < array.max() <= 65535
            return _three_channels(array.astype(np.uint16) if is_16_bit else array, False, None)
        if image.mode == "F":
            return _three_channels(np.asarray(image), False, None)
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode.upper())
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")  # straight to RGB gives the same colours, and a warning
        if image.mode != "RGB":
            return image.convert("RGB")
        image.load()
        return image
    except _DECODING_ERRORS as error:
        raise ValueError(
            f"{name} (mode {image.mode}) must be a complete image that converts to RGB, but: {error}."
        ) from error


def _from_file(source: Any, timeout: float) -> Image.Image | np.ndarray:
    file, name = _open_source(source, timeout)
    try:
        with Image.open(file) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return _from_pillow(image, name)
    except _DECODING_ERRORS as error:
        if isinstance(error, ValueError) and str(error).startswith(name):
            raise
        raise ValueError(f"{name} must be a complete image file that Pillow can read, but: {error}.") from error


def _open_source(source: Any, timeout: float) -> tuple[Any, str]:
    """A path or binary file that Pillow can open, and a name for error messages."""
    if isinstance(source, bytes | bytearray):
        return io.BytesIO(source), f"The image of {len(source)} bytes"
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return _download(source, timeout), f"The image at {source}"
    if isinstance(source, str) and source.startswith("data:"):
        return _decode_data_uri(source), "The image in the data URI"
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if not os.path.isfile(path):
            what = "is a folder" if os.path.isdir(path) else "does not exist"
            raise FileNotFoundError(
                f"An image given as text must be a file, or a URL with http:// or https://; {path!r} {what}."
            )
        return path, f"The image file {path!r}"
    return source, "The image file"


def _download(url: str, timeout: float) -> BinaryIO:
    """The whole body of a URL, read within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    request = urllib.request.Request(url, headers={"User-Agent": "anymask"})  # some hosts refuse urllib's own name
    body = io.BytesIO()
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            # read1 returns after one packet, so that a server that drips bytes cannot outlast the deadline.
            while chunk := response.read1(1 << 20):
                body.write(chunk)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"more than {timeout:g} seconds")
    except (OSError, urllib.error.URLError) as error:
        raise OSError(
            f"The image at {url} must be reachable, but: {error}. Check the address, or raise `timeout`."
        ) from error
    body.seek(0)
    return body


def _decode_data_uri(uri: str) -> BinaryIO:
    header, _, payload = uri.partition(",")
    if not header.endswith(";base64"):
        raise ValueError(f"A data URI must be base64, as in 'data:image/png;base64,...', got {header!r}.")
    try:
        return io.BytesIO(base64.b64decode(payload, validate=True))
    except binascii.Error as error:
        raise ValueError(f"The image in the data URI must be valid base64, but: {error}.") from error
