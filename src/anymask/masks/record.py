"""The one shape of a mask record: what is known of one mask of one image, ready for JSON but for a dense mask.

Fields, order and conventions are those of Meta's generator, so files and programs made for it read ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from .rle import Rle, as_rle, rle_area, rle_to_box_xyxy, rle_to_coco, rle_to_mask

SEGMENTATION_FORMS = ("binary_mask", "uncompressed_rle", "coco_rle")


class _Shape(TypedDict):
    segmentation: Any
    area: int
    bbox: list[int]


class MaskRecord(_Shape, total=False):
    """One mask, in pixels of its image, x to the right and y down. Every record has the first three fields.

    Attributes:
        segmentation: (H, W) bool, or its RLE, compressed or not.
        area: number of foreground pixels.
        bbox: [x, y, width, height] between the centres of the outermost pixels, as Meta's generator has it: the width
            is one less than the number of columns.
        predicted_iou: the model's own estimate of the mask's IoU with the truth.
        point_coords: [[x, y], ...], the points that asked for the mask.
        stability_score: how little the mask changes when its threshold moves, in [0, 1].
        crop_box: [x, y, width, height] of the part of the image that the model saw.
        label: what the mask shows.
        score: how sure the detector was that asked for the mask.
        object_id: number of the object in its session.
        prompt_index: number of the prompt, where one prompt has several masks.
        id: of the annotation in the file that it came from.
        category_id: number of its class, in the file or the detector that it came from.
        supercategory: the group of that class.
        iscrowd: 1 where the mask is of many objects at once, as COCO marks them.
    """

    predicted_iou: float
    point_coords: list[list[float]]
    stability_score: float
    crop_box: list[int]
    label: str
    score: float
    object_id: int
    prompt_index: int
    id: int | str
    category_id: int
    supercategory: str
    iscrowd: int


def make_record(
    rle: Rle, *, box_xyxy: Sequence[int] | None = None, form: str = "uncompressed_rle", **facts: Any
) -> MaskRecord:
    """Make the record of a mask.

    Args:
        rle: Of the mask, compressed or not.
        box_xyxy: Its box, last pixels included, where it is known already; else it is computed.
        form: Of "segmentation", one of `SEGMENTATION_FORMS`.
        **facts: Further fields.
    """
    box_xyxy = rle_to_box_xyxy(rle) if box_xyxy is None else box_xyxy
    shape = {"segmentation": to_form(rle, form), "area": rle_area(rle), "bbox": xyxy_to_xywh(box_xyxy)}
    return cast(MaskRecord, {**shape, **facts})


def complete_record(record: MaskRecord, index: int, size_hw: tuple[int, int]) -> MaskRecord:
    """Return a record with its area and box, which it may have come without.

    Args:
        record: With a mask of any form as "segmentation".
        index: Of the record among others, for the message.
        size_hw: Height and width of the image in pixels.

    Raises:
        ValueError: If there is no mask, or it is not of the image's size.
    """
    mask = record.get("segmentation") if isinstance(record, Mapping) else None
    is_mask = {"size", "counts"} <= mask.keys() if isinstance(mask, Mapping) else hasattr(mask, "shape")
    if mask is None or not is_mask:
        came = type(record).__name__ if mask is None else f"a {type(mask).__name__} as its mask"
        raise ValueError(f'record {index} must be a dict with a mask as "segmentation", array or RLE, got {came}.')
    size = tuple(mask["size"]) if isinstance(mask, Mapping) else tuple(mask.shape)
    if size != size_hw:
        raise ValueError(f"masks must have the image's size, height x width = {size_hw}, but mask {index} has {size}.")
    if "area" in record and "bbox" in record:
        return record
    return {**make_record(rle_of(record)), **record}


def rle_of(record: Mapping[str, Any]) -> Rle:
    """Return the mask of a record as RLE, compressed or not, whatever form it is kept in."""
    return as_rle(record["segmentation"])


def to_form(rle: Rle, form: str) -> Any:
    """Bring an RLE to one of `SEGMENTATION_FORMS`; as "uncompressed_rle" it is returned as it is."""
    if form == "binary_mask":
        return rle_to_mask(rle)
    return rle_to_coco(rle) if form == "coco_rle" else rle


def form_of(segmentation: Any) -> str:
    """Name the form of a mask, one of `SEGMENTATION_FORMS`."""
    if not isinstance(segmentation, Mapping):
        return "binary_mask"
    return "uncompressed_rle" if isinstance(segmentation["counts"], list) else "coco_rle"


def xyxy_to_xywh(box_xyxy: Sequence[int]) -> list[int]:
    """Convert a box x0, y0, x1, y1 to [x, y, width, height]."""
    x0, y0, x1, y1 = box_xyxy
    return [x0, y0, x1 - x0, y1 - y0]


def xywh_to_xyxy(box_xywh: Sequence[int]) -> list[int]:
    """Convert a box x, y, width, height to [x0, y0, x1, y1]."""
    x, y, width, height = box_xywh
    return [x, y, x + width, y + height]
