"""What every format writes and reads: the records of one image, its size and its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...masks.polygons import Polygon, rles_to_polygons
from ...masks.rle import Rle, as_rle, rle_area, rle_to_box_xyxy, rle_to_runs

Record = dict[str, Any]

UNLABELLED = "object"  # what a mask without a label is called where a format wants a name


class Annotated(Protocol):
    """What a writer needs; `Results` and `AnnotatedImage` have it."""

    @property
    def records(self) -> Sequence[Record]:
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
        records: one per mask: "segmentation" (RLE), "area", "bbox" (x, y, width, height; see `bbox_of`), and what else
            the format holds: "label", "predicted_iou", "stability_score", "point_coords", "crop_box".
        size_hw: height and width of the image.
        name: its file name, where the file says one.
    """

    records: list[Record]
    size_hw: tuple[int, int]
    name: str | None = None


def rle_of(record: Mapping[str, Any]) -> Rle:
    """The mask of a record as RLE, compressed or not, whatever form it is kept in."""
    return as_rle(record["segmentation"])


def bbox_of(rle: Rle) -> list[int]:
    """Box [x, y, width, height] of a mask as Meta's records have it: it spans the centres of the outermost pixels."""
    x0, y0, x1, y1 = rle_to_box_xyxy(rle)
    return [x0, y0, x1 - x0, y1 - y0]


def record_of(rle: Rle, **more: Any) -> Record:
    """A record of a mask, its area and box taken from the mask itself."""
    return {"segmentation": rle, "area": rle_area(rle), "bbox": bbox_of(rle), **more}


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
