"""What every format writes and reads: the records of one image, its size and its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..rle import Rle, as_rle, rle_area, rle_to_box_xyxy

Record = dict[str, Any]


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
