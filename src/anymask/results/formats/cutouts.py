"""Cut-outs: each mask's part of the image as a PNG of its own, transparent outside of the mask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...images.load import as_rgb_uint8
from ...masks.record import rle_of
from ...masks.rle import rle_to_box_xyxy, rle_to_mask
from ...support.atomic_files import write_whole
from .annotated_image import Annotated
from .files import FilePath


def write_cutouts(folder: FilePath, annotated: Annotated, image: Any) -> list[Path]:
    """Writes NAME_0000_LABEL.png and so on into a folder, which is made if it is not there.

    Each file is written whole; a mask without pixels gets none, and files of other names stay.

    Args:
        folder: where to.
        annotated: records, size and name of the image.
        image: in any form that `load_image` takes.

    Returns:
        The files, in the order of the masks.
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
    name = Path(annotated.name or "mask").name
    # "clip.mp4:000012" is a frame of a video: without its number all frames would share names.
    video, colon, frame = name.rpartition(":")
    stem = f"{Path(video).stem}_{frame}" if colon and frame.isdecimal() else Path(name).stem
    for index, record in enumerate(annotated.records):
        rle = rle_of(record)
        if not record["area"]:
            continue
        x0, y0, x1, y1 = rle_to_box_xyxy(rle)
        window = slice(y0, y1 + 1), slice(x0, x1 + 1)
        alpha = rle_to_mask(rle)[window].astype(np.uint8) * np.uint8(255)
        cutout = Image.fromarray(np.dstack([pixels[window], alpha]))
        label = re.sub(r"[^\w-]+", "-", f"_{record['label']}") if record.get("label") else ""
        files.append(folder / f"{stem}_{index:04d}{label}.png")
        _write_png(files[-1], cutout)
    return files


def _write_png(path: Path, picture: Image.Image) -> None:
    write_whole(path, lambda file: picture.save(file, format="PNG", compress_level=1))
