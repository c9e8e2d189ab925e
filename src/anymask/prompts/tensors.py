"""Point, label and box prompts: nested in, checked, scaled to the model's input, and padded to tensors.

`SamProcessor` is the door; the table of accepted nestings is in its docstring. Here every prompt becomes a list of
objects per image, each with points, labels and a box, or some of these. Where all objects have the same prompts they
become dense tensors. Where they differ, boxes are written as two points with labels of their own and the rest is filled
with padding that the model masks out, so that any mix is one `input_points` and one `input_labels`. Mask prompts are in
`mask_prompts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..geometry.coordinates import (
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_FOREGROUND,
    LABEL_NOT_A_POINT,
    LABEL_PADDING,
    LABELS,
    ResizeGeometry,
)
from .nested import depths_of, nested_prompts, shape_of, to_lists

_POINT_FORMS = "[image][object][point][x, y] or [image][point][x, y]"
_LABEL_FORMS = "[image][object][point] or [image][point]"
_BOX_FORMS = "[image][object][x0, y0, x1, y1]"

OVERSHOOT = 1.0
"""Pixels by which points and boxes may leave their image and are clipped: what detectors and rounding leave."""


@dataclass(frozen=True)
class ObjectPrompt:
    """Prompts of one object in model pixels.

    Attributes:
        points_xy_model: (points, 2) float32, or None.
        labels: (points,) int64, or None where there are no points.
        box_xyxy_model: (4,) float32, or None.
    """

    points_xy_model: np.ndarray | None
    labels: np.ndarray | None
    box_xyxy_model: np.ndarray | None

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Points (K, 2) and labels (K,) that say the same, the box as two points."""
        points, labels = [], []
        if self.points_xy_model is not None and self.labels is not None:
            points.append(self.points_xy_model)
            labels.append(self.labels)
        if self.box_xyxy_model is not None:
            points.append(self.box_xyxy_model.reshape(2, 2))
            labels.append(np.array([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT]))
        return np.concatenate(points), np.concatenate(labels)


def prepare_prompts(
    input_points: Any, input_labels: Any, input_boxes: Any, geometries: Sequence[ResizeGeometry]
) -> dict[str, torch.Tensor]:
    """Nested prompts in pixels of the original images to what the model's forward takes.

    Args:
        input_points: see `SamProcessor`.
        input_labels: see `SamProcessor`.
        input_boxes: see `SamProcessor`.
        geometries: one per image.

    Returns:
        Where all objects have equally many points and all or none have a box: `input_points` (B, P, K, 2) float32,
        `input_labels` (B, P, K) int64 if labels were given, `input_boxes` (B, P, 4) float32. Otherwise `input_points`
        and `input_labels` alone.

    Raises:
        ValueError: a prompt is nested wrongly, does not match the others, or lies outside its image.
    """
    if input_points is None and input_labels is not None:
        raise ValueError("`input_labels` must come with `input_points`; got labels alone.")
    if input_points is None and input_boxes is None:
        return {}
    images = _object_prompts(input_points, input_labels, input_boxes, geometries)
    if not any(images):
        raise ValueError(
            "There must be at least one point or box, got empty prompts for every image. "
            "To segment everything, use SamMaskGenerator."
        )
    if _is_uniform(images):
        return _dense(images, keep_labels=input_labels is not None)
    return _padded(images)


def _object_prompts(
    input_points: Any, input_labels: Any, input_boxes: Any, geometries: Sequence[ResizeGeometry]
) -> list[list[ObjectPrompt]]:
    """The objects of each image."""
    n_images = len(geometries)
    points = nested_prompts("input_points", input_points, 4, 2, n_images, _POINT_FORMS)
    labels = nested_prompts("input_labels", input_labels, 3, None, n_images, _LABEL_FORMS)
    boxes = nested_prompts("input_boxes", input_boxes, 3, 4, n_images, _BOX_FORMS)
    label_depths = {depth + 1 for depth in depths_of(to_lists("input_labels", input_labels))}
    if label_depths and label_depths != depths_of(to_lists("input_points", input_points)):
        raise ValueError(
            "`input_labels` must be nested like `input_points`, one label per point; got points of shape "
            f"{shape_of(input_points)} and labels of shape {shape_of(input_labels)}."
        )
    images = []
    for index, geometry in enumerate(geometries):
        counts = {len(kind[index]) for kind in (points, labels, boxes) if kind[index]}
        if len(counts) > 1:
            raise ValueError(
                f"Points, labels and boxes of an image must be of the same objects; image {index} has points for "
                f"{len(points[index])} objects, labels for {len(labels[index])} and boxes for {len(boxes[index])} "
                f"(`input_points` {shape_of(input_points)}, `input_labels` {shape_of(input_labels)}, `input_boxes` "
                f"{shape_of(input_boxes)}). Use None for an object without one of them."
            )
        n_objects = counts.pop() if counts else 0
        objects = []
        for number in range(n_objects):
            point, label, box = (kind[index][number] if kind[index] else None for kind in (points, labels, boxes))
            objects.append(_object_prompt(f"[{index}][{number}]", point, label, box, geometry))
        images.append(objects)
    return images


def _object_prompt(where: str, points: Any, labels: Any, box: Any, geometry: ResizeGeometry) -> ObjectPrompt:
    """Checks the prompts of one object, in original pixels, and scales them."""
    if points is None and box is None:
        raise ValueError(f"Every object must have points or a box; object {where} (image, object) has neither.")
    if points is None and labels is not None:
        raise ValueError(f"`input_labels`{where} must come with points, got labels {labels} and no points.")
    points_model = labels_array = box_model = None
    if points is not None:
        points_array = np.asarray(points, dtype=np.float32)
        labels_array = _labels(where, labels, len(points_array))
        is_place = ~np.isin(labels_array, (LABEL_PADDING, LABEL_NOT_A_POINT))
        points_array[is_place] = _clipped(f"`input_points`{where}", points_array[is_place], geometry)
        points_model = geometry.points_to_model(points_array)
    if box is not None:
        box_array = _clipped(f"`input_boxes`{where}", np.asarray(box, dtype=np.float32).reshape(2, 2), geometry).ravel()
        if box_array[0] >= box_array[2] or box_array[1] >= box_array[3]:
            raise ValueError(
                f"`input_boxes`{where} must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1 in pixels, got {box}. "
                "A box given as x, y, width, height needs x1 = x + width and y1 = y + height."
            )
        box_model = geometry.boxes_to_model(box_array)
    return ObjectPrompt(points_model, labels_array, box_model)


def _labels(where: str, labels: Any, n_points: int) -> np.ndarray:
    if labels is None:
        return np.full(n_points, LABEL_FOREGROUND, dtype=np.int64)
    if len(labels) != n_points:
        raise ValueError(
            f"There must be one label per point; `input_labels`{where} has {len(labels)} for {n_points} points."
        )
    array = np.asarray(labels)
    unknown = sorted(set(array[~np.isin(array, LABELS)].tolist()))
    if unknown:
        raise ValueError(
            f"`input_labels`{where} must be 1 (foreground), 0 (background), 2 and 3 (corners of a box), -1 (not a "
            f"point) or -10 (padding), got {unknown}."
        )
    return array.astype(np.int64)


def _clipped(name: str, points_xy: np.ndarray, geometry: ResizeGeometry) -> np.ndarray:
    """The points, those clipped that leave their image by no more than `OVERSHOOT`."""
    height, width = geometry.original_size_hw
    clipped = points_xy.clip(0, (width, height)).astype(np.float32)
    # Written so that NaN, which compares false with everything, is outside.
    inside = (np.abs(points_xy - clipped) <= OVERSHOOT).all(axis=-1)
    if not inside.all():
        raise ValueError(
            f"{name} must lie in its image, x in [0, {width}] and y in [0, {height}] pixels, "
            f"got {points_xy[~inside].tolist()}. Coordinates are those of the original image, x first; clip overshoots "
            f"of more than {OVERSHOOT:g} pixel."
        )
    return clipped


def _is_uniform(images: list[list[ObjectPrompt]]) -> bool:
    """Whether all images have equally many objects, and all objects equally many points, and all or none a box."""
    objects = [prompt for image in images for prompt in image]
    n_points = {None if prompt.labels is None else len(prompt.labels) for prompt in objects}
    has_box = {prompt.box_xyxy_model is not None for prompt in objects}
    return len({len(image) for image in images}) == len(n_points) == len(has_box) == 1


def _dense(images: list[list[ObjectPrompt]], keep_labels: bool) -> dict[str, torch.Tensor]:
    tensors = {}
    first = images[0][0]
    if first.points_xy_model is not None:
        points = np.array([[prompt.points_xy_model for prompt in image] for image in images], dtype=np.float32)
        tensors["input_points"] = torch.from_numpy(points)
        if keep_labels:
            labels = np.array([[prompt.labels for prompt in image] for image in images], dtype=np.int64)
            tensors["input_labels"] = torch.from_numpy(labels)
    if first.box_xyxy_model is not None:
        boxes = np.array([[prompt.box_xyxy_model for prompt in image] for image in images], dtype=np.float32)
        tensors["input_boxes"] = torch.from_numpy(boxes)
    return tensors


def _padded(images: list[list[ObjectPrompt]]) -> dict[str, torch.Tensor]:
    """Boxes folded into points, and objects and points filled up with padding."""
    folded = [[prompt.folded() for prompt in image] for image in images]
    n_objects = max(len(image) for image in folded)
    n_points = max(len(labels) for image in folded for _, labels in image)
    points = torch.full((len(images), n_objects, n_points, 2), float(LABEL_PADDING))
    labels = torch.full((len(images), n_objects, n_points), LABEL_PADDING, dtype=torch.int64)
    for index, image in enumerate(folded):
        for number, (object_points, object_labels) in enumerate(image):
            points[index, number, : len(object_labels)] = torch.from_numpy(object_points)
            labels[index, number, : len(object_labels)] = torch.from_numpy(object_labels)
    return {"input_points": points, "input_labels": labels}


def count_objects(prompts: dict[str, torch.Tensor], n_images: int) -> list[int]:
    """How many objects each image has in what `prepare_prompts` returned, padding not counted."""
    if "input_labels" in prompts:
        is_object = (prompts["input_labels"] != LABEL_PADDING).any(dim=-1)
        return is_object.sum(dim=-1).tolist()
    return [next(iter(prompts.values())).shape[1] if prompts else 0] * n_images
