"""Pieces: what one tile shows of an object, kept in a file for each tile until all tiles are done.

A piece's mask lies in its own box, so that neither memory nor a file grows with the image. A tile's file appears whole
or not at all, so that a run that was stopped goes on with the tiles that are missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..masks.measures import find_window
from ..masks.rle import Rle, mask_to_rle, rle_to_coco, rle_to_mask, rle_to_runs, runs_to_rle, split_at_columns
from ..support.atomic_files import keep_settings, write_json
from .grid import Box, Tile

TILES_IN_MEMORY = 16


@dataclass(frozen=True)
class Piece:
    """An object as one tile shows it.

    Attributes:
        box_xyxy: In pixels of the large image, right and lower edge excluded.
        rle: Its mask inside the box, COCO's compressed RLE.
        area: Pixels of the mask.
        centre_xy: Mean of the pixels' centres, in pixels of the large image.
        is_cut: Whether the window's edge cuts the object off.
        score: Predicted IoU.
        stability: Stability score.
        point_xy: The prompt that found it, in pixels of the large image.
    """

    box_xyxy: Box
    rle: Rle
    area: int
    centre_xy: tuple[float, float]
    is_cut: bool
    score: float
    stability: float
    point_xy: tuple[float, float] | None

    def mask(self) -> np.ndarray:
        """The mask (height, width) of bool inside the box."""
        return rle_to_mask(self.rle)


def place_runs(rle: Rle, box_xyxy: Sequence[int], height: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs of a mask inside a box, in column-major pixels of an image of some height."""
    box_height = rle["size"][0]
    starts, ends = split_at_columns(*rle_to_runs(rle), box_height)
    columns = starts // box_height
    shift = (columns + box_xyxy[0]) * height + box_xyxy[1] - columns * box_height
    return starts + shift, ends + shift


def make_piece(mask: np.ndarray, left_top: tuple[int, int], **facts: Any) -> Piece | None:
    """A piece from a mask (height, width) of bool whose corner lies at `left_top`; None for an empty one."""
    window = find_window(mask)
    if window is None:
        return None
    (top, bottom), (left, right) = ((part.start, part.stop) for part in window)
    inside = mask[window]
    box = (left + left_top[0], top + left_top[1], right + left_top[0], bottom + left_top[1])
    area = int(inside.sum())
    x = float((inside.sum(axis=0) * np.arange(right - left)).sum() / area) + box[0] + 0.5
    y = float((inside.sum(axis=1) * np.arange(bottom - top)).sum() / area) + box[1] + 0.5
    return Piece(box, rle_to_coco(mask_to_rle(inside)), area, (x, y), **facts)


def merge_pieces(pieces: Sequence[Piece]) -> tuple[Box, Rle]:
    """The union of some pieces: its box, and its mask inside the box as COCO's compressed RLE."""
    edges = np.array([piece.box_xyxy for piece in pieces])
    left, top, right, bottom = (int(edge) for edge in (*edges[:, :2].min(axis=0), *edges[:, 2:].max(axis=0)))
    height = bottom - top
    parts = [place_runs(piece.rle, (piece.box_xyxy[0] - left, piece.box_xyxy[1] - top), height) for piece in pieces]
    starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(starts, kind="stable")
    return (left, top, right, bottom), rle_to_coco(runs_to_rle(starts[order], ends[order], (height, right - left)))


class PieceStore:
    """The pieces of all tiles, a file each in one folder.

    Args:
        folder: Made if it is not there.
        settings: What the pieces follow from; a folder of other settings is refused.

    Raises:
        ValueError: If the folder holds the tiles of another run.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any]):
        self.folder = Path(folder)
        keep_settings(self.folder, settings)
        self._load = lru_cache(maxsize=TILES_IN_MEMORY)(self._read)

    def __contains__(self, tile: Tile) -> bool:
        return self._path(tile).exists()

    def put(self, tile: Tile, pieces: Sequence[Piece]) -> None:
        """Keep the pieces of a tile."""
        write_json(self._path(tile), [vars(piece) for piece in pieces], indent=None)

    def get(self, tile: Tile) -> list[Piece]:
        """The pieces of a tile, in the order in which they were put."""
        return self._load(tile)

    def _read(self, tile: Tile) -> list[Piece]:
        pieces = json.loads(self._path(tile).read_bytes())
        return [
            Piece(
                **{
                    **piece,
                    "box_xyxy": tuple(piece["box_xyxy"]),
                    "centre_xy": tuple(piece["centre_xy"]),
                    "point_xy": None if piece["point_xy"] is None else tuple(piece["point_xy"]),
                }
            )
            for piece in pieces
        ]

    def _path(self, tile: Tile) -> Path:
        return self.folder / f"{tile.name}.json"
