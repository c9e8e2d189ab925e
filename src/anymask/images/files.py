"""Encoded images: paths, URLs, data URIs, base64, bytes and binary files, opened and decoded."""

from __future__ import annotations

import base64
import binascii
import io
import os
import stat
import warnings
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..support.download import download
from .deep_files import DECODING_ERRORS, is_tiff, orientation_of, read_deep, read_with_tifffile

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Which files of a folder are images; a file that is given itself may end otherwise."""

URL_TIMEOUT_SECONDS = 30.0

# Text of at least this length that is no path may be an image in base64; the smallest PNG file has more.
_MIN_BASE64 = 64

_KIND_OF_PAGE = 254  # tag of TIFF: bits 0 and 2 say that a page is a smaller copy of another, or its mask

# By EXIF's code of the orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_file(source: Any, timeout: float | None, page: int | None) -> tuple[Image.Image | np.ndarray, str]:
    """Open and decode an encoded image.

    Args:
        source: path, URL, data URI, base64, bytes or binary file.
        timeout: seconds for a URL; None means `URL_TIMEOUT_SECONDS`.
        page: page or frame, from 0; None takes the first and says so where there are more.

    Returns:
        The decoded image, turned upright, and a name of the source for messages. It is an array where Pillow's modes
        would lose bits or bands: (H, W) or (H, W, bands).

    Raises:
        FileNotFoundError: If a path leads to no file.
        OSError: If a URL cannot be reached.
        ImportError: If reading it needs a package that is not installed; the message names the extra.
        ValueError: If it cannot be decoded, or has no such page.
    """
    file, name = _open_source(source, URL_TIMEOUT_SECONDS if timeout is None else timeout)
    if page is not None and (isinstance(page, bool) or not isinstance(page, int) or page < 0):
        raise ValueError(f"`page` must be a whole number from 0, or None for the first, got {page!r}.")
    try:
        return _decode(file, name, page), name
    except ImportError as error:
        raise ImportError(f"{name} cannot be read without a further package: {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name} must have no more pixels than Pillow decodes, against decompression bombs, but: {error} "
            "Where you trust it, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except DECODING_ERRORS as error:
        if isinstance(error, ValueError) and str(error).startswith(name):
            raise
        message = f"{name} must be a complete image file that Pillow can read, but: {str(error).rstrip('.')}."
        if isinstance(file, str) and file.endswith(".safetensors"):
            message += f" A saved embedding is taken as SAM.predict(ImageEmbedding.load({file!r}), points=...)."
        raise ValueError(message) from error


def _decode(file: Any, name: str, page: int | None) -> Image.Image | np.ndarray:
    def open_image() -> Image.Image:
        if not isinstance(file, str):
            file.seek(0)
        opened = Image.open(file)
        if page:
            opened.seek(page)
        return opened

    try:
        image = open_image()
    except EOFError as error:
        raise ValueError(f"{name} must have the page {page}, counted from 0, but it has fewer.") from error
    except UnidentifiedImageError:
        if not is_tiff(file):
            raise
        array, n_pages = read_with_tifffile(file, page or 0)
        if page is None and n_pages > 1:
            _say_that_there_are_more(name, n_pages)
        return array
    with image:
        if page is None and _has_more(image):
            _say_that_there_are_more(name, getattr(image, "n_frames", 1))
        deep = read_deep(open_image, image, file, page or 0)
        if deep is not None:
            return deep
        image.load()
        turn = _TURNS.get(orientation_of(image))
        return image if turn is None else image.transpose(turn)


def _has_more(image: Image.Image) -> bool:
    """Whether a file shows more than one picture; previews, masks and smaller copies of one do not count."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return False
    if image.format != "TIFF":
        return True
    image.seek(1)
    more = not image.tag_v2.get(_KIND_OF_PAGE, 0) & 0b101  # type: ignore[attr-defined]
    image.seek(0)
    return more


def _say_that_there_are_more(name: str, number: int) -> None:
    warnings.warn(
        f"{name} has {number} pages or frames: the first was taken. SAM.predict(load_image(source, page=1)) takes "
        "the second.",
        stacklevel=5,
    )


# Sources


def _open_source(source: Any, timeout: float) -> tuple[Any, str]:
    """A path, as str, or a binary file that can be read twice, and a name for error messages."""
    if isinstance(source, bytes | bytearray):
        return io.BytesIO(source), f"The image of {len(source)} bytes"
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return download(source, timeout), f"The image at {source}"
    if isinstance(source, str) and source.startswith("data:"):
        return _decode_data_uri(source), "The image in the data URI"
    if isinstance(source, str | os.PathLike):
        path = os.path.expanduser(os.fsdecode(source))
        if os.path.isfile(path):
            return path, f"The image file {path!r}"
        if isinstance(source, str) and (encoded := _decode_base64(source)) is not None:
            return encoded, "The image in base64"
        raise FileNotFoundError(
            "An image given as text must be a file, or a URL with http:// or https://; "
            f"{_shortened(path)} {_what_it_is(path)}."
        )
    try:
        source.seek(0)
    except (AttributeError, OSError):
        return io.BytesIO(source.read()), "The image file"
    return source, "The image file"


def _shortened(path: str) -> str:
    return repr(path) if len(path) <= 300 else f"{path[:60]!r}... of {len(path)} characters"


def _what_it_is(path: str) -> str:
    """The end of an error message about a path that is no file."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        if os.path.islink(path):
            return f"is a link that leads to no file ({getattr(error, 'strerror', error)})"
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError | ValueError)
        return "does not exist" if is_missing else f"cannot be reached ({getattr(error, 'strerror', error)})"
    kinds = {
        "is a folder": stat.S_ISDIR,
        "is a pipe; read it and pass its bytes": stat.S_ISFIFO,
        "is a socket": stat.S_ISSOCK,
        "is a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    return next((words for words, holds in kinds.items() if holds(mode)), "is no file")


def _decode_data_uri(uri: str) -> io.BytesIO:
    header, _, payload = uri.partition(",")
    if not header.endswith(";base64"):
        raise ValueError(f"A data URI must be base64, as in 'data:image/png;base64,...', got {_shortened(header)}.")
    try:
        return io.BytesIO(base64.b64decode(payload, validate=True))
    except binascii.Error as error:
        raise ValueError(f"The image in the data URI must be valid base64, but: {error}.") from error


def _decode_base64(text: str) -> io.BytesIO | None:
    """The bytes of an image that came as bare base64, as Transformers' pipelines take it; None if it is none."""
    if len(text) < _MIN_BASE64:
        return None
    try:
        file = io.BytesIO(base64.b64decode("".join(text.split()), validate=True))
        Image.open(file)
    except (ValueError, OSError):  # binascii.Error is a ValueError, as is the one for letters beyond ASCII
        return None
    return file
