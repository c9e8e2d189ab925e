"""LabelMe's JSON: one file per image, next to it, which the program opens for editing.

Parts of one mask are polygons that share a `group_id`. A polygon there has no holes, so a hole is joined to its outline
by a seam, which encloses nothing.

Source: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import warnings
from typing import Any

import numpy as np

from ...images.load import as_rgb_uint8
from ...masks.polygons import Polygon, polygons_to_rle, rle_to_polygons
from ...masks.record import make_record
from ...masks.rle import mask_to_rle
from .annotated_image import UNLABELLED, Annotated, AnnotatedImage, checked_size_hw, joined, polygons_of
from .files import FilePath, read_json, reading, write_json

_FORMAT = "JSON of LabelMe"
_VERSION = "5.4.1"  # of LabelMe, whose layout this is
_CIRCLE_VERTICES = 180


def write_labelme(path: FilePath, annotated: Annotated, *, tolerance: float = 0.0) -> None:
    """Writes the masks of one image; a mask without pixels is left out, with a warning.

    Args:
        path: where to; LabelMe looks for the image beside it, under the name that the records have.
        annotated: records, size and name of an image. A mask without a label is an "object".
        tolerance: in pixels, how far the outlines may be from the mask's.
    """
    shapes: list[dict[str, Any]] = []
    of_records = polygons_of(annotated, tolerance)
    for index, (record, polygons) in enumerate(zip(annotated.records, of_records, strict=True)):
        shapes += [
            {
                "label": record.get("label") or UNLABELLED,
                "points": joined([polygon]).tolist(),
                "group_id": index if len(polygons) > 1 else None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
            for polygon in polygons
        ]
    if empty := sum(not polygons for polygons in of_records):
        warnings.warn(f"{empty} masks without pixels were left out: LabelMe has no shape for them.", stacklevel=2)
    document: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": annotated.name or "",
        "imageData": None,
        "imageHeight": annotated.size_hw[0],
        "imageWidth": annotated.size_hw[1],
    }
    write_json(path, document)


def read_labelme(path: FilePath) -> AnnotatedImage:
    """Reads the masks of one image: polygons, rectangles, circles and masks. Points and lines are passed over.

    Shapes of one label and one `group_id` are one mask. Outlines are filled by pixel centres.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is cut off, or not of this format; the message says where.
    """
    document = read_json(path, _FORMAT)
    with reading(path, _FORMAT, "the file"):
        size_hw = checked_size_hw(document["imageHeight"], document["imageWidth"])
        shapes, name = list(document["shapes"]), document.get("imagePath")
    masks: dict[Any, list[Polygon]] = {}
    labels: dict[Any, str] = {}
    passed_over = set()
    for number, shape in enumerate(shapes, start=1):
        with reading(path, _FORMAT, f"shape {number}"):
            kind = shape.get("shape_type") or "polygon"
            if kind in ("point", "points", "line", "linestrip"):
                passed_over.add(kind)
                continue
            group = shape.get("group_id")
            key = ("shape", number) if group is None else ("group", group, shape["label"])
            labels[key] = shape["label"]
            masks.setdefault(key, []).extend(_polygons(shape, kind, size_hw))
    if passed_over:
        warnings.warn(f"{path} holds shapes that are no masks, passed over: {sorted(passed_over)}.", stacklevel=2)
    records = [make_record(polygons_to_rle(parts, size_hw), label=labels[key]) for key, parts in masks.items()]
    return AnnotatedImage(records, size_hw, name or None)


def _polygons(shape: dict[str, Any], kind: str, size_hw: tuple[int, int]) -> list[Polygon]:
    points = np.asarray(shape["points"], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("its points must be finite numbers, got NaN or infinity.")
    if kind == "polygon":
        if len(points) < 3:
            raise ValueError(f"a polygon must have 3 points or more, got {len(points)}.")
        return [Polygon(points, [])]
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"its shape_type must be polygon, rectangle, circle or mask, got {kind!r}.")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return [Polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), [])]
    if kind == "circle":  # its centre, and a point on it
        angles = np.linspace(0, 2 * np.pi, _CIRCLE_VERTICES, endpoint=False)
        around = np.hypot(x1 - x0, y1 - y0) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return [Polygon(around + (x0, y0), [])]
    pixels = as_rgb_uint8(base64.b64decode(shape["mask"]))[:, :, 0] > 0
    # The image's part from the first point on, as large as the mask.
    top, left = max(round(y0), 0), max(round(x0), 0)
    mask = np.zeros(size_hw, dtype=bool)
    target = mask[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    target[:] = pixels[: target.shape[0], : target.shape[1]]
    return rle_to_polygons(mask_to_rle(mask))
