"""Segment everything in an image of any size: tile by tile, each object once.

Memory holds one window, the masks of a few tiles, and a few numbers for each object. What a tile shows lies in a file
until all tiles are done, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from ..masks.rle import (
    Rle,
    rle_area,
    rle_to_coco,
    rle_to_mask,
    rle_to_part,
    rle_to_runs,
    runs_to_rle,
    split_at_columns,
)
from .grid import Tile, cut_edges, make_grid, overlap_xyxy
from .pieces import Piece, PieceStore, make_piece
from .sources import LargeImage, Sliceable, large_image
from .stitch import SAME_OBJECT_IOU, StitchedObject, count_shared, stitch_objects

SAMPLE = 64  # side of the squares by which an image is known again, in pixels
WINDOW_PER_TOLERANCE = 128
"""A mask within this part of a window's side from its edge reaches it: masks are coarser than pixels."""


class Generator(Protocol):
    """What finds the masks of one window; `SamMaskGenerator` does."""

    def generate(self, image: Any, *, output_mode: str) -> list[Any]:
        """Records of masks, with "segmentation" as `output_mode` says."""


class TiledGenerator:
    """Finds and masks everything in an image that does not fit into memory, or into a model's eye.

    An object that tiles cut is one object, and each object is found once: see `stitch.py`.

    Args:
        generator: Finds the masks of each window, a `SamMaskGenerator`.
        tile: Side in pixels of the part of the image that a tile answers for.
        halo: Pixels that a tile sees around it, on each side. Objects smaller than this are whole in some window,
            wherever the grid starts.
        full_image: Whether the whole image is segmented once more, reduced, for what is larger than a tile sees.

    Examples:
        >>> import numpy as np
        >>> from anymask import SamMaskGenerator, SamModel, SamProcessor
        >>> from anymask.tiling.generator import TiledGenerator
        >>> model = SamModel.from_pretrained("sam-vit-nano")
        >>> processor = SamProcessor.from_pretrained("sam-vit-nano")
        >>> tiled = TiledGenerator(SamMaskGenerator(model, processor, points_per_side=2), tile=256, halo=64)
        >>> scene = np.zeros((300, 400, 3), dtype=np.uint8)  # or numpy.load("huge.npy", mmap_mode="r")
        >>> objects = list(tiled.generate(scene))
    """

    def __init__(self, generator: Generator, *, tile: int = 1024, halo: int = 256, full_image: bool = True):
        make_grid((1, 1), tile, halo)  # refuses sizes that cannot be
        self.generator, self.tile, self.halo, self.full_image = generator, tile, halo, full_image

    def generate(
        self,
        image: LargeImage | Sliceable,
        *,
        work_folder: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        progress: bool = False,
    ) -> Iterator[StitchedObject]:
        """Yield the objects of an image from top to bottom, then those that only the whole image shows.

        Args:
            image: A `LargeImage`, or anything with a shape and slices.
            work_folder: Where what is done is kept, so that a call after a stop goes on; None begins anew.
            settings: What else the masks follow from, such as the model's name: a folder made with others is refused.
            progress: Show a bar over tiles.

        Raises:
            ValueError: If `work_folder` holds tiles of another image or of other settings.
        """
        image = large_image(image)
        if work_folder is None:
            with tempfile.TemporaryDirectory() as folder:
                yield from self._generate(image, folder, settings or {}, progress)
        else:
            yield from self._generate(image, work_folder, settings or {}, progress)

    def _generate(
        self, image: LargeImage, folder: str | os.PathLike[str], settings: Mapping[str, Any], progress: bool
    ) -> Iterator[StitchedObject]:
        tiles = make_grid(image.size_hw, self.tile, self.halo)
        store = PieceStore(folder, self._settings(image, settings))
        for tile in tqdm(tiles, desc="Tiles", unit="tile", disable=not progress):
            if tile not in store:
                store.put(tile, self._pieces(image, tile))
        whole, factor = self._whole(image, store) if self.full_image and len(tiles) > 1 else ([], 1)
        seen = np.zeros(len(whole))
        for found in stitch_objects(tiles, store):
            seen = np.maximum(seen, _ious_reduced(whole, found, factor))
            yield found
        for number, piece in enumerate(whole):
            if seen[number] < SAME_OBJECT_IOU:
                yield _enlarge(piece, factor, image.size_hw)

    def _settings(self, image: LargeImage, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What the tiles follow from. Of the image its shape and nine samples: all pixels would take a reading more."""
        height, width = image.size_hw
        sampled = hashlib.sha256()
        for top, left in product((0, height // 2, height - 1), (0, width // 2, width - 1)):
            pixels, is_valid = image.read((left, top, min(left + SAMPLE, width), min(top + SAMPLE, height)))
            sampled.update(pixels.tobytes() + (b"" if is_valid is None else is_valid.tobytes()))
        digest = sampled.hexdigest()[:16]
        own = {"shape": list(image.pixels.shape), "pixels": digest, "bands": image.bands, "nodata": str(image.nodata)}
        has_mask = image.valid is not None
        return {**settings, **own, "valid": has_mask, "tile": self.tile, "halo": self.halo}

    def _pieces(self, image: LargeImage, tile: Tile) -> list[Piece]:
        left, top, right, bottom = tile.window_xyxy
        pixels, is_valid = image.read(tile.window_xyxy)
        tolerance = max(right - left, bottom - top) // WINDOW_PER_TOLERANCE
        pieces = []
        for record, mask in self._masks(pixels, is_valid):
            piece = make_piece(mask, (left, top), is_cut=False, **_facts(record, (left, top)))
            if piece is not None:
                is_cut = cut_edges(piece.box_xyxy, tile.window_xyxy, image.size_hw, tolerance)
                pieces.append(Piece(**{**vars(piece), "is_cut": is_cut}))
        return pieces

    def _masks(self, pixels: np.ndarray, is_valid: np.ndarray | None) -> Iterator[tuple[Mapping[str, Any], np.ndarray]]:
        """Records and masks (height, width) of bool of a window, without what shows nothing."""
        if is_valid is not None and not is_valid.any():
            return
        for record in self.generator.generate(pixels, output_mode="uncompressed_rle"):
            mask = rle_to_mask(record["segmentation"])
            yield record, mask if is_valid is None else mask & is_valid

    def _whole(self, image: LargeImage, store: PieceStore) -> tuple[list[Piece], int]:
        """Pieces of the reduced image that are larger than any window shows whole, in its pixels; pixels per pixel."""
        height, width = image.size_hw
        tile = Tile(-1, (0, 0, width, height), (0, 0, width, height))
        factor = max(1, -(-max(height, width) // self.tile))
        if tile not in store:
            pixels, is_valid, _ = image.read_small(self.tile, self.tile)
            pieces = [
                piece
                for record, mask in self._masks(pixels, is_valid)
                if (piece := make_piece(mask, (0, 0), is_cut=False, **_facts(record, (0, 0))))
                and factor * _longer_side(piece) > 2 * self.halo
            ]
            store.put(tile, pieces)
        return store.get(tile), factor


def _facts(record: Mapping[str, Any], left_top: tuple[int, int]) -> dict[str, Any]:
    """What a piece takes over from a record."""
    points = record.get("point_coords") or [None]
    point = None if points[0] is None else (float(points[0][0]) + left_top[0], float(points[0][1]) + left_top[1])
    return {
        "score": float(record["predicted_iou"]),
        "stability": float(record["stability_score"]),
        "point_xy": point,
    }


def _longer_side(piece: Piece) -> int:
    left, top, right, bottom = piece.box_xyxy
    return max(right - left, bottom - top)


def _ious_reduced(pieces: Sequence[Piece], found: StitchedObject, factor: int) -> np.ndarray:
    """IoU of each piece of the reduced image with an object of the image, in pixels of the reduced one."""
    ious = np.zeros(len(pieces))
    left, top, right, bottom = found.box_xyxy
    box = (-(-left // factor), -(-top // factor), -(-right // factor), -(-bottom // factor))
    if (box[2] - box[0]) * (box[3] - box[1]) == 0:
        return ious
    # What is much smaller or larger needs no look at its pixels.
    near = [
        number
        for number, piece in enumerate(pieces)
        if overlap_xyxy(piece.box_xyxy, box) and (box[2] - box[0]) * (box[3] - box[1]) >= SAME_OBJECT_IOU * piece.area
    ]
    if near:
        rows, columns = slice(box[1] * factor - top, None, factor), slice(box[0] * factor - left, None, factor)
        small = rle_to_part(found.rle, rows, columns)
        area = np.count_nonzero(small)
        for number in near:
            shared = count_shared((box, small), (pieces[number].box_xyxy, pieces[number].mask()))
            ious[number] = shared / (area + pieces[number].area - shared)
    return ious


def _enlarge(piece: Piece, factor: int, size_hw: tuple[int, int]) -> StitchedObject:
    """An object of the image from a piece of the reduced one: each pixel becomes a square."""
    height, width = size_hw
    left, top, right, bottom = piece.box_xyxy
    box = (left * factor, top * factor, min(right * factor, width), min(bottom * factor, height))
    rle = _enlarge_rle(piece.rle, factor, (box[3] - box[1], box[2] - box[0]))
    points = () if piece.point_xy is None else ((piece.point_xy[0] * factor, piece.point_xy[1] * factor),)
    return StitchedObject(box, rle, rle_area(rle), piece.score, stability=piece.stability, points_xy=points)


def _enlarge_rle(rle: Rle, factor: int, size_hw: tuple[int, int]) -> Rle:
    small_height, (height, width) = rle["size"][0], size_hw
    starts, ends = split_at_columns(*rle_to_runs(rle), small_height)
    columns = starts // small_height
    tops, bottoms = (starts - columns * small_height) * factor, (ends - columns * small_height) * factor
    run, offset = np.repeat(np.arange(len(starts)), factor), np.tile(np.arange(factor), len(starts))
    column = columns[run] * factor + offset
    inside = column < width
    run, column = run[inside], column[inside]
    first, last = column * height + tops[run], column * height + np.minimum(bottoms[run], height)
    order = np.argsort(first, kind="stable")
    return rle_to_coco(runs_to_rle(first[order], last[order], (height, width)))
