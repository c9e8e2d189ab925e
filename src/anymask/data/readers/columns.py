"""Rows with an image and masks, as `datasets.Dataset` has them; anything with `len` and `[i]` that gives a mapping.

The library `datasets` is not needed: what is read is a mapping of columns.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...images.load import load_image
from ...masks.polygons import polygons_to_rle
from ...masks.rle import Rle
from ..samples import Entry, MaskDataset, Sample, sample_of_masks
from .folders import objects_of_map

IMAGE_COLUMNS = ("image", "img", "pixel_values", "photo")
MASK_COLUMNS = (
    *("masks", "mask", "label", "labels", "annotation", "segmentation", "segmentation_mask", "label_map", "objects"),
)


def read_columns(
    rows: Any,
    image: str | None = None,
    masks: str | None = None,
    kind: str = "auto",
    name: str | None = None,
    ignore_value: int | None = None,
) -> MaskDataset:
    """A data set of rows.

    Args:
        rows: a `datasets.Dataset`, a list of dicts, or the like.
        image: name of the column of images: anything that `anymask.load_image` takes, or a dict with "bytes" or "path".
        masks: name of the column of masks. A cell is a label map or a binary mask (array, Pillow image, or a dict with
            "bytes" or "path"), a stack or a list of masks of one object each, a list of RLEs, of polygons as COCO has
            them, or a dict (or a list of dicts) with such a list under "segmentation" or "mask".
        kind: of single masks, as in `anymask.data.readers.folders.read_mask_folder`.
        name: name of a column that says what a row is called; by default its number.
        ignore_value: the number in a label map that says that a pixel is neither right nor wrong, such as 255.

    Raises:
        ValueError: If there are no rows, or no such columns.
    """
    if len(rows) == 0:
        raise ValueError("`rows` must hold at least one row, got none.")
    columns = list(rows[0])
    image = _column("image", image, columns, IMAGE_COLUMNS)
    masks = _column("masks", masks, columns, MASK_COLUMNS)
    read = partial(_read, rows, image=image, masks=masks, kind=kind, ignore_value=ignore_value)
    names = [f"{index:06d}" for index in range(len(rows))] if name is None else [str(row) for row in rows[name]]
    return MaskDataset(
        [Entry(called, partial(read, index, called)) for index, called in enumerate(names)], type(rows).__name__
    )


def _column(argument: str, name: str | None, columns: Sequence[str], usual: Sequence[str]) -> str:
    found = [column for column in (usual if name is None else [name]) if column in columns]
    if not found:
        raise ValueError(
            f"`{argument}` must name a column of {', '.join(columns)}, "
            + ("and none has a usual name; pass it." if name is None else f"got {name!r}.")
        )
    return found[0]


def _read(rows: Any, index: int, called: str, *, image: str, masks: str, kind: str, ignore_value: int | None) -> Sample:
    row = rows[index]
    pixels = np.asarray(load_image(_file_of(row[image])))
    found, ignored, notes = _masks(row[masks], kind, pixels.shape[:2], ignore_value)
    return sample_of_masks(called, pixels, found, ignored=ignored, notes=tuple(notes))


def _file_of(cell: Any) -> Any:
    """The bytes or the path of an image as `datasets` keeps it where it was told not to decode; else the cell."""
    if isinstance(cell, Mapping) and ("bytes" in cell or "path" in cell):
        return cell.get("bytes") or cell["path"]
    return cell


def _masks(
    cell: Any, kind: str, size_hw: tuple[int, int], ignore_value: int | None
) -> tuple[list[Any], Rle | None, list[str]]:
    """Masks, dense or as RLE, from a cell of any form; the pixels to be ignored; notes."""
    file = _file_of(cell)
    if file is not cell:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
            cell = np.asarray(opened)
    if isinstance(cell, Mapping) and not _is_rle(cell):
        cell = cell.get("segmentation", cell.get("mask"))
    if isinstance(cell, Image.Image):
        cell = np.asarray(cell)
    if isinstance(cell, torch.Tensor):
        cell = cell.detach().cpu().numpy()
    if isinstance(cell, list | tuple):
        try:
            stacked = np.asarray(cell)
        except ValueError:  # masks of several sizes, polygons of several lengths
            stacked = np.zeros(0)
        if stacked.ndim >= 2 and stacked.dtype.kind in "biuf" and stacked.shape[-2:] == tuple(size_hw):
            cell = stacked
    if isinstance(cell, np.ndarray):
        if cell.ndim == 3 and cell.dtype == bool and cell.shape[:2] == tuple(size_hw) != cell.shape[1:]:
            cell = np.moveaxis(cell, 2, 0)  # no picture in colours: its masks come last
        if cell.ndim == 3 and cell.shape[1:] == tuple(size_hw):
            return list(cell if cell.dtype.kind == "f" else cell != 0), None, []
        objects, ignored, notes = objects_of_map(cell, kind, ignore_value)
        return list(objects.values()), ignored, notes
    if not isinstance(cell, list | tuple):
        raise ValueError(f"a cell of masks must be an array, a picture or a list of masks, got {type(cell).__name__}.")
    return [_one_mask(mask, size_hw) for mask in cell], None, []


def _one_mask(mask: Any, size_hw: tuple[int, int]) -> Rle | np.ndarray:
    if isinstance(mask, Mapping) and not _is_rle(mask):
        mask = mask.get("segmentation", mask.get("mask"))
    if isinstance(mask, Mapping):
        return dict(mask)
    if isinstance(mask, list) and mask and np.ndim(mask[0]) <= 1 and not isinstance(mask[0], Image.Image):
        outlines = mask if np.ndim(mask[0]) == 1 else [mask]
        return polygons_to_rle([(np.reshape(outline, (-1, 2)), []) for outline in outlines], size_hw)
    array = np.asarray(mask)
    return array if array.dtype.kind == "f" else array != 0


def _is_rle(value: Mapping[str, Any]) -> bool:
    return {"size", "counts"} <= value.keys()
