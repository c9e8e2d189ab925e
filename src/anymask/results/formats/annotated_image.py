"""What every format writes and reads: the records of one image, its size and its name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ...masks.polygons import Polygon, polygons_to_rle, rles_to_polygons
from ...masks.record import MaskRecord, rle_of
from ...masks.rle import Rle, rle_to_runs

ClassNames = Sequence[str] | Mapping[int, str]
"""Names of classes, in order or by their numbers."""

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

    @property
    def image(self) -> Any:
        """The image, or where it is, or None."""

    @property
    def image_info(self) -> Mapping[str, Any]:
        """What else a file said about the image, such as its "id" in COCO."""


@dataclass(frozen=True)
class AnnotatedImage:
    """What a reader found.

    Attributes:
        records: one per mask: "segmentation" (RLE), "area", "bbox" (x, y, width, height; see `MaskRecord`), and
            what else the format holds: "label", "id", "category_id", "iscrowd", "supercategory", "predicted_iou",
            "stability_score", "point_coords", "crop_box".
        size_hw: height and width of the image in pixels.
        name: its file name, where the file says one.
        image: where it is, if the file says so and it is there.
        image_info: what else the file says about the image.
    """

    records: list[MaskRecord]
    size_hw: tuple[int, int]
    name: str | None = None
    image: Any = None
    image_info: Mapping[str, Any] = field(default_factory=dict)


def without_nan(record: MaskRecord) -> MaskRecord:
    """Return a record with None for what is NaN or infinite, which JSON does not know and most programs refuse."""
    plain: Any = {
        key: None if isinstance(value, float | np.floating) and not np.isfinite(value) else value
        for key, value in record.items()
    }
    return plain


def label_of(record: Mapping[str, Any]) -> str | None:
    """Return what the object of a record is called, or None; a number, 0 among them, is a name like any other."""
    label = record.get("label")
    return None if label is None or label == "" else str(label)


def class_name_of(record: Mapping[str, Any]) -> str:
    """Return the label of a record, else the number of its class, else "object"."""
    return label_of(record) or str(record.get("category_id", UNLABELLED))


def first_of_each_class(records: Iterable[MaskRecord]) -> dict[str, MaskRecord]:
    """Return the first record of each class, by the class's name, in order of appearance."""
    first_of: dict[str, MaskRecord] = {}
    for record in records:
        first_of.setdefault(class_name_of(record), record)
    return first_of


def class_number_of(record: Mapping[str, Any]) -> Any:
    """Return the number of a record's class: its "category_id", or a label that is a number, or None."""
    label = record.get("label")
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return record.get("category_id", int(label))
    return record.get("category_id")


def choose_ids(own: Sequence[Any], first: int = 1) -> list[Any]:
    """Choose an id for each entry of a file: its own, where no earlier entry has it, else a free number.

    Args:
        own: ids that entries came with, None where they have none.
        first: where free numbers begin.
    """
    taken = {id_ for id_ in own if id_ is not None}
    free = (number for number in itertools.count(first) if number not in taken)
    seen: set[Any] = set()
    ids = []
    for id_ in own:
        ids.append(next(free) if id_ is None or id_ in seen else id_)
        seen.add(id_)
    return ids


def checked_size_hw(height: Any, width: Any) -> tuple[int, int]:
    """Check height and width of an image as a file has them: whole numbers above 0, perhaps as text or with a point.

    Raises:
        ValueError: If they are not.
    """
    try:
        sides = [float(side) for side in (height, width)]
        if all(side > 0 and side.is_integer() for side in sides):
            return int(sides[0]), int(sides[1])
    except (TypeError, ValueError):
        pass
    raise ValueError(f"an image's height and width must be whole numbers above 0, got {height!r} and {width!r}.")


def checked_rle(segmentation: Any, size_hw: tuple[int, int]) -> Rle:
    """Return an RLE as a file has it, if it is whole and of the image's size, which is looked at first.

    Raises:
        ValueError: If it is not.
    """
    if tuple(segmentation["size"]) != size_hw:
        raise ValueError(
            f"its mask must have the image's size, height x width = {size_hw}, got {tuple(segmentation['size'])}."
        )
    rle = {"size": list(size_hw), "counts": segmentation["counts"]}
    rle_to_runs(rle)
    return rle


def box_to_rle(box_xyxy: Sequence[float] | np.ndarray, size_hw: tuple[int, int]) -> Rle:
    """Return the mask of a box: pixels whose centres lie inside; what is beyond the image is cut off."""
    x0, y0, x1, y1 = (float(edge) for edge in box_xyxy)
    return polygons_to_rle([(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), [])], size_hw)


def polygons_of(annotated: Annotated, tolerance: float, holes: bool = True) -> list[list[Polygon]]:
    """Return the polygons of every record; see `rle_to_polygons`."""
    return rles_to_polygons([rle_of(record) for record in annotated.records], tolerance, holes)


def join_outlines(polygons: Sequence[Polygon]) -> np.ndarray:
    """Join outlines and holes to one closed line (K, 2), for formats that have room for one.

    The rings are joined by seams that go there and back along the same line and so enclose nothing: the mask that the
    line encloses is that of the polygons.
    """
    rings = [ring for outer, holes in polygons for ring in (outer, *holes)]
    line = rings[0]
    for ring in rings[1:]:
        nearest = int(((line - ring[0]) ** 2).sum(axis=1).argmin())
        line = np.concatenate([line[: nearest + 1], ring, ring[:1], line[nearest:]])
    return line
