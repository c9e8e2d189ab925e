"""COCO JSON as a data set: the masks of an image are made when the image is read.

Crowd regions (`iscrowd`) are not objects: their pixels count as ignored.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...masks.rle import mask_to_rle, rle_to_mask
from ...results.formats.annotated_image import AnnotatedImage
from ...results.formats.coco import read_coco_document
from ...results.formats.files import read_json, reading
from ..samples import Entry, MaskDataset, Sample
from .files import read_image

_FORMAT = "COCO JSON with images and annotations"


def read_coco_dataset(path: str | Path, images: str | Path | None = None) -> MaskDataset:
    """Images of a COCO file that have annotations.

    Args:
        path: of the JSON file.
        images: folder that its file names are relative to; by default that of the file, or `images/` beside or above
            it, or any beside `annotations/`, wherever the first image is found.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not COCO, or its images are not to be found.
    """
    path = Path(path)
    document = read_json(path, _FORMAT)
    with reading(path, _FORMAT, "the file"):
        annotations: dict[str, list[dict[str, Any]]] = {}  # by ids as text: files mix 7 and "7"
        for annotation in document["annotations"]:
            annotations.setdefault(str(annotation["image_id"]), []).append(annotation)
        images_by_id = {str(image["id"]): image for image in document["images"]}
        # Slashes as Windows writes them, too.
        files = {
            image_id: str(image["file_name"]).replace("\\", "/")
            for image_id, image in images_by_id.items()
            if image_id in annotations
        }
    if not files:
        raise ValueError(f"{path} must have annotations of its images, got none.")
    folder = _image_folder(path, images, next(iter(files.values())))
    categories = document.get("categories", [])
    entries = [
        Entry(
            name,
            partial(
                _read,
                path,
                name,
                folder / name,
                image=images_by_id[image_id],
                annotations=annotations[image_id],
                categories=categories,
            ),
        )
        for image_id, name in files.items()
    ]
    alone = [f"image_id {image_id}" for image_id in annotations if image_id not in files]
    return MaskDataset(entries, str(path), alone)


def _image_folder(path: Path, images: str | Path | None, first: str) -> Path:
    if images is not None:
        return Path(images)
    # Exports put images beside the file; COCO itself has annotations/ beside images/ or train2017/.
    folders = [path.parent, path.parent / "images", path.parent.parent / "images"]
    if path.parent.name == "annotations":
        folders += [path.parent.parent, *(folder for folder in sorted(path.parent.parent.iterdir()) if folder.is_dir())]
    for folder in folders:
        if (folder / first).is_file():
            return folder
    raise ValueError(
        f"the images of {path} must lie beside it or in images/, but {first} is in neither; pass their folder as "
        "`images`."
    )


def _read(
    path: Path,
    name: str,
    image_path: Path,
    image: dict[str, Any],
    annotations: list[dict[str, Any]],
    categories: list[Any],
) -> Sample:
    pixels = read_image(image_path)
    # Some programs leave the image's size to the image.
    height, width = pixels.shape[:2]
    image = {**image, "height": image.get("height") or height, "width": image.get("width") or width}
    one: AnnotatedImage = read_coco_document(
        path, {"images": [image], "annotations": annotations, "categories": categories}
    )[0]
    objects, crowd = [], np.zeros(one.size_hw, dtype=bool)
    for record in one.records:
        if record.get("iscrowd"):
            crowd |= rle_to_mask(record["segmentation"])
        else:
            objects.append((record, record.get("id")))
    return Sample(
        name,
        pixels,
        [record["segmentation"] for record, _ in objects],
        [record.get("label") for record, _ in objects],
        object_ids=[object_id for _, object_id in objects],
        ignored=mask_to_rle(crowd) if crowd.any() else None,
    )
