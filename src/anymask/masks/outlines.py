"""The outlines of a mask: closed rings of corners of pixels, and the same with fewer vertices.

`polygons.py` puts the rings of each connected part together. No outline touches itself, and pixels that share only a
corner are of two parts. The work follows the runs of a mask, never its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .rle import Rle, rle_to_runs, split_at_columns


class Ring(NamedTuple):
    """One closed outline: which mask it is from, and which of its connected parts it belongs to."""

    xy: np.ndarray
    is_outer: bool
    part: int
    mask: int


def trace(rle: Rle, mask: int) -> list[Ring]:
    """All outlines of a mask, those of parts before those of their holes.

    The corners of the outlines are found first. On each vertical line between two columns they bound the vertical edges
    in pairs, on each horizontal line the horizontal edges, and walking these in turn closes the rings.

    Args:
        rle: the mask, compressed or not.
        mask: its number, which the rings are given.
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
            rings += [Ring(loop, _is_clockwise(loop), parts[ring], mask) for loop in _split_where_touching(xy)]
        else:
            rings.append(Ring(xy, bool(is_outer[ring]), parts[ring], mask))
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


def simplify(rings: Sequence[Ring], tolerance: float) -> list[Ring]:
    """Rings with as few of their vertices as Douglas and Peucker's method needs, holes that collapse left out.

    All stretches of all rings are split at once, so that the number of steps is the depth of the recursion.

    Args:
        rings: of any number of masks.
        tolerance: above 0; how far, in pixels, a vertex may lie from the outline that leaves it out.

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
    inner, stretch = ranges(starts + 1, ends)
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


def ranges(firsts: np.ndarray, lasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers first, ..., last - 1 of many ranges one after another, and which range each is from."""
    lengths = np.maximum(lasts - firsts, 0)
    which = np.repeat(np.arange(len(firsts)), lengths)
    return np.arange(len(which)) - (np.cumsum(lengths) - lengths - firsts)[which], which
