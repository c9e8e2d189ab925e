"""A folder of images and of masks that are images: binary masks, label maps, or one file for each object.

Images lie in `images/` and masks in `masks/` (or `labels`, `annotations`, `gt` ...), or all lie in one folder. Which
mask belongs to which image is told by the stem: `cup.jpg` has `cup.png`, `cup_mask.png`, `cup_1.png` and `cup_2.png`,
what lies in a folder `cup/`, or the first array of `cup_masks.npz`, (N, H, W).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from ...masks.label_maps import label_map_to_rles
from ...masks.rle import Rle, mask_to_rle
from ..samples import Entry, MaskDataset, Sample
from .files import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    files_with,
    image_files,
    name_below,
    pair_by_stem,
    read_image,
    subfolder,
)

KINDS = ("auto", "binary", "label_map")
_WHITE = (255, 65535)
_VOID = 255  # in label maps of VOC, Cityscapes and others: pixels that do not count
_LOSSY = (".jpg", ".jpeg", ".webp")
_MASKS_NPZ = "_masks.npz"


def read_mask_folder(folder: str | Path, kind: str = "auto", ignore_value: int | None = None) -> MaskDataset:
    """Images and the masks that are named like them; those without a partner are left out, and are `alone`.

    Args:
        folder: of the data set.
        kind: "binary": all that is not 0 is one object. "label_map": each number but 0, or each colour but black, is an
            object. "auto": binary where a file has one value besides 0, is a JPEG, or is white with soft edges, and the
            last two are cut at half of the highest value; else a label map.
        ignore_value: the number in a label map that says that a pixel is neither right nor wrong, such as 255.

    Raises:
        ValueError: If the kind is unknown, or no image has a mask.
    """
    folder = Path(folder)
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(map(repr, KINDS))}, got {kind!r}.")
    image_folder, mask_folder = subfolder(folder, IMAGE_FOLDERS), subfolder(folder, MASK_FOLDERS)
    masks_in = mask_folder or folder
    masks = [*image_files(masks_in), *files_with(masks_in, [_MASKS_NPZ])]
    images = image_files(image_folder or folder)
    if mask_folder is not None:
        images = [image for image in images if mask_folder not in image.parents]
    pairs = pair_by_stem(images, masks)
    belongs_to_another = {mask for found in pairs.values() for mask in found}
    entries = [
        Entry(name_below(folder, image), partial(_read, folder, image, tuple(found), kind, ignore_value=ignore_value))
        for image, found in pairs.items()
        if found and image not in belongs_to_another
    ]
    if not entries:
        raise ValueError(
            f"{folder} must hold images with masks of the same stem, in images/ and masks/ or side by side as cup.jpg "
            f"and cup_mask.png; found {len(images)} images and no mask for any."
        )
    alone = [image for image, found in pairs.items() if not found and image not in belongs_to_another]
    if mask_folder is not None:
        alone += [mask for mask in masks if mask not in belongs_to_another]
    return MaskDataset(entries, str(folder), [name_below(folder, path) for path in alone])


def objects_of_map(
    label_map: np.ndarray, kind: str, ignore_value: int | None = None, is_lossy: bool = False
) -> tuple[dict[int, Rle], Rle | None, list[str]]:
    """The objects of a mask that is an image.

    Args:
        label_map: (H, W) numbers, or (H, W, C) colours.
        kind: as in `read_mask_folder`.
        ignore_value: see there.
        is_lossy: whether it comes from a file that does not keep values, as JPEG.

    Returns:
        RLE by number, the pixels to be ignored, and notes on what had to be decided.
    """
    numbers = _as_numbers(label_map, is_lossy)
    notes, ignored = [], None
    if ignore_value is not None and (numbers == ignore_value).any():
        ignored = mask_to_rle(numbers == ignore_value)
        numbers = np.where(numbers == ignore_value, 0, numbers)
    values = np.unique(numbers)
    if values[0] < 0:
        raise ValueError(
            f"a mask's numbers must be 0 or more, got {values[0]}; ignore_value={values[0]} says that its pixels do "
            "not count."
        )
    loss = "after lossy compression" if is_lossy else "at soft edges"
    if len(values) > 2 and (is_lossy or (kind == "auto" and _has_soft_edges(numbers, values[-1]))):
        notes.append(f"the mask has {len(values)} values {loss} and was cut at half of the highest")
        numbers = (numbers > values[-1] / 2).astype(np.int64)
        kind = "binary"
    elif kind == "auto":
        kind = "binary" if len(values[values != 0]) <= 1 else "label_map"
    if kind == "label_map":
        if len(values) > 2 and values[-1] == _VOID and values[-2] < _VOID // 2:
            notes.append(f"{_VOID} counts as an object; ignore_value={_VOID} says that its pixels do not count")
        return label_map_to_rles(numbers), ignored, notes
    if values[-1] not in (0, 1) and not (is_lossy or notes):
        notes.append(f"the mask is 0 and {values[-1]} instead of 0 and 1")
    return {1: mask_to_rle(numbers != 0)}, ignored, notes


def _has_soft_edges(numbers: np.ndarray, highest: int) -> bool:
    """Whether the values between 0 and white are steps of an edge: hardly one fills three by three pixels."""
    if highest not in _WHITE:
        return False
    between = (numbers > 0) & (numbers < highest)
    windows = sliding_window_view(numbers, (3, 3)) if min(numbers.shape) >= 3 else np.zeros((0, 0, 3, 3))
    filled = (windows == windows[:, :, 1:2, 1:2]).all(axis=(2, 3))
    return bool(filled[between[1:-1, 1:-1]].sum() * 10 < between.sum())


def _as_numbers(label_map: np.ndarray, is_lossy: bool) -> np.ndarray:
    """(H, W) int64; colours become numbers, grey and transparency do not count as colours."""
    if label_map.dtype.kind == "f" and not np.array_equal(label_map, np.round(label_map)):
        raise ValueError("a mask must hold whole numbers, got fractions.")
    if label_map.ndim == 3 and label_map.shape[2] in (2, 4):
        alpha, label_map = label_map[:, :, -1], label_map[:, :, :-1]
        if (label_map == label_map[0, 0]).all() and (alpha != alpha[0, 0]).any():
            label_map = alpha  # one colour throughout, cut out
    if label_map.ndim == 3 and (label_map == label_map[:, :, :1]).all():
        label_map = label_map[:, :, 0]
    if label_map.ndim == 3 and is_lossy:
        label_map = _brightness(label_map)
    if label_map.ndim == 3:
        red, green, blue = np.moveaxis(label_map.astype(np.int64), 2, 0)
        return (red << 16) + (green << 8) + blue
    if label_map.ndim != 2:
        raise ValueError(f"a mask must have shape (height, width), got {label_map.shape}.")
    return label_map.astype(np.int64)


def _brightness(colours: np.ndarray) -> np.ndarray:
    """(H, W) of colours (H, W, 3) that lossy compression has blurred: of one colour besides black, or none is left.

    Raises:
        ValueError: If objects have different colours.
    """
    brightness = colours.max(axis=2)
    shown = colours[brightness > brightness.max() / 2].astype(np.float64)
    hues = shown / shown.max(axis=1, keepdims=True)
    if len(hues) and (np.abs(hues - np.median(hues, axis=0)).max(axis=1) > 0.25).mean() > 0.1:
        raise ValueError("a mask with objects in several colours must be kept without loss, as PNG, got JPEG or WebP.")
    return brightness


def _read(folder: Path, image: Path, masks: tuple[Path, ...], kind: str, ignore_value: int | None) -> Sample:
    rles: list[Rle] = []
    object_ids: list[object] = []
    ignored, notes = None, []
    for path in masks:
        if path.name.endswith(_MASKS_NPZ):
            with np.load(path) as arrays:
                found: dict[int, Rle] = {
                    number: mask_to_rle(mask) for number, mask in enumerate(arrays[arrays.files[0]], start=1)
                }
        else:
            with Image.open(path) as opened:
                label_map = np.asarray(opened)
            found, ignored_here, notes_here = objects_of_map(
                label_map, kind, ignore_value, path.suffix.lower() in _LOSSY
            )
            ignored = ignored_here or ignored
            notes += [f"{name_below(folder, path)}: {note}" for note in notes_here]
        rles += found.values()
        object_ids += [number if len(masks) == 1 else f"{path.name}:{number}" for number in found]
    labels = [None] * len(rles)
    return Sample(
        name_below(folder, image),
        read_image(image),
        rles,
        labels,
        object_ids=object_ids,
        ignored=ignored,
        notes=tuple(notes),
    )
