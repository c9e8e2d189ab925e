"""LabelMe's JSON: one file per image, next to it, which the program opens for editing.

Parts of one mask are polygons that share a `group_id`. A polygon there has no holes, so a hole is joined to its outline
by a seam, which encloses nothing.

Source: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...images.load import as_rgb_uint8, image_size_hw, load_image
from ...masks.clean_up import CleanUp
from ...masks.polygons import Polygon, polygons_to_rle, rle_to_polygons, rles_to_polygons
from ...masks.record import make_record, rle_of
from ...masks.rle import mask_to_rle
from ...support.atomic_files import write_json
from .annotated_image import (
    Annotated,
    AnnotatedImage,
    checked_size_hw,
    class_name_of,
    join_outlines,
)
from .files import Entries, FilePath, read_json, reading

_FORMAT = "JSON of LabelMe"
_VERSION = "5.4.1"  # of LabelMe, whose layout this is
_CIRCLE_VERTICES = 180
# X-AnyLabeling, which shares the format, calls boxes with an angle "rotation".
_OUTLINES = ("polygon", "rotation", "quadrilateral", "oriented_rectangle")


def write_labelme(
    path: FilePath, annotated: Annotated, *, tolerance: float = 1.0, min_area: int = 16, image: Any = None
) -> None:
    """Write the masks of one image; a mask without pixels is left out, with a warning.

    Outlines are fit for editing: a mask as a model gives it has a corner for every pixel of its edge, and specks.
    `tolerance=0, min_area=0` keeps it exactly.

    Args:
        path: where to.
        annotated: records, size and name of an image. A mask without a label is an "object".
        tolerance: in pixels, how far the outlines may be from the mask's.
        min_area: parts and holes of fewer pixels are left out; the largest part stays whatever its size.
        image: the image's path, which the file then names as it is found from there; by default that of the results,
            or else their name, as of a file in the same folder.
    """
    shapes: list[dict[str, Any]] = []
    clean_up = CleanUp(min_hole_area=min_area, min_island_area=min_area)
    of_records = rles_to_polygons([clean_up.apply(rle_of(record))[0] for record in annotated.records], tolerance)
    for index, (record, polygons) in enumerate(zip(annotated.records, of_records, strict=True)):
        shapes += [
            {
                "label": class_name_of(record),
                "points": join_outlines([polygon]).tolist(),
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
        "imagePath": _path_from(Path(path), annotated.image if image is None else image) or annotated.name or "",
        "imageData": None,
        "imageHeight": annotated.size_hw[0],
        "imageWidth": annotated.size_hw[1],
    }
    write_json(path, document, indent=None)


def read_labelme(path: FilePath, *, image: Any = None) -> AnnotatedImage:
    """Read the masks of one image: polygons, rectangles, rotated or not, circles and masks.

    Shapes of one label and one `group_id` are one mask. Outlines are filled by pixel centres. Shapes of other kinds,
    and those that are not understood, are passed over with a warning.

    Args:
        path: of the file.
        image: of the masks; for files that do not say its size and have no image in or beside them.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut off, or not of this format; the message says where.
    """
    document = read_json(path, _FORMAT)
    with reading(path, _FORMAT, "the file"):
        shapes, name = list(document["shapes"] or []), document.get("imagePath") or None
        beside = None if name is None else Path(path).parent / name.replace("\\", "/")  # as Windows writes it
        found = beside if beside is not None and beside.is_file() else None
        size_hw = _size_hw(document, found if image is None else image)
    masks: dict[Any, list[Polygon]] = {}
    labels: dict[Any, str] = {}
    entries = Entries(path, "shape")
    for number, shape in enumerate(entries.each(shapes), start=1):
        with entries.passed_over_if_wrong():
            label, group = shape["label"], shape.get("group_id")
            polygons = _polygons(shape, size_hw)
            key = ("shape", number) if group is None else ("group", group, str(label))
            labels[key] = label
            masks.setdefault(key, []).extend(polygons)
    entries.warn()
    records = [make_record(polygons_to_rle(parts, size_hw), label=labels[key]) for key, parts in masks.items()]
    return AnnotatedImage(records, size_hw, name, image=None if found is None else str(found))


def _path_from(json_path: Path, image: Any) -> str | None:
    """Return the path of an image as it is found from a file's folder, with slashes as LabelMe writes them."""
    if not isinstance(image, str | os.PathLike) or "://" in str(image) or not Path(image).is_file():
        return None
    try:
        return Path(os.path.relpath(image, json_path.parent)).as_posix()
    except ValueError:  # on another drive of Windows
        return Path(image).absolute().as_posix()


def _size_hw(document: dict[str, Any], image: Any) -> tuple[int, int]:
    height, width = document.get("imageHeight"), document.get("imageWidth")
    if height is not None and width is not None:
        return checked_size_hw(height, width)
    if image is not None:
        return image_size_hw(load_image(image))
    if document.get("imageData"):
        return image_size_hw(load_image(base64.b64decode(document["imageData"])))
    raise ValueError("it does not say the image's size and there is no image beside it; pass `image`.")


def _polygons(shape: dict[str, Any], size_hw: tuple[int, int]) -> list[Polygon]:
    kind = shape.get("shape_type") or "polygon"
    if kind not in (*_OUTLINES, "rectangle", "circle", "mask"):
        raise ValueError(f"a {kind} is no mask.")
    points = np.asarray(shape["points"], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("its points must be finite numbers, got NaN or infinity.")
    if kind in _OUTLINES:
        if len(points) < 3:
            raise ValueError(f"a {kind} must have 3 points or more, got {len(points)}.")
        return [Polygon(points, [])]
    if len(points) < 2:
        raise ValueError(f"a {kind} must have 2 points, got {len(points)}.")
    if kind == "rectangle":  # two corners, or all four
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        return [Polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), [])]
    (x0, y0), (x1, y1) = points[:2]
    if kind == "circle":  # its centre, and a point on it
        angles = np.linspace(0, 2 * np.pi, _CIRCLE_VERTICES, endpoint=False)
        around = np.hypot(x1 - x0, y1 - y0) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return [Polygon(around + (x0, y0), [])]
    pixels = as_rgb_uint8(base64.b64decode(shape["mask"]))[:, :, 0] > 0
    # The image's part from the first point on, as large as the mask; what lies outside of the image is cut off.
    pixels = pixels[max(-round(y0), 0) :, max(-round(x0), 0) :]
    top, left = max(round(y0), 0), max(round(x0), 0)
    mask = np.zeros(size_hw, dtype=bool)
    target = mask[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    target[:] = pixels[: target.shape[0], : target.shape[1]]
    return rle_to_polygons(mask_to_rle(mask))
