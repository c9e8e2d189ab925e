"""Lists of results as COCO's evaluation takes them: for each mask its image, its category and its score.

Source: https://cocodataset.org/#format-results
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...support.atomic_files import write_json
from .annotated_image import Annotated, AnnotatedImage, ClassNames, checked_size_hw, choose_ids, class_name_of
from .coco import Facts, annotation_of, categories_of, read_categories, read_coco_document, record_from
from .files import Entries, FilePath, read_json

_FORMAT = "a list of COCO results"
_KEYS = ("image_id", "category_id", "segmentation", "bbox", "score")


def coco_results_of(images: Sequence[Annotated], *, class_names: ClassNames | None = None) -> list[dict[str, Any]]:
    """List the results of images, ready for JSON and for `pycocotools.coco.COCO.loadRes`.

    Args:
        images: with the ids of the data set in `image_info["id"]`, as `read_coco` gives them; else counted from 1.
        class_names: names in order, numbered from 1, or names by their ids; by default as in `coco_document`.

    Raises:
        ValueError: If a record has no score, or a label is not among the class names.
    """
    category_ids = {category["name"]: category["id"] for category in categories_of(images, class_names)}
    results = []
    for image_id, image in zip(choose_ids([image.image_info.get("id") for image in images]), images, strict=True):
        for number, record in enumerate(image.records, start=1):
            annotation = annotation_of(record, number, image_id, category_ids[class_name_of(record)])
            if "score" not in annotation:
                raise ValueError(f"results of COCO must have a score for every mask, but mask {number} has none.")
            results.append({key: annotation[key] for key in _KEYS})
    return results


def write_coco_results(path: FilePath, images: Sequence[Annotated], **options: Any) -> None:
    """Write the masks of images as a list of results; options are those of `coco_results_of`."""
    write_json(path, coco_results_of(images, **options), indent=None)


def write_coco_results_of(path: FilePath, annotated: Annotated, *, class_names: ClassNames | None = None) -> None:
    """Write the masks of one image as a list of results; see `coco_results_of`."""
    write_coco_results(path, [annotated], class_names=class_names)


def read_coco_results(path: FilePath, dataset: FilePath | None = None) -> list[AnnotatedImage]:
    """Read a list of results, by the images that it names, in order of appearance.

    Args:
        path: of the list.
        dataset: the COCO file that its ids are of: it gives images their names and sizes and classes their names.
            Without it an image has the size of its first mask, and results that are only boxes cannot be read.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If one is cut off, or not of its format.
    """
    of_dataset, categories = ([], {}) if dataset is None else _read_dataset(dataset)
    known = {str(image.image_info["id"]): image for image in of_dataset}
    images: dict[str, AnnotatedImage] = {}
    entries = Entries(path, "result")
    for result in entries.each(read_json(path, _FORMAT, list)):
        with entries.passed_over_if_wrong():
            key = str(result["image_id"])
            if key not in images:
                images[key] = _image(result, known.get(key), dataset)
            image = images[key]
            image.records.append(record_from(result, image.size_hw, categories, entries))
    entries.warn()
    return list(images.values())


def _read_dataset(path: FilePath) -> tuple[list[AnnotatedImage], dict[str, Facts]]:
    document = read_json(path, "COCO JSON")
    return read_coco_document(path, document), read_categories(path, document)


def read_coco_results_of(
    path: FilePath, *, image_id: int | str | None = None, dataset: FilePath | None = None
) -> AnnotatedImage:
    """Read the results of one image; its id is needed where there are several. See `read_coco_results`.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If one is not of its format, or there are results of another number of images than one.
    """
    images = read_coco_results(path, dataset)
    chosen = [image for image in images if image_id is None or str(image.image_info["id"]) == str(image_id)]
    if len(chosen) != 1:
        ids = [image.image_info["id"] for image in images]
        raise ValueError(f"{path} must hold results of one image, got them for {ids}; pass the `image_id` of one.")
    return chosen[0]


def _image(result: dict[str, Any], known: AnnotatedImage | None, dataset: FilePath | None) -> AnnotatedImage:
    if known is not None:
        return AnnotatedImage([], known.size_hw, known.name, image_info=known.image_info)
    if dataset is not None:
        raise ValueError(f"its image_id {result['image_id']} must be that of an image of {dataset}.")
    return AnnotatedImage([], checked_size_hw(*result["segmentation"]["size"]), image_info={"id": result["image_id"]})
