"""Formats to look at: the overlay, and cut-outs, each mask's part of the image as a PNG, transparent outside of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...images.load import as_rgb_uint8
from ...masks.record import rle_of
from ...masks.rle import rle_to_box_xyxy, rle_to_mask
from ...support.atomic_files import write_whole
from ..overlay import FILL_OPACITY
from .annotated_image import Annotated, label_of
from .files import FilePath

if TYPE_CHECKING:
    from ..results import Results

# Pillow's name of the format and how it is written, by suffix.
_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
    ".jpg": ("JPEG", {"quality": 92}),
    ".jpeg": ("JPEG", {"quality": 92}),
    ".webp": ("WEBP", {"quality": 90}),
}


def write_overlay(
    path: FilePath,
    results: Results,
    *,
    image: Any = None,
    labels: bool | Sequence[str] = False,
    prompts: bool = True,
    alpha: float = FILL_OPACITY,
    boxes: bool = False,
    colors: Sequence[Any] | Mapping[str, Any] | None = None,
    font: Any = None,
) -> None:
    """Write the picture of `Results.plot`, whose options these are, as PNG, JPEG or WebP by the path's suffix."""
    kind, options = _PICTURES.get(Path(path).suffix.lower(), _PICTURES[".png"])
    picture = results.plot(image, labels=labels, prompts=prompts, alpha=alpha, boxes=boxes, colors=colors, font=font)
    write_whole(path, lambda file: picture.save(file, format=kind, **options))


def write_cutouts_of(path: FilePath, results: Results, *, image: Any = None) -> list[Path]:
    """Write the cut-outs of results, by default from the image that they were made with; see `write_cutouts`."""
    return write_cutouts(path, results, results.image_to_draw_on(image))


def write_cutouts(folder: FilePath, annotated: Annotated, image: Any) -> list[Path]:
    """Write NAME_0001_LABEL.png and so on into a folder, which is made if it is not there.

    The number is that of the mask in pictures and label maps, from 1 on. Each file is written whole; a mask without
    pixels gets none, and files of other names stay.

    Args:
        folder: where to.
        annotated: records, size and name of the image.
        image: in any form that `load_image` takes.

    Returns:
        The files, in the order of the masks.

    Raises:
        OSError: If the folder cannot be made or written to.
        ValueError: If the image has another size than the masks.
    """
    pixels = as_rgb_uint8(image)
    if pixels.shape[:2] != annotated.size_hw:
        raise ValueError(
            f"the image must have the size of the masks, height x width = {annotated.size_hw}, got {pixels.shape[:2]}."
        )
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise type(error)(f"{folder} must be a folder that can be made, but: {error.strerror}.") from error
    files = []
    stem = _stem(annotated.name)
    for number, record in enumerate(annotated.records, start=1):
        rle = rle_of(record)
        if not record["area"]:
            continue
        x0, y0, x1, y1 = rle_to_box_xyxy(rle)
        window = slice(y0, y1 + 1), slice(x0, x1 + 1)
        alpha = rle_to_mask(rle)[window].astype(np.uint8) * np.uint8(255)
        cutout = Image.fromarray(np.dstack([pixels[window], alpha]))
        text = label_of(record)
        label = "" if text is None else re.sub(r"[^\w-]+", "-", f"_{text}")
        files.append(folder / f"{stem}_{number:04d}{label}.png")
        _write_png(files[-1], cutout)
    return files


def _stem(name: str | None) -> str:
    """What the files of an image begin with; a frame of a video, "clip.mp4:000012", has a stem of its own."""
    file_name = Path(name or "mask").name
    video, colon, frame = file_name.rpartition(":")
    return f"{Path(video).stem}_{frame}" if colon and frame.isdecimal() else Path(file_name).stem


def _write_png(path: Path, picture: Image.Image) -> None:
    write_whole(path, lambda file: picture.save(file, format="PNG", compress_level=1))
