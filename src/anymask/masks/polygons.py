"""Masks as polygons with holes, and polygons as masks.

Vertices are corners of pixels: the mask of the single pixel (0, 0) has the outline (0, 0), (1, 0), (1, 1), (0, 1), and
a pixel belongs to a polygon if its centre (column + 0.5, row + 0.5) does. So an outline that was not simplified gives
its mask back exactly. Pixels that share only a corner belong to two polygons, and no outline touches itself, so the
polygons are valid for geometry libraries; `shapely.Polygon(*polygon)` takes them as they are.

The work follows the runs of a mask, never its pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .rle import Rle, rle_to_runs, runs_to_rle, split_at_columns

MASKS_AT_A_TIME = 16  # simplified together: enough to hide the cost of a call, few enough to stay in the cache


class Polygon(NamedTuple):
    """One connected part of a mask, in pixels, x right and y down.

    Attributes:
        outer_xy: (K, 2) its outline, clockwise as seen on the screen, the first vertex not repeated.
        holes_xy: an outline (K, 2) for each hole, the other way round.
    """

    outer_xy: np.ndarray
    holes_xy: list[np.ndarray]


class _Ring(NamedTuple):
    """One closed outline: which mask it is from, and which of its connected parts it belongs to."""

    xy: np.ndarray
    is_outer: bool
    part: int
    mask: int


def rle_to_polygons(rle: Rle, tolerance: float = 0.0, holes: bool = True) -> list[Polygon]:
    """The 4-connected parts of a mask as polygons, from left to right.

    Args:
        rle: the mask, compressed or not.
        tolerance: how far, in pixels, a vertex may lie from the outline that leaves it out. 0 keeps every corner.
        holes: whether holes are outlined too; else they count as filled.

    Returns:
        A polygon for each part, its coordinates int64; no part is lost to simplification, a hole that is no wider than
        the tolerance may be. An empty list for an empty mask.
    """
    return rles_to_polygons([rle], tolerance, holes)[0]


def rles_to_polygons(rles: Sequence[Rle], tolerance: float = 0.0, holes: bool = True) -> list[list[Polygon]]:
    """`rle_to_polygons` of many masks, quicker than one by one where outlines are simplified."""
    if not tolerance >= 0:
        raise ValueError(f"`tolerance` must be 0 or more pixels, got {tolerance!r}.")
    polygons: list[list[Polygon]] = []
    for first in range(0, len(rles), MASKS_AT_A_TIME):
        batch = rles[first : first + MASKS_AT_A_TIME]
        rings = [ring for mask, rle in enumerate(batch) for ring in _trace(rle, mask) if holes or ring.is_outer]
        if tolerance > 0:
            rings = _simplify(rings, tolerance)
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
    columns, edge = _ranges(first, last)
    (x0, y0), (x1, y1) = edges[edge, 0].T, edges[edge, 1].T
    y = y0 + (columns + 0.5 - x0) * ((y1 - y0) / (x1 - x0))
    rows = np.clip(np.ceil(y - 0.5), 0, height).astype(np.int64)
    return np.sort(columns * height + rows)


def _ranges(firsts: np.ndarray, lasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers first, ..., last - 1 of many ranges one after another, and which range each is from."""
    lengths = np.maximum(lasts - firsts, 0)
    which = np.repeat(np.arange(len(firsts)), lengths)
    return np.arange(len(which)) - (np.cumsum(lengths) - lengths - firsts)[which], which


# From runs to rings


def _trace(rle: Rle, mask: int) -> list[_Ring]:
    """All outlines of a mask, those of parts before those of their holes.

    The corners of the outlines are found first. On each vertical line between two columns they bound the vertical edges
    in pairs, on each horizontal line the horizontal edges, and walking these in turn closes the rings.
    """
    height, width = rle["size"]
    starts, ends = split_at_columns(*rle_to_runs(rle), height)
    if len(starts) == 0:
        return []
    x, y, is_left_edge = _corners(starts, ends, height)
    # Where two pixels touch at a corner only, two corners coincide: the first ends the vertical edge above, the second
    # begins the one below. The horizontal edges are ordered so that each is joined to the edge of its own pixel.
    is_second = np.concatenate([[False], (x[1:] == x[:-1]) & (y[1:] == y[:-1])])
    is_first = np.concatenate([is_second[1:], [False]])
    along_rows = y * (width + 1) + x
    order = np.argsort(2 * along_rows + np.where(is_left_edge, is_second, is_first), kind="stable")
    partner = np.empty_like(order)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]

    # Vertical edge e joins corners 2e (above) and 2e + 1; it runs upwards where the mask lies to its right.
    upwards = is_left_edge[0::2]
    tails = np.arange(0, len(x), 2) + upwards
    heads = np.arange(0, len(x), 2) + ~upwards
    sequence, ring_firsts, ring_of_edge = _cycles(partner[heads] // 2)
    corners = np.stack([tails[sequence], heads[sequence]], axis=1).ravel()
    points = np.stack([x[corners], y[corners]], axis=1)
    xy_of_rings = np.split(points, 2 * ring_firsts[1:])

    first_edges = sequence[ring_firsts]  # the leftmost of each ring
    is_outer = upwards[first_edges]
    # The part that a hole belongs to: left of its leftmost edge is a run, and above that an edge of the same part.
    left_of = x[2 * first_edges] - 1
    run = np.searchsorted(starts, left_of * height + y[2 * first_edges], side="right") - 1
    top_of_run = (starts[run] % height) * (width + 1) + left_of
    edge_above = np.searchsorted(along_rows[order[0::2]], top_of_run, side="right") - 1
    neighbour = ring_of_edge[order[0::2][edge_above] // 2]
    parts: list[int] = []
    for ring, ring_is_outer in enumerate(is_outer.tolist()):
        parts.append(ring if ring_is_outer else parts[neighbour[ring]])

    twice = np.flatnonzero(is_second)
    touching = set(ring_of_edge[twice // 2][ring_of_edge[twice // 2] == ring_of_edge[(twice - 1) // 2]].tolist())
    rings = []
    for ring, xy in enumerate(xy_of_rings):
        if ring in touching:
            rings += [_Ring(loop, _is_clockwise(loop), parts[ring], mask) for loop in _split_where_touching(xy)]
        else:
            rings.append(_Ring(xy, bool(is_outer[ring]), parts[ring], mask))
    return rings


def _corners(starts: np.ndarray, ends: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners of the outlines, from runs that each lie in one column.

    Returns:
        x and y of the corners, sorted by x, then y; and whether, if a vertical edge goes down from the corner, the mask
        lies to the right of it.
    """
    columns = starts // height
    # Every run has two ends on the line to its left and two on the line to its right. An end that a run on the other
    # side of the line has too is no corner there.
    upper_left = columns * (height + 1) + starts - columns * height
    lower_left = upper_left + ends - starts
    ends_of_runs = [
        2 * upper_left + 1,
        2 * lower_left,
        2 * (upper_left + height + 1),
        2 * (lower_left + height + 1) + 1,
    ]
    codes = np.sort(np.concatenate(ends_of_runs), kind="stable")
    straight_on = (codes[1:] == codes[:-1] + 1) & (codes[:-1] % 2 == 0)
    codes = codes[~(np.concatenate([straight_on, [False]]) | np.concatenate([[False], straight_on]))]
    x, y = np.divmod(codes // 2, height + 1)
    return x, y, codes % 2 == 1


def _cycles(following: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cycles of a permutation one after another, where each begins, and which cycle each element is in.

    Cycles and their elements begin with the lowest number.
    """
    # A plain loop: it takes a fraction of a microsecond per element, less than any vectorised way that is known here.
    successors = following.tolist()
    cycle_of = [-1] * len(successors)
    sequence: list[int] = []
    firsts: list[int] = []
    for element in range(len(successors)):
        if cycle_of[element] >= 0:
            continue
        cycle = len(firsts)
        firsts.append(len(sequence))
        while cycle_of[element] < 0:
            cycle_of[element] = cycle
            sequence.append(element)
            element = successors[element]
    return np.array(sequence), np.array(firsts), np.array(cycle_of)


def _split_where_touching(xy: np.ndarray) -> list[np.ndarray]:
    """A ring that visits some vertices twice as rings that do not."""
    loops: list[np.ndarray] = []
    path: list[int] = []
    place: dict[tuple[int, ...], int] = {}
    for index, vertex in enumerate(map(tuple, xy.tolist())):
        if vertex in place:
            start = place[vertex]
            loops.append(xy[path[start:]])
            for left in path[start:]:
                del place[tuple(xy[left].tolist())]
            del path[start:]
        place[vertex] = len(path)
        path.append(index)
    return [xy[path], *loops]


def _is_clockwise(xy: np.ndarray) -> bool:
    x, y = xy.T
    return bool((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0)


# Simplification


def _simplify(rings: Sequence[_Ring], tolerance: float) -> list[_Ring]:
    """Rings with as few of their vertices as Douglas and Peucker's method needs, holes that collapse left out.

    All stretches of all rings are split at once, so that the number of steps is the depth of the recursion.

    Source: D. Douglas and T. Peucker, "Algorithms for the reduction of the number of points required to represent a
    digitized line or its caricature" (1973).
    """
    if not rings:
        return []
    closed = [np.concatenate([ring.xy, ring.xy[:1]]) for ring in rings]
    points = np.ascontiguousarray(np.concatenate(closed).T, dtype=np.float64)
    lengths = np.array([len(ring) for ring in closed])
    lasts = np.cumsum(lengths) - 1
    firsts = lasts - lengths + 1
    kept = np.zeros(points.shape[1], dtype=bool)
    kept[firsts] = True
    # From a vertex to itself the farthest vertex splits the ring; it is kept whatever the tolerance.
    farthest, _ = _farthest(points, firsts, lasts)
    kept[farthest] = True
    starts, ends = np.concatenate([firsts, farthest]), np.concatenate([farthest, lasts])
    while len(starts := starts[more := ends > starts + 1]):
        ends = ends[more]
        farthest, squared_distance = _farthest(points, starts, ends)
        split = squared_distance > tolerance**2
        kept[farthest[split]] = True
        starts, ends = (
            np.concatenate([starts[split], farthest[split]]),
            np.concatenate([farthest[split], ends[split]]),
        )
    simple = []
    for ring, first, last in zip(rings, firsts.tolist(), lasts.tolist(), strict=True):
        chosen = np.flatnonzero(kept[first:last])
        if len(chosen) < 3 and ring.is_outer:
            # The farthest vertex of a ring of right angles is no neighbour, so both stretches have vertices inside.
            stretches = np.array([0, chosen[1]]), np.array([chosen[1], last - first])
            candidates, distances = _farthest(points[:, first : last + 1], *stretches)
            chosen = np.sort(np.append(chosen, candidates[np.argmax(distances)]))
        if len(chosen) >= 3:
            simple.append(ring._replace(xy=ring.xy[chosen]))
    return simple


def _farthest(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the vertices between each start and end the one farthest from the line segment that joins them.

    Args:
        points: (2, M), x and y.
        starts: (S,) indices of points.
        ends: (S,) indices, each at least 2 past its start.

    Returns:
        (S,) index of the farthest vertex and (S,) the square of its distance.
    """
    inner, stretch = _ranges(starts + 1, ends)
    x_along, y_along = points[:, ends] - points[:, starts]
    length = x_along**2 + y_along**2
    length[length == 0] = 1
    x, y = points[:, inner] - points[:, starts[stretch]]
    share = x * (x_along / length)[stretch] + y * (y_along / length)[stretch]
    np.clip(share, 0, 1, out=share)
    x -= share * x_along[stretch]
    y -= share * y_along[stretch]
    squared = x * x + y * y
    counts = ends - starts - 1
    largest = np.maximum.reduceat(squared, np.cumsum(counts) - counts)
    reached = np.flatnonzero(squared == largest[stretch])
    is_first = np.diff(stretch[reached], prepend=-1) > 0
    return inner[reached[is_first]], largest
