"""Pictures that the server knows, and what the model made of them; both are kept as long as there is room."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..images.deep_files import orientation_of
from ..images.load import as_rgb_uint8, load_image, white_level
from .errors import RequestError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may take uploaded bytes for; others, such as EPS, start programs or are hardly ever photos."""

SHOWN_AS_THEY_ARE = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
JPEG_QUALITY = 92

Value = TypeVar("Value")


@dataclass(frozen=True)
class Limits:
    """What is taken and kept.

    Attributes:
        bytes: Of an uploaded file.
        pixels: Of a picture; below what Pillow takes for a decompression bomb.
        kept_uploads: Bytes of uploaded files that are kept.
        kept_embeddings: Bytes of embeddings, with what prompts share, that are kept.
        kept_logits: Bytes of low-resolution masks that tokens stand for.
    """

    bytes: int = 64 * 2**20
    pixels: int = 80_000_000
    kept_uploads: int = 256 * 2**20
    kept_embeddings: int = 1024 * 2**20
    kept_logits: int = 64 * 2**20


class RecentlyUsed(Generic[Value]):
    """Values by key, as many as fit; the one that was used longest ago goes first. The newest always stays."""

    def __init__(self, max_bytes: int) -> None:
        """Take the room that there is."""
        self._max_bytes = max_bytes
        self._values: OrderedDict[str, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        """The value, or None if it is not there or no longer."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: str, value: Value, size: int) -> None:
        """Keep a value that takes so many bytes."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = (value, size)
            while len(self._values) > 1 and sum(taken for _, taken in self._values.values()) > self._max_bytes:
                self._values.popitem(last=False)


class Pictures:
    """Files named on the command line, and uploaded bytes."""

    def __init__(self, paths: Iterable[str | os.PathLike[str]] = (), limits: Limits | None = None) -> None:
        """Take the files that may be shown; they are read when they are asked for."""
        self.limits = limits or Limits()
        self._paths: dict[str, str] = {}
        for path in paths:
            full = os.path.abspath(path)
            self._paths[hashlib.sha256(os.fsencode(full)).hexdigest()] = full
        self._digests: dict[str, tuple[tuple[int, int], str]] = {}  # of files, with when they changed and their size
        self._uploads: RecentlyUsed[bytes] = RecentlyUsed(self.limits.kept_uploads)

    @property
    def named(self) -> list[dict[str, str]]:
        """Id and name of each file that the command line named."""
        return [{"id": key, "name": os.path.basename(path)} for key, path in self._paths.items()]

    def add(self, data: bytes) -> str:
        """Keep uploaded bytes, and return their id.

        Raises:
            RequestError: If they are no picture, or too large a one.
        """
        check_picture(data, self.limits)
        key = hashlib.sha256(data).hexdigest()
        self._uploads.put(key, data, len(data))
        return key

    def known_digest(self, key: str) -> str | None:
        """SHA-256 of the bytes, without reading them; None for a file that was not read, or has changed since."""
        if key not in self._paths:
            return key
        try:
            state = _state(os.stat(self._paths[key]))
        except OSError:
            return None
        before, digest = self._digests.get(key, (None, None))
        return digest if state == before else None

    def read(self, key: str) -> bytes:
        """The bytes of a picture.

        Raises:
            RequestError: If there is no such picture, or no longer.
        """
        return self.read_with_digest(key)[0]

    def read_with_digest(self, key: str) -> tuple[bytes, str]:
        """The bytes of a picture and their SHA-256.

        Raises:
            RequestError: If there is no such picture, or no longer.
        """
        if key not in self._paths:
            uploaded = self._uploads.get(key)
            if uploaded is None:
                raise RequestError(
                    404, "There must be a picture of this id, but there is none, or no longer; upload it."
                )
            return uploaded, key
        try:
            with open(self._paths[key], "rb") as file:
                state, data = _state(os.fstat(file.fileno())), file.read()
        except OSError as error:
            raise RequestError(404, f"The picture's file cannot be read any more: {error.strerror}.") from error
        digest = hashlib.sha256(data).hexdigest()
        self._digests[key] = state, digest
        return data, digest


def _state(found: os.stat_result) -> tuple[int, int]:
    return found.st_mtime_ns, found.st_size


def check_picture(data: bytes, limits: Limits) -> None:
    """Refuse what is no picture, by its first bytes, and what has too many pixels, before anything is decoded.

    Raises:
        RequestError: If it is to be refused.
    """
    with _opened(data) as image:
        pixels = image.width * image.height
    if pixels > limits.pixels:
        raise RequestError(413, f"A picture must have at most {limits.pixels} pixels, got {pixels}; make it smaller.")


def decode_picture(data: bytes, limits: Limits) -> Image.Image | np.ndarray:
    """Decode a file to what the image processor takes, upright; of several pages the first.

    Raises:
        RequestError: If it is no picture, a broken one, or too large.
    """
    check_picture(data, limits)
    try:
        image = load_image(data, page=0)
        white_level(image)  # of numbers that say nothing of black and white, as scanners' are, nothing can be shown
        return image
    except (ValueError, ImportError) as error:
        raise RequestError(415, f"The picture cannot be read: {error}") from error


def picture_to_show(data: bytes, limits: Limits) -> tuple[bytes, str]:
    """A file that every browser shows upright, and its media type.

    Raises:
        RequestError: If it is no picture, a broken one, or too large.
    """
    with _opened(data) as image:
        media_type = SHOWN_AS_THEY_ARE.get(image.format or "")
        is_upright = orientation_of(image) == 1
        if media_type and is_upright and image.mode in ("L", "LA", "P", "RGB", "RGBA"):
            return data, media_type
    pixels = as_rgb_uint8(decode_picture(data, limits))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=JPEG_QUALITY)
    return file.getvalue(), "image/jpeg"


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RequestError(413, f"A picture must have fewer pixels: {error}") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        kinds = ", ".join(FORMATS)
        raise RequestError(415, f"The body must be the bytes of a picture ({kinds}), and is not.") from error
