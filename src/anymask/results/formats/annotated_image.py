"""What every format writes and reads: the records of one image, its size and its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...masks.polygons import Polygon, rles_to_polygons
from ...masks.record import MaskRecord, rle_of
from ...masks.rle import Rle, rle_to_runs

UNLABELLED = "object"  # what a mask without a label is called where a format wants a name


class Annotated(Protocol):
    """What a writer needs; `Results` and `AnnotatedImage` have it."""

    @property
    def records(self) -> Sequence[MaskRecord]:
        """One per mask."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image."""

    @property
    def name(self) -> str | None:
        """File name of the image, where it has one."""


@dataclass(frozen=True)
class AnnotatedImage:
    """What a reader found.

    Attributes:
        records: one per mask: "segmentation" (RLE), "area", "bbox" (see `MaskRecord`), and what else
            the format holds: "label", "predicted_iou", "stability_score", "point_coords", "crop_box".
        size_hw: height and width of the image.
        name: its file name, where the file says one.
    """

    records: list[MaskRecord]
    size_hw: tuple[int, int]
    name: str | None = None


def checked_size_hw(height: Any, width: Any) -> tuple[int, int]:
    """Height and width of an image as a file has them."""
    if not all(type(side) is int and side > 0 for side in (height, width)):
        raise ValueError(f"an image's height and width must be whole numbers above 0, got {height!r} and {width!r}.")
    return height, width


def checked_rle(segmentation: Any, size_hw: tuple[int, int]) -> Rle:
    """An RLE as a file has it, if it is whole and of the image's size."""
    if tuple(segmentation["size"]) != size_hw:
        raise ValueError(
            f"its mask must have the image's size, height x width = {size_hw}, got {tuple(segmentation['size'])}."
        )
    rle_to_runs(segmentation)
    return {"size": list(size_hw), "counts": segmentation["counts"]}


def polygons_of(annotated: Annotated, tolerance: float, holes: bool = True) -> list[list[Polygon]]:
    """The polygons of every record; see `rle_to_polygons`."""
    return rles_to_polygons([rle_of(record) for record in annotated.records], tolerance, holes)


def joined(polygons: Sequence[Polygon]) -> np.ndarray:
    """Outlines and holes as one closed line (K, 2), for formats that have room for one.

    The rings are joined by seams that go there and back along the same line and so enclose nothing: the mask that the
    line encloses is that of the polygons.
    """
    rings = [ring for outer, holes in polygons for ring in (outer, *holes)]
    line = rings[0]
    for ring in rings[1:]:
        nearest = int(((line - ring[0]) ** 2).sum(axis=1).argmin())
        line = np.concatenate([line[: nearest + 1], ring, ring[:1], line[nearest:]])
    return line
