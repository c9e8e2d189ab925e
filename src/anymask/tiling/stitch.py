"""Pieces of many tiles to objects: which pieces are one object, and what the object is then.

Two tiles see the strip where their windows overlap in full, so pieces of one object agree there: their IoU inside the
strip tells them from an object and its part, which the share of the smaller piece would not. Agreement is carried on
from tile to tile, however long the chain, and depends on no order.

Of an object that several windows show whole, the piece of the tile whose core holds its centre counts, by itself. An
object that windows cut is the union of its pieces. A piece that is cut, agrees with none and has its centre outside of
its tile's core is a rest of something that another tile has seen better, and goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..masks.rle import Rle, rle_area
from .grid import Box, Tile, overlap_xyxy, overlapping_pairs
from .pieces import Piece, PieceStore, merge_pieces

SAME_OBJECT_IOU = 0.5
"""IoU inside the strip of two windows from which two pieces are one object."""

HELD_SHARE = 0.8
"""Share of a cut piece, inside the strip, that another must hold for the one to be a branch of the other."""


class StitchedObject(NamedTuple):
    """One object of a large image.

    Attributes:
        box_xyxy: In pixels of the large image, right and lower edge excluded.
        rle: Its mask inside the box, COCO's compressed RLE.
        area: Pixels of the mask.
        score: Predicted IoU, of the largest piece.
        stability: Stability score, of the largest piece.
        points_xy: The prompts that found its pieces, in pixels of the large image.
    """

    box_xyxy: Box
    rle: Rle
    area: int
    score: float
    stability: float
    points_xy: tuple[tuple[float, float], ...]


Part = tuple[Box, np.ndarray]
"""Of a mask what lies in some box, in pixels of the image, and the pixels there."""


class _Reference(NamedTuple):
    """What is kept in memory of a piece: where it is, and what the choice among pieces asks."""

    tile: int
    position: int
    box_xyxy: Box
    is_cut: bool
    is_own: bool
    depth: float  # how far its centre lies inside its tile's core, negative outside


def stitch_objects(tiles: Sequence[Tile], store: PieceStore) -> Iterator[StitchedObject]:
    """The objects of an image, from top to bottom, one at a time; memory holds no masks but those of a few tiles.

    Args:
        tiles: Of the grid, all of them in `store`.
        store: Their pieces.
    """
    references, first_of_tile = _references(tiles, store)
    groups = _groups(len(references), _links(tiles, store, first_of_tile))
    chosen = [kept for group in groups if (kept := _choose([references[member] for member in group]))]
    chosen.sort(key=lambda group: (*_corner(group), group))
    for group in chosen:
        yield _make_object([store.get(tiles[member.tile])[member.position] for member in group])


def _references(tiles: Sequence[Tile], store: PieceStore) -> tuple[list[_Reference], list[int]]:
    references: list[_Reference] = []
    first_of_tile: list[int] = []
    for number, tile in enumerate(tiles):
        first_of_tile.append(len(references))
        for position, piece in enumerate(store.get(tile)):
            depth = _depth(piece.centre_xy, tile.core_xyxy)
            references.append(
                _Reference(number, position, piece.box_xyxy, piece.is_cut, is_own=depth >= 0, depth=depth)
            )
    return references, first_of_tile


def _depth(centre_xy: tuple[float, float], core_xyxy: Box) -> float:
    (x, y), (left, top, right, bottom) = centre_xy, core_xyxy
    # The right and the lower edge are the next tile's.
    return min(x - left, y - top, np.nextafter(right - x, -1), np.nextafter(bottom - y, -1))


def _links(tiles: Sequence[Tile], store: PieceStore, first_of_tile: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of pieces, by their number among all, that are one object."""
    links: list[tuple[int, int]] = []
    for first, second in overlapping_pairs(tiles):
        strip = overlap_xyxy(tiles[first].window_xyxy, tiles[second].window_xyxy)
        if strip is None:
            continue
        left, right = store.get(tiles[first]), store.get(tiles[second])
        links.extend((first_of_tile[first] + i, first_of_tile[second] + j) for i, j in _matches(left, right, strip))
    return links


def _matches(left: Sequence[Piece], right: Sequence[Piece], strip: Box) -> set[tuple[int, int]]:
    """Pieces of two tiles that are one object, by their positions.

    Those that are each other's best match are: an object and its part agree too, but less. A piece that is cut and has
    no such match may be one branch of what the other tile sees joined, and is the smallest that holds it.
    """
    parts, others = _in_strip(left, strip), _in_strip(right, strip)
    shared = np.array([[count_shared(part, other) for other in others.values()] for part in parts.values()])
    if shared.size == 0:
        return set()
    areas, other_areas = (np.array([np.count_nonzero(mask) for _, mask in some.values()]) for some in (parts, others))
    ious = shared / (areas[:, None] + other_areas - shared)
    is_best = (ious == ious.max(axis=1, keepdims=True)) & (ious == ious.max(axis=0)) & (ious >= SAME_OBJECT_IOU)
    cut, other_cut = (np.array([some[i].is_cut for i in inside]) for some, inside in ((left, parts), (right, others)))
    holds = shared >= HELD_SHARE * areas[:, None]
    held = _smallest(holds & (cut & ~is_best.any(axis=1))[:, None], np.broadcast_to(other_areas, ious.shape), axis=1)
    held_by = shared >= HELD_SHARE * other_areas
    other_held = _smallest(
        held_by & other_cut & ~is_best.any(axis=0), np.broadcast_to(areas[:, None], ious.shape), axis=0
    )
    names, other_names = list(parts), list(others)
    return {(names[i], other_names[j]) for i, j in np.argwhere(is_best | held | other_held)}


def _smallest(allowed: np.ndarray, areas: np.ndarray, axis: int) -> np.ndarray:
    """Of what is allowed, the smallest along an axis."""
    sizes = np.where(allowed, areas, np.inf)
    return allowed & (sizes == sizes.min(axis=axis, keepdims=True))


def _in_strip(pieces: Sequence[Piece], strip: Box) -> dict[int, Part]:
    """What lies of each piece inside a strip, by its position; those that do not reach it are left out."""
    inside = {}
    for position, piece in enumerate(pieces):
        box = overlap_xyxy(piece.box_xyxy, strip)
        if box is not None:
            left, top = piece.box_xyxy[:2]
            mask = piece.mask()[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
            if mask.any():
                inside[position] = (box, mask)
    return inside


def count_shared(part: Part, other: Part) -> int:
    """How many pixels two masks have in common, each with the box that it fills."""
    (box, mask), (other_box, other_mask) = part, other
    both = overlap_xyxy(box, other_box)
    if both is None:
        return 0
    left, top, right, bottom = both
    inside = mask[top - box[1] : bottom - box[1], left - box[0] : right - box[0]]
    other_inside = other_mask[top - other_box[1] : bottom - other_box[1], left - other_box[0] : right - other_box[0]]
    return int(np.count_nonzero(inside & other_inside))


def _groups(count: int, links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Numbers 0 to count - 1 in groups that links hold together, directly or by others."""
    firsts, seconds = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(firsts), dtype=bool), (firsts, seconds)), shape=(count, count))
    _, group_of = connected_components(graph, directed=False)
    order = np.argsort(group_of, kind="stable")
    return [part.tolist() for part in np.split(order, np.flatnonzero(np.diff(group_of[order])) + 1) if len(part)]


def _choose(group: Sequence[_Reference]) -> tuple[_Reference, ...]:
    """The pieces of a group that make its object; none if another tile has seen it better."""
    if any(member.is_cut for member in group):
        return tuple(group) if len(group) > 1 or group[0].is_own else ()
    best = max(group, key=lambda member: (member.depth, -member.tile, -member.position))
    return (best,) if best.is_own or len(group) > 1 else ()


def _corner(group: Sequence[_Reference]) -> tuple[int, int]:
    return min(member.box_xyxy[1] for member in group), min(member.box_xyxy[0] for member in group)


def _make_object(pieces: Sequence[Piece]) -> StitchedObject:
    largest = max(pieces, key=lambda piece: (piece.area, piece.box_xyxy))
    if len(pieces) == 1:
        box, rle, area = largest.box_xyxy, largest.rle, largest.area
    else:
        box, rle = merge_pieces(pieces)
        area = rle_area(rle)
    points = tuple(piece.point_xy for piece in pieces if piece.point_xy is not None)
    return StitchedObject(box, rle, area, largest.score, stability=largest.stability, points_xy=points)
