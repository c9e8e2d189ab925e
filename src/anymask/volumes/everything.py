"""Everything in a volume: all masks of each slice, linked to objects from slice to slice by their overlap."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from ..images.windows import Window
from ..masks.rle import Rle, rle_area, rle_to_mask
from .slices import SliceStore
from .volume import Volume, Windowing


class SliceGenerator(Protocol):
    """What finds all masks of a slice; `SamMaskGenerator` does."""

    def generate(self, image: Any, *, output_mode: str) -> list[Any]:
        """Records of masks, with "segmentation" as `output_mode` says."""


def segment_volume(
    generator: SliceGenerator,
    volume: Volume | np.ndarray,
    *,
    window: Window | None = None,
    value_range: Sequence[float] | None = None,
    link_iou: float = 0.5,
    gap_closing: int = 1,
    min_extent: int = 2,
    work_folder: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Segment everything in each slice, and link what overlaps to objects.

    Where masks of a slice overlap, the smaller one is on top. A mask continues the object of the slice before that it
    overlaps most, each object in one mask and each mask in one object (the assignment of the highest IoU in all).

    Args:
        generator: A `SamMaskGenerator`.
        volume: A `Volume`, or an array (I, J, K), which is walked along its first axis.
        window: See `Windowing`.
        value_range: Likewise.
        link_iou: IoU from which masks of two slices may be one object.
        gap_closing: Slices in a row in which an object may be missing; they are filled between the masks around them.
        min_extent: Objects in fewer slices than this are dropped.
        work_folder: Where the masks of each slice are kept, so that a call after a stop goes on; None keeps nothing.
        settings: What else the masks follow from, such as the model's name: a folder made with others is refused.
        progress: Show a bar over slices.

    Returns:
        (I, J, K) int32 labels: 0 is background, objects are numbered from 1 in the order in which they begin.

    Raises:
        ValueError: If an option has a value that it cannot have, or `work_folder` is of another volume or of other
            settings.
    """
    volume = volume if isinstance(volume, Volume) else Volume(volume)
    if not 0 < link_iou <= 1 or gap_closing < 0 or min_extent < 1:
        raise ValueError(
            "`link_iou` must lie in (0, 1], `gap_closing` be at least 0 and `min_extent` at least 1, got "
            f"{link_iou}, {gap_closing} and {min_extent}."
        )
    windowing = Windowing(volume, window, value_range)
    store = SliceStore(work_folder, volume, windowing, settings)
    labels = np.zeros(volume.shape, dtype=np.int32)
    last_seen: dict[int, int] = {}  # position of the last slice of each object that may go on
    extent: dict[int, int] = {}
    for position in tqdm(range(len(volume)), desc="Slices", unit="slice", disable=not progress):
        masks = store.masks(f"slice_{position:05d}", partial(_find, generator, volume, windowing, position))
        in_slice = _label_map(masks, volume.slice_size_hw)
        last_seen = {number: seen for number, seen in last_seen.items() if position - seen <= gap_closing + 1}
        objects = {number: labels[volume.index(seen)] == number for number, seen in last_seen.items()}
        names = _continue(in_slice, objects, link_iou)
        target = labels[volume.index(position)]
        for number_in_slice in range(1, int(in_slice.max()) + 1):
            mask = in_slice == number_in_slice
            if not mask.any():
                continue
            number = names.get(number_in_slice)
            if number is None:
                number = len(extent) + 1
                extent[number] = 0
            else:
                _fill_gap(labels, volume, number, last_seen[number], after=position, mask=mask)
                extent[number] += position - last_seen[number] - 1
            target[mask] = number
            extent[number] += 1
            last_seen[number] = position
    return _renumber(labels, [number for number, length in extent.items() if length >= min_extent])


def _find(generator: SliceGenerator, volume: Volume, windowing: Windowing, position: int) -> list[Rle]:
    records = generator.generate(windowing(volume.read(position)), output_mode="uncompressed_rle")
    return [record["segmentation"] for record in records]


def _label_map(masks: Sequence[Rle], size_hw: tuple[int, int]) -> np.ndarray:
    """(height, width) int32: which mask is on top, from 1 on; smaller masks lie on larger ones."""
    painted = np.zeros(size_hw, dtype=np.int32)
    for number, mask in enumerate(sorted(masks, key=lambda mask: -rle_area(mask)), start=1):
        painted[rle_to_mask(mask)] = number
    return painted


def _continue(in_slice: np.ndarray, objects: dict[int, np.ndarray], link_iou: float) -> dict[int, int]:
    """Which object each mask of a slice continues, by number; masks that begin one are left out."""
    count = int(in_slice.max())
    if count == 0 or not objects:
        return {}
    areas = np.bincount(in_slice.ravel(), minlength=count + 1)[1:]
    ious = np.zeros((count, len(objects)))
    for column, mask in enumerate(objects.values()):
        shared = np.bincount(in_slice[mask], minlength=count + 1)[1:]
        ious[:, column] = shared / (areas + np.count_nonzero(mask) - shared)
    numbers = list(objects)
    rows, columns = linear_sum_assignment(-np.where(ious >= link_iou, ious, 0.0))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row + 1: numbers[column] for row, column in pairs if ious[row, column] >= link_iou}


def _fill_gap(labels: np.ndarray, volume: Volume, number: int, before: int, after: int, mask: np.ndarray) -> None:
    """Fill the slices between two masks of an object where nothing else is, by blending their signed distances."""
    if after - before < 2:
        return
    first, last = _signed_distance(labels[volume.index(before)] == number), _signed_distance(mask)
    for position in range(before + 1, after):
        share = (position - before) / (after - before)
        between = (1 - share) * first + share * last > 0
        target = labels[volume.index(position)]
        target[between & (target == 0)] = number


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the outline, above 0 inside."""
    return distance_transform_edt(mask) - distance_transform_edt(~mask)


def _renumber(labels: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    """Labels with the kept objects numbered from 1, the others background."""
    table = np.zeros(int(labels.max()) + 1, dtype=np.int32)
    table[list(kept)] = np.arange(1, len(kept) + 1)
    return table[labels]
