"""The JSON of the SA-1B data set: one file per image, masks as compressed RLE, every field of Meta's generator.

Source: https://github.com/facebookresearch/segment-anything#dataset
"""

from __future__ import annotations

from typing import Any

from ...masks.record import make_record, rle_of
from ...masks.rle import rle_to_coco
from .annotated_image import Annotated, AnnotatedImage, checked_rle, checked_size_hw
from .files import FilePath, read_json, reading, write_json

_FORMAT = "JSON of SA-1B"


def sa1b_document(annotated: Annotated, info: dict[str, Any] | None = None) -> dict[str, Any]:
    """The document that `write_sa1b` writes, ready for JSON.

    Args:
        annotated: records, size and name of an image.
        info: about the file as a whole, such as the model's name; readers of SA-1B pass over it.
    """
    height, width = annotated.size_hw
    image = {"file_name": annotated.name, "height": height, "width": width}
    annotations = [
        {"id": number, **record, "segmentation": rle_to_coco(rle_of(record))}
        for number, record in enumerate(annotated.records, start=1)
    ]
    return {**({"info": info} if info else {}), "image": image, "annotations": annotations}


def write_sa1b(path: FilePath, annotated: Annotated, *, info: dict[str, Any] | None = None) -> None:
    """Writes the masks of one image; see `sa1b_document`."""
    write_json(path, sa1b_document(annotated, info))


def read_sa1b(path: FilePath) -> AnnotatedImage:
    """Reads the masks of one image, from SA-1B itself or written by `write_sa1b`.

    Areas and boxes are taken from the masks.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is cut off, or not of this format; the message says where.
    """
    document = read_json(path, _FORMAT)
    with reading(path, _FORMAT, "its image"):
        image = document["image"]
        size_hw = checked_size_hw(image["height"], image["width"])
        name = image.get("file_name")
    records = []
    with reading(path, _FORMAT, "the file"):
        annotations = list(document["annotations"])
    for number, annotation in enumerate(annotations, start=1):
        with reading(path, _FORMAT, f"annotation {number}"):
            more = {key: annotation[key] for key in annotation if key not in ("id", "segmentation", "area", "bbox")}
            records.append(make_record(checked_rle(annotation["segmentation"], size_hw), **more))
    return AnnotatedImage(records, size_hw, name)
