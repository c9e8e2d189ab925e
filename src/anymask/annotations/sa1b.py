"""The JSON of the SA-1B data set: one file per image, masks as compressed RLE, every field of Meta's generator.

Source: https://github.com/facebookresearch/segment-anything#dataset
"""

from __future__ import annotations

from typing import Any

from ..rle import rle_to_coco
from .annotated_image import Annotated, rle_of
from .files import FilePath, write_json


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


def write_sa1b(path: FilePath, annotated: Annotated, info: dict[str, Any] | None = None) -> None:
    """Writes the masks of one image; see `sa1b_document`."""
    write_json(path, sa1b_document(annotated, info))
