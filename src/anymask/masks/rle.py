"""Run-length encoding of masks, in the forms COCO uses.

An RLE is `{"size": [height, width], "counts": ...}`. The pixels are read column by column (down, then to the right),
and the counts are the lengths of alternating runs of background and foreground, beginning with background, so a mask
whose first pixel is foreground begins with a count of 0. Uncompressed, the counts are a list of ints; COCO's compressed
form packs them into a string that pycocotools reads and writes.

Everything here is NumPy over whole arrays of runs: cost and memory follow the outline of a mask, not its pixels, and
there is no limit at 2^31 pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Rle = dict[str, Any]

PIXELS_AT_A_TIME = 1 << 22
"""How many pixels `rle_to_part` unpacks at once, as far as whole columns allow."""


def mask_to_rle(mask: np.ndarray | torch.Tensor) -> Rle:
    """Uncompressed RLE of one mask.

    Args:
        mask: (height, width), boolean; integers count as foreground where they are not zero, and so do floats, which
            must be 0 and 1, or 0 and 255: logits and probabilities are no masks yet.

    Returns:
        `{"size": [height, width], "counts": [...]}` with plain ints, ready for JSON.

    Raises:
        ValueError: If it is not one mask, or not binary.
    """
    array = mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)
    if array.ndim != 2:
        raise ValueError(f"A mask must have shape (height, width), got {array.shape}. Encode masks one by one.")
    if (
        array.dtype.kind == "f"
        and not ((array == 0) | (array == 1)).all()
        and not ((array == 0) | (array == 255)).all()
    ):
        raise ValueError(
            f"A mask must be binary, got floats from {array.min():g} to {array.max():g}; say what is foreground, as in "
            "logits > 0."
        )
    pixels = array.astype(bool, copy=False).T.ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    if len(pixels) and pixels[0]:
        changes = np.concatenate([[0], changes])
    counts = np.diff(changes, prepend=0, append=len(pixels))
    return {"size": list(array.shape), "counts": counts.tolist()}


def as_rle(mask: Rle | np.ndarray | torch.Tensor) -> Rle:
    """RLE of a mask in any form: an RLE, compressed or not, is returned as it is, a dense mask (H, W) is encoded."""
    return mask if isinstance(mask, dict) else mask_to_rle(mask)


def rle_to_mask(rle: Rle) -> np.ndarray:
    """The mask (height, width) of bool that an RLE stands for, compressed or not."""
    height, width = rle["size"]
    starts, ends = rle_to_runs(rle)
    mask = np.zeros((height, width), dtype=bool)
    if len(starts) == 0:
        return mask
    # Only the columns between the first and the last run are painted: most masks are small parts of a large image.
    left, right = int(starts[0]) // height, (int(ends[-1]) - 1) // height + 1
    edges = np.stack([starts, ends], axis=1).ravel() - left * height
    counts = np.diff(edges, prepend=0, append=(right - left) * height)
    values = np.arange(len(counts)) % 2 == 1
    mask[:, left:right] = np.repeat(values, counts).reshape(right - left, height).T
    return mask


def rle_to_part(rle: Rle, rows: slice, columns: slice) -> np.ndarray:
    """`rle_to_mask(rle)[rows, columns]`, with the memory of the part; slices have positive steps."""
    height, width = rle["size"]
    starts, ends = rle_to_runs(rle)
    first, last, step = columns.indices(width)
    at_a_time = max(PIXELS_AT_A_TIME // max(height * step, 1), 1) * step
    parts = [np.zeros((0, height), dtype=bool)[:, rows]]
    for left in range(first, last, at_a_time):
        head, foot = left * height, min(left + at_a_time, last) * height
        runs = slice(np.searchsorted(ends, head, side="right"), np.searchsorted(starts, foot, side="left"))
        edges = np.stack([starts[runs], ends[runs]], axis=1).ravel().clip(head, foot) - head
        counts = np.diff(edges, prepend=0, append=foot - head)
        pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(-1, height)
        parts.append(pixels[::step, rows].copy())  # a view would keep all pixels
    return np.concatenate(parts).T


def rle_area(rle: Rle) -> int:
    """Number of foreground pixels of an RLE, compressed or not."""
    return int(sum(coco_to_rle(rle)["counts"][1::2]))


def rle_to_runs(rle: Rle) -> tuple[np.ndarray, np.ndarray]:
    """Foreground runs of an RLE as first positions and positions past the last, both int64, in column-major pixels.

    Raises:
        ValueError: If counts are negative, or do not add up to the pixels of the mask.
    """
    rle = coco_to_rle(rle)
    counts = np.asarray(rle["counts"], dtype=np.int64)
    height, width = rle["size"]
    if (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(
            f"The counts of an RLE must be 0 or more and add up to height * width = {height} * {width} = "
            f"{height * width}, got {counts.sum()}, the lowest of them {counts.min(initial=0)}."
        )
    edges = np.cumsum(counts)
    ends = edges[1::2]
    starts = edges[0::2][: len(ends)]
    not_empty = ends > starts
    return merge_touching_runs(starts[not_empty], ends[not_empty])


def merge_touching_runs(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same pixels as sorted runs with background between any two; for sorted runs that may touch or overlap."""
    if len(starts) == 0:
        return starts, ends
    reach = np.maximum.accumulate(ends)
    apart = starts[1:] > reach[:-1]
    return starts[np.concatenate([[True], apart])], reach[np.concatenate([apart, [True]])]


def runs_to_rle(starts: np.ndarray, ends: np.ndarray, size_hw: tuple[int, int]) -> Rle:
    """Uncompressed RLE of sorted foreground runs; runs that touch or overlap are merged.

    Args:
        starts: (N,) first position of each run, in column-major pixels of an image of `size_hw`.
        ends: (N,) position past the last of each run.
        size_hw: height and width of the image in pixels.
    """
    height, width = size_hw
    starts, ends = merge_touching_runs(starts, ends)
    edges = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(edges, prepend=0, append=height * width)
    if len(ends) and ends[-1] == height * width:  # a mask that reaches the last pixel ends with a foreground run
        counts = counts[:-1]
    return {"size": [int(height), int(width)], "counts": counts.tolist()}


def rle_to_box_xyxy(rle: Rle) -> list[int]:
    """Bounding box [x0, y0, x1, y1] of an RLE in pixel indices, the last pixel included; zeros for an empty mask."""
    height = rle["size"][0]
    starts, ends = split_at_columns(*rle_to_runs(rle), height)
    if len(starts) == 0:
        return [0, 0, 0, 0]
    columns, tops = np.divmod(starts, height)
    bottoms = (ends - 1) % height
    return [int(columns[0]), int(tops.min()), int(columns[-1]), int(bottoms.max())]


def rle_to_coco(rle: Rle) -> Rle:
    """COCO's compressed RLE, its counts a str, so that it can be written as JSON and read by pycocotools.

    From the fourth count on, the difference to the count two before is stored; each number becomes groups of five bits,
    lowest first, a sixth bit saying that another group follows, and 48 added to make a printable character.

    Source: the format of pycocotools' `maskApi.c`, `rleToString`.
    """
    if isinstance(rle["counts"], str):
        return rle
    if isinstance(rle["counts"], bytes):  # as pycocotools itself returns them
        return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
    numbers = np.asarray(rle["counts"], dtype=np.int64)
    numbers = np.concatenate([numbers[:3], numbers[3:] - numbers[1:-2]])
    groups, present = [], []
    more = np.ones(len(numbers), dtype=bool)
    while more.any():
        present.append(more)
        group = numbers & 0x1F
        numbers = numbers >> 5
        # A number is complete when what is left is only its sign, and the group's top bit shows that sign already.
        more = more & (numbers != np.where(group & 0x10, -1, 0))
        groups.append(group | np.where(more, 0x20, 0))
    if not groups:
        return {"size": list(rle["size"]), "counts": ""}
    characters = (np.stack(groups, axis=1) + 48)[np.stack(present, axis=1)].astype(np.uint8)
    return {"size": list(rle["size"]), "counts": characters.tobytes().decode("ascii")}


def coco_to_rle(rle: Rle) -> Rle:
    """Uncompressed RLE of COCO's compressed one (counts as str or bytes); an uncompressed RLE is returned as it is.

    Raises:
        ValueError: If the string is none that pycocotools writes.
    """
    counts = rle["counts"]
    if not isinstance(counts, (str, bytes)):
        return rle
    characters = np.frombuffer(counts.encode("ascii") if isinstance(counts, str) else counts, dtype=np.uint8)
    groups = characters.astype(np.int64) - 48
    if len(groups) == 0:
        return {"size": list(rle["size"]), "counts": []}
    is_last = (groups & 0x20) == 0
    if groups.min() < 0 or groups.max() > 63 or not is_last[-1]:
        raise ValueError(
            f"The counts of a compressed RLE must be a string as pycocotools writes it, got {counts[:40]!r}."
        )
    firsts = np.flatnonzero(np.concatenate([[True], is_last[:-1]]))
    lasts = np.flatnonzero(is_last)
    shifts = 5 * (np.arange(len(groups)) - np.repeat(firsts, lasts - firsts + 1))
    numbers = np.add.reduceat((groups & 0x1F) << shifts, firsts)
    is_negative = (groups[lasts] & 0x10) != 0
    numbers = numbers - np.where(is_negative, np.int64(1) << (shifts[lasts] + 5), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return {"size": list(rle["size"]), "counts": numbers.tolist()}


def split_at_columns(starts: np.ndarray, ends: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The same runs, cut where they go from the foot of one column to the head of the next."""
    first_column, last_column = starts // height, (ends - 1) // height
    pieces = last_column - first_column + 1
    run = np.repeat(np.arange(len(starts)), pieces)
    column = first_column[run] + np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.maximum(starts[run], column * height), np.minimum(ends[run], (column + 1) * height)
