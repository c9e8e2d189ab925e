"""Image files whose pixels Pillow cannot hold: colours of more than 8 bits, of floats, and more than four bands.

Pillow has no mode for them. It opens the commonest, colours of 16 bits, and drops the low byte of every value without
a word; others it does not open at all. Here a file gives all of its values, or an error that says how to read it. PNG
and TIFF files of 16 bits need nothing beside Pillow, other TIFF files need tifffile, the extra `tiff`.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

_TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION, _SAMPLE_FORMAT = 258, 284, 339  # tags of TIFF
_ORIENTATION = 274  # of TIFF and of EXIF
_UNSIGNED = 1

# What Pillow's decoders raise on broken files, besides its own `UnidentifiedImageError`, which is an OSError.
DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)

_READ_AS_ARRAY = "Read it as an array, for example with cv2.imread(path, cv2.IMREAD_UNCHANGED)[..., ::-1]."


def read_deep(open_image: Callable[[], Image.Image], image: Image.Image, file: Any, page: int) -> np.ndarray | None:
    """All bits of an opened file whose mode in Pillow has fewer; None where Pillow's mode has them all.

    Args:
        open_image: opens the same image anew, at its page.
        image: the image, opened and not yet decoded.
        file: path or seekable binary file that it lies in.
        page: that was chosen, from 0.

    Returns:
        (H, W, channels) or (H, W), of the file's own type, turned upright.

    Raises:
        ImportError: If the file needs tifffile, and it is not installed.
        ValueError: If there is no way to read its values here.
    """
    if image.format == "TIFF":
        return _deep_tiff(open_image, image, file, page)
    bits, raw_mode = _bits_of(image, file), _raw_mode(image)
    if bits <= 8 or image.mode not in ("RGB", "RGBA", "LA", "CMYK"):
        return None
    if image.format == "PNG":
        return _join_halves(open_image, raw_mode)
    raise ValueError(f"it has {bits} bits per channel, of which Pillow gives 8. {_READ_AS_ARRAY}")


def is_tiff(file: Any) -> bool:
    """Whether a path or seekable binary file begins as TIFF does."""
    return _start_of(file, 4) in _TIFF_STARTS


def read_with_tifffile(file: Any, page: int) -> tuple[np.ndarray, int]:
    """One page of a TIFF file, (H, W) or (H, W, bands), turned upright, and how many pages there are.

    Raises:
        ImportError: If tifffile is not installed.
        ValueError: If there is no such page, or it is no image of two axes and bands.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(
            "TIFF files of floats, of more than four bands or of planes of more than 8 bits need tifffile: "
            "pip install 'anymask[tiff]'."
        ) from error
    if not isinstance(file, str):
        file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            if page >= len(tiff.pages):
                raise ValueError(f"`page` must be below {len(tiff.pages)}, its number of pages, got {page}")
            chosen = tiff.pages[page]
            axes, array, n_pages = chosen.axes, chosen.asarray(), len(tiff.pages)
            tag = chosen.aspage().tags.get(_ORIENTATION)
            orientation = 1 if tag is None else int(tag.value)
    except tifffile.TiffFileError as error:
        raise ValueError(str(error)) from error
    if axes == "SYX":
        array = array.transpose(1, 2, 0)
    elif axes not in ("YX", "YXS"):
        raise ValueError(f"its axes must be those of one image, got {axes!r} of shape {array.shape}")
    return turn_upright(array, orientation), n_pages


def orientation_of(image: Image.Image) -> int:
    """How the camera was held, by EXIF's code; 1, upright, where that cannot be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except DECODING_ERRORS:
        return 1
    return orientation if orientation in range(1, 9) else 1


def turn_upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """A view of an image (H, W, ...) as EXIF's code says that it is to be shown."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _deep_tiff(open_image: Callable[[], Image.Image], image: Image.Image, file: Any, page: int) -> np.ndarray | None:
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits = max(tags.get(_BITS_PER_SAMPLE, (1,)))
    is_unsigned = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED
    if image.mode == "L" and not is_unsigned:
        return read_with_tifffile(file, page)[0]  # int8, of which Pillow makes uint8
    if image.mode == "I" and bits == 32 and is_unsigned:
        return np.asarray(image).view(np.uint32)  # Pillow's mode is signed
    if bits <= 8 or image.mode not in ("RGB", "RGBA", "RGBX", "CMYK", "LA"):
        return None
    if image.mode == "CMYK":
        raise ValueError(f"it is CMYK with {bits} bits per channel; convert it to RGB before")
    if tags.get(_PLANAR_CONFIGURATION, 1) == 2:
        return read_with_tifffile(file, page)[0]  # Pillow takes every byte of a plane for a value
    return _join_halves(open_image, _raw_mode(image))


def _join_halves(open_image: Callable[[], Image.Image], raw_mode: str) -> np.ndarray:
    """Colours of 16 bits, decoded twice: as they are, and with the bytes of each value taken the other way round.

    Pillow keeps the first byte of a value that it is told is big-endian, and the second of one that is little-endian.
    """
    if raw_mode == "LA;16B":
        with open_image() as image:  # four bytes a pixel: both of the grey value, both of its transparency
            image._mode = "RGBA"
            grey = np.asarray(_decoded_as(image, "RGBA"))
            orientation = orientation_of(image)
        return turn_upright(grey[..., 0].astype(np.uint16) << 8 | grey[..., 1], orientation)
    channels, order = raw_mode.split(";16")
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    with open_image() as image:
        high = np.asarray(_decoded_as(image, f"{channels};16{order}")).astype(np.uint16)
    with open_image() as image:
        low = np.asarray(_decoded_as(image, f"{channels};16{'B' if order == 'L' else 'L'}"))
        orientation = orientation_of(image)  # of a TIFF file 1: Pillow has turned it
    return turn_upright(high << 8 | low, orientation)


def _decoded_as(image: Image.Image, raw_mode: str) -> Image.Image:
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in _tiles(image)
    ]
    image.load()
    return image


def _tiles(image: Image.Image) -> list[Any]:
    """What Pillow is about to decode; files have it, other images not."""
    return getattr(image, "tile", [])


def _raw_mode(image: Image.Image) -> str:
    """How the values of a file lie in its bytes, in Pillow's words: "RGB;16B"."""
    tiles = _tiles(image)
    arguments = tiles[0].args if tiles else None
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw_mode if isinstance(raw_mode, str) else ""


def _bits_of(image: Image.Image, file: Any) -> int:
    """How many bits a channel has in the file."""
    tiles = _tiles(image)
    if ";16" in _raw_mode(image) or (tiles and tiles[0].codec_name == "SGI16"):
        return 16
    if image.format == "PPM" and tiles and isinstance(tiles[0].args, tuple):
        return int(tiles[0].args[-1]).bit_length()  # of the largest value
    if image.format == "JPEG2000":
        start = _start_of(file, 4096)
        # The markers "start of codestream" and "size"; 38 bytes behind them is the depth of the first channel.
        header = start.find(b"\xff\x4f\xff\x51")
        return (start[header + 42] & 0x7F) + 1 if 0 <= header < len(start) - 42 else 8
    return 8


def _start_of(file: Any, n_bytes: int) -> bytes:
    if isinstance(file, str):
        with open(file, "rb") as opened:
            return opened.read(n_bytes)
    file.seek(0)
    return bytes(file.read(n_bytes))
