"""COCO JSON: one file for a data set, masks as compressed RLE or as polygons.

Boxes are COCO's: x, y, width and height of the area that the pixels cover, so that width is the number of columns.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...masks.polygons import polygons_to_rle
from ...masks.record import MaskRecord, make_record, rle_of
from ...masks.rle import rle_to_coco
from .annotated_image import UNLABELLED, Annotated, AnnotatedImage, checked_rle, checked_size_hw, joined, polygons_of
from .files import FilePath, read_json, reading, write_json

_FORMAT = "COCO JSON"
_AS_THEY_ARE = ("stability_score", "point_coords", "crop_box")


def coco_document(
    images: Sequence[Annotated],
    *,
    segmentation: str = "rle",
    tolerance: float = 0.0,
    class_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """A data set of COCO, ready for JSON and for `pycocotools`.

    Args:
        images: records, size and name of each image.
        segmentation: "rle" keeps masks exactly. "polygons" suits programs that read nothing else; holes are joined to
            their outline by seams, and a mask without pixels stays RLE.
        tolerance: in pixels, of the polygons.
        class_names: the categories, in order; by default the labels of the records in order of appearance. A record
            without a label is an "object".

    Returns:
        "images", "annotations" and "categories". A predicted IoU is the "score" of its annotation.
    """
    if segmentation not in ("rle", "polygons"):
        raise ValueError(f'`segmentation` must be "rle" or "polygons", got {segmentation!r}.')
    labels = dict.fromkeys(record.get("label") or UNLABELLED for image in images for record in image.records)
    names = list(labels) if class_names is None else list(class_names)
    if unknown := [label for label in labels if label not in names]:
        raise ValueError(f"`class_names` must hold every label, but {unknown[0]!r} is missing from {names}.")
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        polygons = polygons_of(image, tolerance) if segmentation == "polygons" else [[] for _ in image.records]
        for record, parts in zip(image.records, polygons, strict=True):
            x, y, width, height = record["bbox"]
            edge = 1 if record["area"] else 0  # from centres of pixels to their edges
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": category_ids[record.get("label") or UNLABELLED],
                "segmentation": [joined([part]).ravel().tolist() for part in parts] or rle_to_coco(rle_of(record)),
                "area": record["area"],
                "bbox": [x, y, width + edge, height + edge],
                "iscrowd": 0,
                **{key: value for key, value in record.items() if key in _AS_THEY_ARE},
            }
            if "predicted_iou" in record:
                annotation["score"] = record["predicted_iou"]
            annotations.append(annotation)
    return {
        "images": [
            {"id": image_id, "file_name": image.name or "", "height": image.size_hw[0], "width": image.size_hw[1]}
            for image_id, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }


def write_coco(path: FilePath, images: Sequence[Annotated], **options: Any) -> None:
    """Writes the masks of images as one data set; options are those of `coco_document`."""
    write_json(path, coco_document(images, **options))


def read_coco(path: FilePath) -> list[AnnotatedImage]:
    """Reads a data set of COCO: all its images in order, those without annotations too.

    Polygons are filled by pixel centres, and areas and boxes are taken from the masks.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is cut off, or not of this format; the message says where.
    """
    return read_coco_document(path, read_json(path, _FORMAT))


def read_coco_document(path: FilePath, document: dict[str, Any]) -> list[AnnotatedImage]:
    """`read_coco` of a document that is read already, or of a part of it; `path` is for messages."""
    images: dict[Any, AnnotatedImage] = {}
    with reading(path, _FORMAT, "the file"):
        image_entries, annotations = list(document["images"]), list(document["annotations"])
        labels = {category["id"]: category["name"] for category in document.get("categories", [])}
    for number, image in enumerate(image_entries, start=1):
        with reading(path, _FORMAT, f"image {number}"):
            size_hw = checked_size_hw(image["height"], image["width"])
            if image["id"] in images:
                raise ValueError(f"its id {image['id']} must be its own, but an earlier image has it.")
            images[image["id"]] = AnnotatedImage([], size_hw, image.get("file_name") or None)
    for number, annotation in enumerate(annotations, start=1):
        with reading(path, _FORMAT, f"annotation {number}"):
            if annotation["image_id"] not in images:
                raise ValueError(f"its image_id {annotation['image_id']} must be that of an image of the file.")
            image = images[annotation["image_id"]]
            image.records.append(_record(annotation, image.size_hw, labels))
    return list(images.values())


def _record(annotation: dict[str, Any], size_hw: tuple[int, int], labels: dict[Any, str]) -> MaskRecord:
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        rle = checked_rle(segmentation, size_hw)
    else:
        outlines = [np.asarray(flat, dtype=np.float64).reshape(-1, 2) for flat in segmentation]
        if short := [len(outline) for outline in outlines if len(outline) < 3]:
            raise ValueError(f"a polygon must have at least 3 vertices, got {short[0]}.")
        rle = polygons_to_rle([(outline, []) for outline in outlines], size_hw)
    more = {key: annotation[key] for key in _AS_THEY_ARE if key in annotation}
    if "score" in annotation:
        more["predicted_iou"] = annotation["score"]
    if annotation.get("category_id") in labels:
        more["label"] = labels[annotation["category_id"]]
    return make_record(rle, **more)
