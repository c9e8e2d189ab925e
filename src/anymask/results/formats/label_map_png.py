"""Label maps as PNG: the value of a pixel is the number of its mask, 0 where there is none.

Up to 255 masks give a palette image, which viewers show in colours and NumPy reads as numbers; more give 16-bit grey.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from ...masks.label_maps import PRIORITIES, fill_label_map, label_map_to_rles, rles_to_label_map
from ...masks.record import make_record, rle_of
from ...support.atomic_files import write_whole
from ..colours import palette
from .annotated_image import Annotated, AnnotatedImage
from .files import FilePath, reading

_FORMAT = "a PNG label map"
_MAX_PALETTE, _MAX_PNG = 255, 65535


def label_map_of(annotated: Annotated, priority: str = "small_first", every_pixel: bool = False) -> np.ndarray:
    """Make the label map of `Results.to_label_map`; a warning says which masks are covered wholly."""
    scores = np.array([record.get("predicted_iou", np.nan) for record in annotated.records], dtype=np.float64)
    rles = [rle_of(record) for record in annotated.records]
    label_map = rles_to_label_map(rles, annotated.size_hw, priority, scores)
    is_seen = np.bincount(label_map.ravel(), minlength=len(rles) + 1)[1:] > 0
    hidden = [i + 1 for i, record in enumerate(annotated.records) if record["area"] and not is_seen[i]]
    if hidden:
        numbers = ", ".join(map(str, hidden[:5])) + (" ..." if len(hidden) > 5 else "")
        others = " or ".join(repr(other) for other in PRIORITIES if other != priority)
        warnings.warn(
            f"{len(hidden)} of {len(rles)} masks (number {numbers}) are not in the label map, since others cover them; "
            f"priority={others} decides otherwise.",
            stacklevel=3,
        )
    return fill_label_map(label_map) if every_pixel else label_map


def write_label_map_png(
    path: FilePath, annotated: Annotated, *, priority: str = "small_first", every_pixel: bool = False
) -> None:
    """Write masks as a label map, in which they cannot overlap.

    Args:
        path: where to.
        annotated: records and size of an image.
        priority: which mask a pixel goes to where several cover it; see `Results.to_label_map`.
        every_pixel: give pixels that no mask covers to the nearest one.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the priority is unknown, or there are more masks than a PNG has numbers.
    """
    if len(annotated.records) > _MAX_PNG:
        raise ValueError(f"a PNG label map must hold {_MAX_PNG} masks or fewer, got {len(annotated.records)}.")
    label_map = label_map_of(annotated, priority, every_pixel)
    if len(annotated.records) <= _MAX_PALETTE:
        picture = Image.fromarray(label_map.astype(np.uint8)).convert("L")
        colours = palette()[1].astype(np.uint8)
        # Black for 0, then the colours in turn.
        in_turn = colours[np.arange(_MAX_PALETTE) % len(colours)]
        picture.putpalette([0, 0, 0, *in_turn.ravel().tolist()])
    else:
        picture = Image.fromarray(label_map)
    write_whole(path, lambda file: picture.save(file, format="PNG"))


def read_label_map_png(path: FilePath) -> AnnotatedImage:
    """Read the masks of a label map, in order of their numbers; a record's "id" is its number.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut off, or its pixels are no numbers.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} must be a file, but there is none.")
    try:
        with Image.open(path) as picture:
            mode, label_map = picture.mode, np.asarray(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} must be {_FORMAT}, whole, but: {error}.") from error
    with reading(path, _FORMAT, "the file"):
        if label_map.ndim != 2 or label_map.dtype.kind not in "biu":
            raise ValueError(f"its pixels must be numbers (mode P, L or I;16), got colours of mode {mode}.")
    rles = label_map_to_rles(label_map.astype(np.int64, copy=False))
    height, width = label_map.shape
    return AnnotatedImage(
        [make_record(rle, id=number) for number, rle in rles.items()], (height, width), Path(path).name
    )
