"""Label maps as PNG: the value of a pixel is the number of its mask, 0 where there is none.

Up to 255 masks give a palette image, which viewers show in colours and NumPy reads as numbers; more give 16-bit grey.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ...masks.label_maps import label_map_to_rles, rles_to_label_map
from ...masks.record import make_record, rle_of
from ...support.atomic_files import write_whole
from ..overlay import palette
from .annotated_image import Annotated, AnnotatedImage
from .files import FilePath, reading

_FORMAT = "a PNG label map"
_MAX_PALETTE, _MAX_PNG = 255, 65535


def label_map_of(annotated: Annotated, priority: str) -> np.ndarray:
    """(H, W) uint16 or int32 in which mask i has the number i + 1; see `rles_to_label_map`."""
    scores = np.array([record.get("predicted_iou", np.nan) for record in annotated.records], dtype=np.float64)
    return rles_to_label_map([rle_of(record) for record in annotated.records], annotated.size_hw, priority, scores)


def write_label_map_png(path: FilePath, annotated: Annotated, *, priority: str = "score") -> None:
    """Write masks as a label map, in which they cannot overlap.

    Args:
        path: where to.
        annotated: records and size of an image.
        priority: which mask a pixel goes to where several cover it; see `rles_to_label_map`.
    """
    if len(annotated.records) > _MAX_PNG:
        raise ValueError(f"a PNG label map must hold {_MAX_PNG} masks or fewer, got {len(annotated.records)}.")
    label_map = label_map_of(annotated, priority)
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
