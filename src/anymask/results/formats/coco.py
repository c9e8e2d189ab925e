"""COCO JSON: one file for a data set, masks as compressed RLE or as polygons.

Boxes are COCO's: x, y, width and height of the area that the pixels cover, so that width is the number of columns.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...masks.polygons import Polygon, polygons_to_rle
from ...masks.record import MaskRecord, make_record, rle_of
from ...masks.rle import Rle, rle_to_coco
from ...support.atomic_files import write_json
from .annotated_image import (
    Annotated,
    AnnotatedImage,
    ClassNames,
    box_to_rle,
    checked_rle,
    checked_size_hw,
    choose_ids,
    class_name_of,
    class_number_of,
    first_of_each_class,
    join_outlines,
    polygons_of,
    without_nan,
)
from .files import Entries, FilePath, read_json, reading

Facts = dict[str, Any]  # fields of a record that say nothing of its mask
_FORMAT = "COCO JSON"
# Keys of a record that COCO says in its own way; all others are written and read as they are.
_IN_ITS_OWN_WAY = ("segmentation", "area", "bbox", "label", "supercategory", "id", "image_id", "predicted_iou", "score")


def coco_document(
    images: Sequence[Annotated],
    *,
    segmentation: str = "rle",
    tolerance: float = 0.0,
    class_names: ClassNames | None = None,
) -> dict[str, Any]:
    """Make a data set of COCO, ready for JSON and for `pycocotools`.

    Ids of images, annotations and categories that came from a file stay, as far as each is only one's; others are the
    free numbers from 1 on.

    Args:
        images: records, size and name of each image.
        segmentation: "rle" keeps masks exactly. "polygons" suits programs that read nothing else; holes are joined to
            their outline by seams, and a mask without pixels stays RLE.
        tolerance: in pixels, of the polygons.
        class_names: the categories: names in order, numbered from 1, or names by their ids; by default those of the
            records in order of appearance. A record without a label is an "object".

    Returns:
        "images", "annotations" and "categories". A predicted IoU is the "score" of its annotation, unless the record
        has a score of its own.

    Raises:
        ValueError: If `segmentation` is unknown, or a label is not among the class names.
    """
    if segmentation not in ("rle", "polygons"):
        raise ValueError(f'`segmentation` must be "rle" or "polygons", got {segmentation!r}.')
    categories = categories_of(images, class_names)
    category_ids = {category["name"]: category["id"] for category in categories}
    image_ids = choose_ids([image.image_info.get("id") for image in images])
    ids = iter(choose_ids([record.get("id") for image in images for record in image.records]))
    annotations = []
    for image_id, image in zip(image_ids, images, strict=True):
        polygons = polygons_of(image, tolerance) if segmentation == "polygons" else [[] for _ in image.records]
        for record, parts in zip(image.records, polygons, strict=True):
            outlines = [join_outlines([part]).ravel().tolist() for part in parts]
            annotation = annotation_of(record, next(ids), image_id, category_ids[class_name_of(record)])
            annotations.append({**annotation, "segmentation": outlines or annotation["segmentation"]})
    image_entries = [
        {
            **image.image_info,
            "id": id_,
            "file_name": image.name or "",
            "height": image.size_hw[0],
            "width": image.size_hw[1],
        }
        for id_, image in zip(image_ids, images, strict=True)
    ]
    return {"images": image_entries, "annotations": annotations, "categories": categories}


def annotation_of(record: MaskRecord, id_: Any, image_id: Any, category_id: Any) -> dict[str, Any]:
    """Make an annotation of COCO, its mask as RLE."""
    record = without_nan(record)
    x, y, width, height = record["bbox"]
    edge = 1 if record["area"] else 0  # from centres of pixels to their edges
    scores = {"score": record["predicted_iou"]} if record.get("predicted_iou") is not None else {}
    if "score" in record:  # a detector's, beside the model's
        scores = {"score": record["score"], **({"predicted_iou": scores["score"]} if scores else {})}
    return {
        "iscrowd": 0,
        **{key: value for key, value in record.items() if key not in _IN_ITS_OWN_WAY},
        "id": id_,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": rle_to_coco(rle_of(record)),
        "area": record["area"],
        "bbox": [x, y, width + edge, height + edge],
        **scores,
    }


def categories_of(images: Sequence[Annotated], class_names: ClassNames | None) -> list[dict[str, Any]]:
    """List the categories of the records, each with "id", "name" and, where it is known, "supercategory".

    Raises:
        ValueError: If a label is not among the class names.
    """
    first_of = first_of_each_class(record for image in images for record in image.records)
    if class_names is None:
        ids = choose_ids([class_number_of(record) for record in first_of.values()])
        names = dict(zip(ids, first_of, strict=True))
    else:
        names = dict(class_names if isinstance(class_names, Mapping) else enumerate(class_names, start=1))
        if unknown := [label for label in first_of if label not in names.values()]:
            raise ValueError(
                f"`class_names` must hold every label, but {unknown[0]!r} is missing from {list(names.values())}."
            )
    categories = []
    for id_, name in names.items():
        group = first_of[name].get("supercategory") if name in first_of else None
        categories.append({"id": id_, "name": name, **({} if group is None else {"supercategory": group})})
    return categories


def write_coco(path: FilePath, images: Sequence[Annotated], **options: Any) -> None:
    """Write the masks of images as one data set.

    Args:
        path: of the file.
        images: records, size and name of each image; `Results` are such.
        **options: of `coco_document`: `segmentation`, `tolerance`, `class_names`.
    """
    write_json(path, coco_document(images, **options), indent=None)


def write_coco_of(
    path: FilePath,
    annotated: Annotated,
    *,
    segmentation: str = "rle",
    tolerance: float = 0.0,
    class_names: ClassNames | None = None,
) -> None:
    """Write the masks of one image as a data set; see `coco_document`."""
    write_coco(path, [annotated], segmentation=segmentation, tolerance=tolerance, class_names=class_names)


def read_coco(path: FilePath) -> list[AnnotatedImage]:
    """Read a data set of COCO: all its images in order, those without annotations too.

    Polygons are filled by pixel centres, and areas and boxes are taken from the masks. An annotation that has a box and
    no mask gets the mask of its box, with a warning; one that is not understood is passed over, with another.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut off, or not of this format; the message says where.
    """
    return read_coco_document(path, read_json(path, _FORMAT))


def read_coco_document(path: FilePath, document: dict[str, Any]) -> list[AnnotatedImage]:
    """`read_coco` of a document that is read already, or of a part of it; `path` is for messages.

    Raises:
        ValueError: If it is not of this format; the message says where.
    """
    categories = read_categories(path, document)
    with reading(path, _FORMAT, "the file"):
        images = _images(path, document["images"])
        annotations = list(document.get("annotations") or [])
    entries = Entries(path, "annotation")
    for annotation in entries.each(annotations):
        with entries.passed_over_if_wrong():
            image = images.get(str(annotation["image_id"]))
            if image is None:
                raise ValueError(f"its image_id {annotation['image_id']} must be that of an image of the file.")
            image.records.append(record_from(annotation, image.size_hw, categories, entries))
    entries.warn()
    return list(images.values())


def read_coco_of(path: FilePath, *, name: str | None = None) -> AnnotatedImage:
    """Read one image of a data set of COCO.

    Args:
        path: of the file.
        name: of the image's file; needed where there are several.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not of this format, or has another number of images of this name than one.
    """
    images = read_coco(path)
    chosen = images if name is None else [image for image in images if image.name == name]
    if len(chosen) != 1:
        raise ValueError(
            f"{path} must hold one image{f' named {name!r}' if name else ''}, got {len(chosen)} of {len(images)}; pass "
            "the `name` of one, or read all with anymask.results.formats.coco.read_coco."
        )
    return chosen[0]


def _images(path: FilePath, image_entries: Sequence[Any]) -> dict[str, AnnotatedImage]:
    """Read the images by their ids as text: files mix 7 and "7"."""
    images: dict[str, AnnotatedImage] = {}
    entries = Entries(path, "image")
    for entry in entries.each(image_entries):
        with entries.passed_over_if_wrong():
            info = dict(entry)
            size_hw = checked_size_hw(info.pop("height"), info.pop("width"))
            if str(info["id"]) in images:
                raise ValueError(f"its id {info['id']} must be its own, but an earlier image has it.")
            name = info.pop("file_name", None) or None
            images[str(info["id"])] = AnnotatedImage([], size_hw, name, image_info=info)
    entries.warn()
    return images


def read_categories(path: FilePath, document: dict[str, Any]) -> dict[str, Facts]:
    """Return what records of a category say about it, by the category's id as text."""
    with reading(path, _FORMAT, "the file"):
        category_entries = list(document.get("categories") or [])
    categories: dict[str, Facts] = {}
    entries = Entries(path, "category", "categories")
    for entry in entries.each(category_entries):
        with entries.passed_over_if_wrong():
            group = entry.get("supercategory")
            categories[str(entry["id"])] = {
                "label": entry["name"],
                "category_id": entry["id"],
                **({} if group is None else {"supercategory": group}),
            }
    entries.warn()
    return categories


def record_from(
    annotation: Mapping[str, Any], size_hw: tuple[int, int], categories: Mapping[str, Facts], entries: Entries
) -> MaskRecord:
    """Make the record of an annotation, whatever its mask is kept as."""
    more = {key: annotation[key] for key in annotation if key not in _IN_ITS_OWN_WAY}
    more |= {key: annotation[key] for key in ("id", "predicted_iou") if annotation.get(key) is not None}
    if annotation.get("score") is not None:
        more["score" if "predicted_iou" in more else "predicted_iou"] = annotation["score"]
    more |= categories.get(str(annotation.get("category_id")), {})
    return make_record(_rle(annotation, size_hw, entries), **more)


def _rle(annotation: Mapping[str, Any], size_hw: tuple[int, int], entries: Entries) -> Rle:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, Mapping):
        return checked_rle(segmentation, size_hw)
    # Some programs write the numbers of a single polygon without the list around it.
    flat = segmentation if not segmentation or isinstance(segmentation[0], list) else [segmentation]
    outlines = [np.asarray(numbers, dtype=np.float64).reshape(-1, 2) for numbers in flat or []]
    whole = [Polygon(outline, []) for outline in outlines if len(outline) >= 3]
    if whole:
        return polygons_to_rle(whole, size_hw)
    if annotation.get("bbox") is None and not outlines:
        raise KeyError("segmentation")
    if annotation.get("bbox") is None:
        raise ValueError(f"a polygon must have at least 3 vertices, got {len(outlines[0])}.")
    x, y, width, height = (float(number) for number in annotation["bbox"])
    entries.note("have a box and no mask; their masks are their boxes.")
    return box_to_rle((x, y, x + width, y + height), size_hw)
