"""Everything that images come from: files, addresses, folders, globs, arrays, lists, generators, videos.

`open_source` says what a source holds without reading it; each of its images has a name and is read by `load()`, so
that a caller can go on after a broken one. `images.load_image` reads single images.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Generator, Iterable, Mapping, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..embeddings.image_embedding import ImageEmbedding
from ..images.files import IMAGE_SUFFIXES
from ..images.load import load_image

VIDEO_SUFFIXES = frozenset({".avi", ".flv", ".m3u8", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
LIVE_SCHEMES = ("rtmp://", "rtsp://", "srt://", "tcp://", "udp://")
_WEB_SCHEMES = ("http://", "https://")
_MAX_PATH = 4096  # longer text is no path anywhere, but may be an image in base64
_CAPTURE_FRAME_COUNT = 7  # cv2.CAP_PROP_FRAME_COUNT


@dataclass(frozen=True)
class SourceImage:
    """One image of a source, not read yet.

    Attributes:
        name: a file's name, that of a video's frame ("video.mp4:000012", counted from 0), the position in a list
            ("000003"), or None for a single image that came without one.
        origin: what `load` reads: a path, an address, or the image itself.
        folder: the working folder when the source was opened: relative paths stay those of that folder.
    """

    name: str | None
    origin: Any
    folder: str = field(default_factory=os.getcwd, repr=False, compare=False)

    @property
    def path(self) -> str | None:
        """The file that the image lies in, as an absolute path, or None where there is no such file."""
        is_file = isinstance(self.origin, str) and not self.origin.startswith((*_WEB_SCHEMES, "data:"))
        return os.path.join(self.folder, self.origin) if is_file else None

    def load(self) -> Image.Image | np.ndarray | ImageEmbedding:
        """The image, as `load_image` gives it, or the embedding that stands for it.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If it is no kind of image.
            ValueError: If it cannot be decoded.
        """
        if isinstance(self.origin, ImageEmbedding):
            return self.origin
        try:
            return load_image(self.path or self.origin)
        except (TypeError, ValueError) as error:
            if self.name is None or self.name in str(error):
                raise
            raise type(error)(f"{self.name}: {error}") from error


@dataclass(frozen=True)
class ImageSource:
    """The images of a source.

    Attributes:
        images: read once, one after another; closing it closes a video.
        count: how many there are; None for a video or a generator, which are read as they go.
    """

    images: Generator[SourceImage]
    count: int | None


def open_source(source: Any) -> ImageSource:
    """The images that a source stands for; lists folders, but reads no image.

    Args:
        source: An image of any kind that `load_image` takes; the path of a folder, which stands for the image files
            that lie in it, by name; a glob such as "~/photos/**/*.jpg"; an array or tensor with four axes, images
            first; a video's file or address, or a `cv2.VideoCapture`; an `ImageEmbedding`; a `SourceImage`; or a list,
            generator or other iterable of any of these.

    Raises:
        FileNotFoundError: If a file or folder does not exist, or a glob has no match.
        ValueError: If a folder holds no images.
        ImportError: If a video is to be read without the extra `video`.
    """
    if isinstance(source, SourceImage):
        return ImageSource((image for image in [source]), 1)
    if isinstance(source, os.PathLike):
        source = os.fsdecode(source)
    if isinstance(source, str):
        return _open_text(source)
    if _is_capture(source):
        return ImageSource(_captured_frames(source), None)
    if isinstance(source, np.ndarray | torch.Tensor) and source.ndim == 4:
        source = list(source)
    if isinstance(source, list | tuple):
        parts = [open_source(member) for member in source]
        counts = [part.count for part in parts]
        count = None if None in counts else sum(count for count in counts if count is not None)
        return ImageSource(_numbered(part.images for part in parts), count)
    if _is_several(source):
        opened = (open_source(member).images for member in source)
        return ImageSource(_numbered(opened), len(source) if isinstance(source, Sized) else None)
    file_name = getattr(source, "filename", None) or getattr(source, "name", None)
    name = os.path.basename(file_name) if isinstance(file_name, str) else None
    return _single(name, source)


def is_live(source: Any) -> bool:
    """Whether a source has no end: the address of a live stream, or a camera that OpenCV reads."""
    if _is_capture(source):
        return source.get(_CAPTURE_FRAME_COUNT) <= 0
    return isinstance(source, str) and source.startswith(LIVE_SCHEMES)


def _is_capture(source: Any) -> bool:
    """Whether this is a `cv2.VideoCapture`, told without importing OpenCV."""
    return type(source).__name__ == "VideoCapture" and hasattr(source, "isOpened")


def _is_several(source: Any) -> bool:
    one_image = bytes | bytearray | np.ndarray | torch.Tensor | Image.Image | Mapping
    return isinstance(source, Iterable) and not isinstance(source, one_image) and not hasattr(source, "read")


def _single(name: str | None, origin: Any) -> ImageSource:
    return ImageSource((image for image in [SourceImage(name, origin)]), 1)


def _numbered(parts: Iterable[Generator[SourceImage]]) -> Generator[SourceImage]:
    """The images of all parts; what has no name is called by the position of its part."""
    for position, images in enumerate(parts):
        for image in images:
            yield image if image.name is not None else replace(image, name=f"{position:06d}")


# Text: files, folders, globs, addresses


def _open_text(text: str) -> ImageSource:
    if text.startswith("data:"):
        return _single(None, text)
    if text.startswith((*_WEB_SCHEMES, *LIVE_SCHEMES)):
        path = urllib.parse.urlsplit(text).path
        if is_live(text) or Path(path).suffix.lower() in VIDEO_SUFFIXES:
            return _open_video(text, os.path.basename(path) or text)
        return _single(os.path.basename(path) or None, text)
    text = os.path.expanduser(text)
    if os.path.isdir(text):
        return _open_folder(text)
    is_pattern = any(character in text for character in "*?[")
    if is_pattern and not os.path.lexists(text):
        return _open_glob(text)
    return _open_file(text, os.path.basename(text))


def _open_file(path: str, name: str) -> ImageSource:
    if Path(path).suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(path):
        return _open_video(os.path.abspath(path), name)
    if not os.path.lexists(path):
        if len(path) > _MAX_PATH:
            return _single(None, "data:;base64," + "".join(path.split()))
        raise FileNotFoundError(
            f"A source given as text must be a file, a folder, a glob with a match, or a URL with http:// or https://; "
            f"{path!r} does not exist."
        )
    return _single(name, path)


def _open_folder(folder: str) -> ImageSource:
    # Links that lead nowhere, or in a circle, are kept: reading them reports them.
    paths = [
        os.path.join(folder, name)
        for name in sorted(os.listdir(folder))
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
        and not name.startswith(".")
        and not os.path.isdir(os.path.join(folder, name))
    ]
    if not paths:
        raise ValueError(
            f"A folder given as source must hold images, but no file in {folder!r} ends in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}. For folders below it pass a glob, such as "
            f"{os.path.join(folder, '**', '*.jpg')!r}."
        )
    images = [SourceImage(os.path.basename(path), path) for path in paths]
    return ImageSource((image for image in images), len(images))


def _open_glob(pattern: str) -> ImageSource:
    """Files that match, by path. Names are relative to the folder in which the pattern begins."""
    parts = Path(pattern).parts
    first = next(index for index, part in enumerate(parts) if any(character in part for character in "*?["))
    root, rest = Path(*parts[:first]), os.path.join(*parts[first:])
    if parts[-1] == "**":
        rest = os.path.join(rest, "*")  # files too, as in a shell
    # pathlib follows no links below `**`, so cyclic links end.
    matches = sorted(path for path in root.glob(rest) if not os.path.isdir(path) and not path.name.startswith("."))
    if not matches:
        raise FileNotFoundError(f"A glob given as source must match a file, but none matches {pattern!r}.")
    opened = [_open_file(str(path), path.relative_to(root).as_posix()) for path in matches]
    count = None if any(part.count is None for part in opened) else len(opened)
    return ImageSource(_numbered(part.images for part in opened), count)


# Video


def _captured_frames(capture: Any) -> Generator[SourceImage]:
    """What is left in a `cv2.VideoCapture`, which its owner closes."""
    if not capture.isOpened():
        raise ValueError("A cv2.VideoCapture must be open, but OpenCV could not read what this one was given.")
    number = 0
    while True:
        is_frame, pixels_bgr = capture.read()
        if not is_frame:
            return
        yield SourceImage(f"{number:06d}", np.ascontiguousarray(pixels_bgr[..., ::-1]))
        number += 1


def _open_video(address: str, name: str) -> ImageSource:
    return ImageSource(_frames(_import_av(), address, name), None)


def _import_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ImportError("Videos are read with PyAV, which is not installed: pip install 'anymask[video]'.") from error
    return av


def _frames(av: ModuleType, address: str, name: str) -> Generator[SourceImage]:
    """The frames of a video, decoded one at a time, upright."""
    number = 0
    try:
        with av.open(address) as container:
            if not container.streams.video:
                raise ValueError(f"The video {address!r} must have pictures, got sound alone.")
            stream = container.streams.video[0]
            if stream.codec_context is None:  # PyAV before 18.1 would crash the process
                raise ValueError(
                    f"The video {address!r} must be one that FFmpeg can read, but it has no decoder for the pictures; "
                    "the file may be cut short."
                )
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream), start=1):
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield SourceImage(f"{name}:{number - 1:06d}", pixels)
    except av.FFmpegError as error:
        raise ValueError(
            f"The video {address!r} must be one that FFmpeg can read to its end, but after {number} frames: {error}."
        ) from error
    if number == 0:
        raise ValueError(f"The video {address!r} must have at least one frame, got none.")
