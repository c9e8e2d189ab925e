"""Label maps: one number per pixel, so that masks that overlap have to give way to each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .rle import Rle, runs_to_rle


def paint_label_map(layers: Iterable[tuple[int, np.ndarray, np.ndarray]], size_hw: Sequence[int]) -> np.ndarray:
    """Paints masks over each other, each with its number.

    Args:
        layers: number, starts and ends of the runs (see `rle_to_runs`) of each mask, the lowest layer first.
        size_hw: height and width of the image.

    Returns:
        (H, W) int32, 0 where no mask is.
    """
    height, width = size_hw
    columns = np.zeros(height * width, dtype=np.int32)
    for number, starts, ends in layers:
        # Assigning to slices one by one writes each pixel once; what NumPy could do at once writes indices too.
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            columns[start:end] = number
    return np.ascontiguousarray(columns.reshape(width, height).T)


def label_map_to_rles(label_map: np.ndarray) -> dict[int, Rle]:
    """The uncompressed RLE of every number of a label map but 0, in rising order.

    Args:
        label_map: (H, W) of any integer type.
    """
    height, width = label_map.shape
    pixels = np.ascontiguousarray(label_map.T).ravel()
    starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    ends = np.concatenate([starts[1:], [len(pixels)]])
    numbers = pixels[starts]
    order = np.argsort(numbers, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return {
        int(numbers[group[0]]): runs_to_rle(starts[group], ends[group], (height, width))
        for group in groups
        if numbers[group[0]] != 0
    }
