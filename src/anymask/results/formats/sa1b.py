"""Meta's JSON: the files of the SA-1B data set, and the lists that its script `amg.py --convert-to-rle` writes.

Both hold the records of the mask generator, masks as compressed RLE, with every field; SA-1B says the image too.

Source: https://github.com/facebookresearch/segment-anything#dataset, and scripts/amg.py there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...images.load import image_size_hw, load_image
from ...masks.record import MaskRecord, make_record, rle_of
from ...masks.rle import rle_to_coco
from ...support.atomic_files import write_json
from .annotated_image import (
    Annotated,
    AnnotatedImage,
    checked_rle,
    checked_size_hw,
    choose_ids,
    without_nan,
)
from .files import Entries, FilePath, read_json, reading

_SA1B, _AMG = "JSON of SA-1B", "a list as Meta's amg.py writes it"


def sa1b_document(annotated: Annotated, info: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make the document that `write_sa1b` writes, ready for JSON.

    Args:
        annotated: records, size and name of an image.
        info: about the file as a whole, such as the model's name; readers of SA-1B pass over it.
    """
    height, width = annotated.size_hw
    image = {**annotated.image_info, "file_name": annotated.name, "height": height, "width": width}
    ids = choose_ids([record.get("id") for record in annotated.records])
    annotations = [{**_written(record), "id": id_} for id_, record in zip(ids, annotated.records, strict=True)]
    return {**({"info": info} if info else {}), "image": image, "annotations": annotations}


def write_sa1b(path: FilePath, annotated: Annotated, *, info: dict[str, Any] | None = None) -> None:
    """Write the masks of one image; see `sa1b_document`."""
    write_json(path, sa1b_document(annotated, info), indent=None)


def write_amg(path: FilePath, annotated: Annotated) -> None:
    """Write the records of one image as Meta's `amg.py --convert-to-rle` does: a list and nothing around it."""
    write_json(path, [_written(record) for record in annotated.records], indent=None)


def read_sa1b(path: FilePath) -> AnnotatedImage:
    """Read the masks of one image, from SA-1B itself or written by `write_sa1b`.

    Areas and boxes are taken from the masks. An annotation that is not understood is passed over, with a warning.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut off, or not of this format; the message says where.
    """
    document = read_json(path, _SA1B)
    with reading(path, _SA1B, "its image"):
        info = dict(document["image"])
        size_hw = checked_size_hw(info.pop("height"), info.pop("width"))
        name = info.pop("file_name", None)
    with reading(path, _SA1B, "the file"):
        annotations = list(document.get("annotations") or [])
    return AnnotatedImage(_records(path, annotations, size_hw), size_hw, name, image_info=info)


def read_amg(path: FilePath, size_hw: Sequence[int] | None = None, *, image: Any = None) -> AnnotatedImage:
    """Read what Meta's `amg.py --convert-to-rle` wrote for one image; masks are RLE, compressed or not.

    Args:
        path: of the file.
        size_hw: height and width of the image in pixels; by default those of the image, or else of the first mask.
        image: of the masks.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut off, or not of this format; or it is empty, and nothing says the image's size.
    """
    records = read_json(path, _AMG, list)
    if size_hw is None and image is not None:
        size_hw = image_size_hw(load_image(image))
    if size_hw is None and not records:
        raise ValueError(f"{path} holds no mask and so does not say the image's size; pass `image`, or `size_hw`.")
    with reading(path, _AMG, "record 1"):
        height, width = records[0]["segmentation"]["size"] if size_hw is None else size_hw
        size_hw = checked_size_hw(height, width)
    return AnnotatedImage(_records(path, records, size_hw), size_hw)


def _written(record: MaskRecord) -> MaskRecord:
    return {**without_nan(record), "segmentation": rle_to_coco(rle_of(record))}


def _records(path: FilePath, annotations: Sequence[Any], size_hw: tuple[int, int]) -> list[MaskRecord]:
    records = []
    entries = Entries(path, "annotation")
    for annotation in entries.each(annotations):
        with entries.passed_over_if_wrong():
            more = {key: annotation[key] for key in annotation if key not in ("segmentation", "area", "bbox")}
            records.append(make_record(checked_rle(annotation["segmentation"], size_hw), **more))
    entries.warn()
    return records
