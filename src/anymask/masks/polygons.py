"""Masks as polygons with holes, and polygons as masks.

Vertices are corners of pixels: the mask of the single pixel (0, 0) has the outline (0, 0), (1, 0), (1, 1), (0, 1), and
a pixel belongs to a polygon if its centre (column + 0.5, row + 0.5) does. So an outline that was not simplified gives
its mask back exactly. Pixels that share only a corner belong to two polygons, and no outline touches itself, so the
polygons are valid for geometry libraries; `shapely.Polygon(*polygon)` takes them as they are. How outlines are found
and simplified is in `outlines.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .outlines import ranges, simplify, trace
from .rle import Rle, runs_to_rle

MASKS_AT_A_TIME = 16  # simplified together: enough to hide the cost of a call, few enough to stay in the cache


class Polygon(NamedTuple):
    """One connected part of a mask, in pixels, x right and y down.

    Attributes:
        outer_xy: (K, 2) its outline, clockwise as seen on the screen, the first vertex not repeated.
        holes_xy: an outline (K, 2) for each hole, the other way round.
    """

    outer_xy: np.ndarray
    holes_xy: list[np.ndarray]


def rle_to_polygons(rle: Rle, tolerance: float = 0.0, holes: bool = True) -> list[Polygon]:
    """The 4-connected parts of a mask as polygons, from left to right.

    Args:
        rle: the mask, compressed or not.
        tolerance: how far, in pixels, a vertex may lie from the outline that leaves it out. 0 keeps every corner.
        holes: whether holes are outlined too; else they count as filled.

    Returns:
        A polygon for each part, its coordinates int64; no part is lost to simplification, a hole that is no wider than
        the tolerance may be. An empty list for an empty mask.

    Raises:
        ValueError: If the tolerance is negative.
    """
    return rles_to_polygons([rle], tolerance, holes)[0]


def rles_to_polygons(rles: Sequence[Rle], tolerance: float = 0.0, holes: bool = True) -> list[list[Polygon]]:
    """`rle_to_polygons` of many masks, quicker than one by one where outlines are simplified.

    Raises:
        ValueError: If the tolerance is negative.
    """
    if not tolerance >= 0:
        raise ValueError(f"`tolerance` must be 0 or more pixels, got {tolerance!r}.")
    polygons: list[list[Polygon]] = []
    for first in range(0, len(rles), MASKS_AT_A_TIME):
        batch = rles[first : first + MASKS_AT_A_TIME]
        rings = [ring for mask, rle in enumerate(batch) for ring in trace(rle, mask) if holes or ring.is_outer]
        if tolerance > 0:
            rings = simplify(rings, tolerance)
        parts = {(ring.mask, ring.part): Polygon(ring.xy, []) for ring in rings if ring.is_outer}
        for ring in rings:
            if not ring.is_outer:
                parts[ring.mask, ring.part].holes_xy.append(ring.xy)
        of_masks: list[list[Polygon]] = [[] for _ in batch]
        for (mask, _), polygon in parts.items():
            of_masks[mask].append(polygon)
        polygons += of_masks
    return polygons


def polygons_to_rle(
    polygons: Iterable[Polygon | tuple[np.ndarray, Sequence[np.ndarray]]], size_hw: Sequence[int]
) -> Rle:
    """The mask that polygons cover together: pixels whose centre lies inside of one of them.

    Inside is where a line from far away crosses outline and holes an odd number of times. What lies outside of the
    image is cut off.

    Args:
        polygons: pairs of an outline (K, 2) and its holes; any numbers, any direction.
        size_hw: height and width of the image in pixels.

    Returns:
        Uncompressed RLE.

    Raises:
        ValueError: If a vertex is NaN or infinite.
    """
    height, width = size_hw
    runs = [np.zeros((0, 2), dtype=np.int64)]
    runs += [_crossings([outer, *inner], height, width).reshape(-1, 2) for outer, inner in polygons]
    starts, ends = np.concatenate(runs).T
    order = np.argsort(starts, kind="stable")
    not_empty = order[(ends > starts)[order]]
    return runs_to_rle(starts[not_empty], ends[not_empty], (height, width))


def _crossings(rings: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Where rings cross the centre line of a column, as sorted positions in column-major pixels, even in number."""
    vertices = [np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in rings]
    if not all(np.isfinite(ring).all() for ring in vertices):
        raise ValueError("Vertices of a polygon must be finite numbers, got NaN or infinity.")
    edges = np.concatenate([np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in vertices])
    # Each edge from left to right: the way there and back along one line then crosses at the very same places.
    backwards = edges[:, 0, 0] > edges[:, 1, 0]
    edges[backwards] = edges[backwards, ::-1]
    first, last = np.clip(np.ceil(edges[:, :, 0] - 0.5), 0, width).astype(np.int64).T
    columns, edge = ranges(first, last)
    (x0, y0), (x1, y1) = edges[edge, 0].T, edges[edge, 1].T
    y = y0 + (columns + 0.5 - x0) * ((y1 - y0) / (x1 - x0))
    rows = np.clip(np.ceil(y - 0.5), 0, height).astype(np.int64)
    return np.sort(columns * height + rows)
