"""Label maps: one number per pixel, so that masks that overlap have to give way to each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .rle import Rle, rle_to_runs, runs_to_rle

PRIORITIES = ("score", "small_first", "large_first")


def paint_label_map(layers: Iterable[tuple[int, np.ndarray, np.ndarray]], size_hw: Sequence[int]) -> np.ndarray:
    """Paint masks over each other, each with its number.

    Args:
        layers: number, starts and ends of the runs (see `rle_to_runs`) of each mask, the lowest layer first.
        size_hw: height and width of the image in pixels.

    Returns:
        (H, W), 0 where no mask is; of the smallest unsigned type that holds the numbers.
    """
    height, width = size_hw
    layers = list(layers)
    dtype = np.min_scalar_type(max((number for number, _, _ in layers), default=0))
    columns = np.zeros(height * width, dtype=dtype)
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


def rles_to_label_map(
    rles: Sequence[Rle], size_hw: Sequence[int], priority: str, scores: Sequence[float] | np.ndarray
) -> np.ndarray:
    """A label map in which mask i has the number i + 1.

    Args:
        rles: the masks.
        size_hw: height and width of the image in pixels.
        priority: which mask a pixel goes to where several cover it: "score" the one with the highest score,
            "small_first" the smallest, "large_first" the largest. The earlier mask wins a tie.
        scores: one per mask; used by "score" only.

    Returns:
        (H, W) uint16, or int32 for more than 65535 masks; 0 where no mask is. A mask that others cover does not appear.

    Raises:
        ValueError: If the priority is unknown, or is "score" and a mask has none.
    """
    if priority not in PRIORITIES:
        raise ValueError(f"`priority` must be one of {', '.join(map(repr, PRIORITIES))}, got {priority!r}.")
    if priority == "score" and np.isnan(scores).any():
        raise ValueError(
            "priority='score' must have a predicted IoU for every mask, but some have none; "
            "take 'small_first' or 'large_first'."
        )
    runs = [rle_to_runs(rle) for rle in rles]
    areas = np.array([(ends - starts).sum() for starts, ends in runs])
    rank = {"score": np.asarray(scores), "small_first": -areas, "large_first": areas}[priority]
    bottom_to_top = np.argsort(-rank, kind="stable")[::-1].tolist()
    painted = paint_label_map(((index + 1, *runs[index]) for index in bottom_to_top), size_hw)
    return painted.astype(np.uint16 if len(rles) <= np.iinfo(np.uint16).max else np.int32)


def fill_label_map(label_map: np.ndarray) -> np.ndarray:
    """Give every pixel without a number that of the nearest pixel that has one.

    Args:
        label_map: (H, W) of any integer type, 0 where no mask is.

    Returns:
        (H, W) of the same type, without a 0 unless there is nothing else. Nearest is by Euclidean distance.
    """
    is_empty = label_map == 0
    if is_empty.all() or not is_empty.any():
        return label_map.copy()
    height, width = label_map.shape
    far = height + width  # from any pixel
    # The nearest number of each pixel's own column, and how far away it is ...
    rows = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(is_empty, -far, rows), axis=0)
    below = np.minimum.accumulate(np.where(is_empty, height - 1 + far, rows)[::-1], axis=0)[::-1]
    nearest_row = np.where(rows - above <= below - rows, above, below)
    squared = (rows - nearest_row) ** 2
    numbers = np.take_along_axis(label_map, np.clip(nearest_row, 0, height - 1), axis=0)
    # ... then that of columns farther and farther away, for pixels that they might be nearer to.
    y, x = np.nonzero(is_empty)
    best, chosen = squared[y, x], numbers[y, x]
    filled = label_map.copy()
    for offset in range(1, width):
        open_ = best > offset**2
        filled[y[~open_], x[~open_]] = chosen[~open_]
        y, x, best, chosen = y[open_], x[open_], best[open_], chosen[open_]
        if len(y) == 0:
            break
        for column in (x - offset, x + offset):
            inside = np.clip(column, 0, width - 1)
            distance = np.where(column == inside, squared[y, inside] + offset**2, far**2)
            is_nearer = distance < best
            best = np.where(is_nearer, distance, best)
            chosen = np.where(is_nearer, numbers[y, inside], chosen)
    filled[y, x] = chosen
    return filled
