"""A detector's boxes, from COCO's list of results, for the images of a COCO file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MOST_IN_AN_IMAGE = 100  # of which COCO's AP is made; more would be prompts for nothing


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image, the surest first.

    Attributes:
        boxes_xyxy: (N, 4) float32, outer edges in pixels of the image.
        labels: names of categories.
        scores: (N,) float32.
    """

    boxes_xyxy: np.ndarray
    labels: list[str]
    scores: np.ndarray


@dataclass(frozen=True)
class DetectionFile:
    """The detections of a file: by the name of the image, where there are any."""

    path: str
    by_image: Mapping[str, Detections]


def read_detections(path: str | Path, coco_path: str | Path) -> DetectionFile:
    """Read COCO's list of results: `[{"image_id": 1, "category_id": 3, "bbox": [x, y, w, h], "score": 0.9}, ...]`.

    Of each image the 100 with the highest scores are kept.

    Args:
        path: of the list.
        coco_path: of the COCO file whose images and categories it speaks of.

    Raises:
        OSError: If the list cannot be read.
        ValueError: If they are not what they should be, or a detection is of an unknown image or category.
    """
    try:
        document = json.loads(Path(coco_path).read_text(encoding="utf-8"))
        images = {image["id"]: str(image["file_name"]) for image in document["images"]}
        categories = {category["id"]: str(category["name"]) for category in document["categories"]}
    except (OSError, ValueError, TypeError, KeyError) as error:  # other data has no file of that name
        raise ValueError(
            f"Detections must come with data in COCO JSON, which has their images and categories, but of {coco_path}: "
            f"{error!r}."
        ) from error
    try:
        results = [
            (result["image_id"], result["category_id"], float(result["score"]), *map(float, result["bbox"]))
            for result in json.loads(Path(path).read_text(encoding="utf-8"))
        ]
        boxes_xywh = np.array([result[3:] for result in results], dtype=np.float32).reshape(-1, 4)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} must be COCO's list of results, each with image_id, category_id, score and bbox [x, y, width, "
            f"height], but: {error!r}."
        ) from error
    for place, (image_id, category_id, *_) in enumerate(results):
        if image_id not in images or category_id not in categories or not (boxes_xywh[place, 2:] > 0).all():
            raise ValueError(
                f"{path} must have images and categories of {coco_path} and boxes with an area, but result {place} has "
                f"image_id {image_id!r}, category_id {category_id!r}, bbox {boxes_xywh[place].tolist()}."
            )
    scores = np.array([result[2] for result in results], dtype=np.float32)
    boxes_xyxy = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
    places: dict[str, list[int]] = {}
    for place in np.argsort(-scores, kind="stable").tolist():
        places.setdefault(images[results[place][0]], []).append(place)
    kept = {name: some[:MOST_IN_AN_IMAGE] for name, some in places.items()}
    by_image = {
        name: Detections(boxes_xyxy[some], [categories[results[place][1]] for place in some], scores[some])
        for name, some in kept.items()
    }
    return DetectionFile(str(path), by_image)
