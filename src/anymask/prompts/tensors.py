"""From `Prompt`s in pixels of their images to the tensors that the model's forward takes.

Where all prompts say the same kinds of things they become dense tensors. Where they differ, boxes are written as two
points with labels of their own and the rest is filled with padding that the model masks out, so that any mix is one
`input_points` and one `input_labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..geometry.coordinates import (
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_PADDING,
    LABELS_WITHOUT_PLACE,
    ResizeGeometry,
)
from .mask_prompts import mask_to_logits
from .nested import read_nested_prompts
from .prompt import Prompt, check_prompt


def to_tensors(
    prompts: Sequence[Sequence[Prompt]],
    geometries: Sequence[ResizeGeometry],
    *,
    mask_geometries: Sequence[ResizeGeometry] | None = None,
    keep_labels: bool = True,
) -> dict[str, torch.Tensor]:
    """Bring prompts to the model's frame and to tensors, in float32.

    Args:
        prompts: Of each image, checked with `check_prompt`; what overshoots is clipped.
        geometries: The way of each image to the model's input.
        mask_geometries: The way of each image to the low-resolution frame, where masks are to be kept. Then either all
            images must have as many prompts, or none a mask.
        keep_labels: Whether to say that all points are foreground where they are and need no padding.

    Returns:
        `input_points` (B, P, K, 2), `input_labels` (B, P, K) int64 and `input_boxes` (B, P, 4) where all prompts have
        equally many points and all or none a box. Otherwise `input_points` and `input_labels` alone. Neither of them
        where no prompt has points or a box. `input_masks` (B, P, h, w) where some prompt has a mask; NaN throughout
        for one without.
    """
    everything = [prompt for image in prompts for prompt in image]
    if any(prompt.points_xy or prompt.box_xyxy is not None for prompt in everything):
        tensors = _dense(prompts, geometries, keep_labels) if _is_uniform(prompts) else _padded(prompts, geometries)
    else:
        tensors = {}
    if mask_geometries is not None and any(prompt.mask is not None for prompt in everything):
        images = zip(prompts, mask_geometries, strict=True)
        tensors["input_masks"] = torch.stack(
            [torch.stack([mask_to_logits(prompt.mask, geometry) for prompt in image]) for image, geometry in images]
        )
    return tensors


def prepare_prompts(
    input_points: Any, input_labels: Any, input_boxes: Any, geometries: Sequence[ResizeGeometry]
) -> dict[str, torch.Tensor]:
    """Read, check and bring to tensors what `SamProcessor` takes as points, labels and boxes.

    Args:
        input_points: See `SamProcessor`, in pixels of the original images, as the others.
        input_labels: Likewise.
        input_boxes: Likewise.
        geometries: The way of each image to the model's input.

    Returns:
        See `to_tensors`; `input_labels` only if they were given, or are needed for padding.

    Raises:
        ValueError: If a prompt is nested wrongly, does not match the others, or lies outside its image.
    """
    prompts = read_nested_prompts(input_points, input_labels, input_boxes, len(geometries))
    if input_points is None and input_boxes is None:
        return {}
    if not any(prompts):
        raise ValueError(
            "There must be at least one point or box, got empty prompts for every image. "
            "To segment everything, use SamMaskGenerator."
        )
    for index, (image, geometry) in enumerate(zip(prompts, geometries, strict=True)):
        for number, prompt in enumerate(image):
            check_prompt(prompt, geometry.original_size_hw, f" of prompt [{index}][{number}] (image, prompt)")
    return to_tensors(prompts, geometries, keep_labels=input_labels is not None)


def count_prompts(tensors: dict[str, torch.Tensor], n_images: int) -> list[int]:
    """Count the prompts of each image in what `to_tensors` returned, padding left out."""
    if "input_labels" in tensors and "input_boxes" not in tensors:  # boxes are there only where nothing is padded
        is_prompt = (tensors["input_labels"] != LABEL_PADDING).any(dim=-1)
        return is_prompt.sum(dim=-1).tolist()
    return [next(iter(tensors.values())).shape[1] if tensors else 0] * n_images


def _is_uniform(prompts: Sequence[Sequence[Prompt]]) -> bool:
    """Whether all images have equally many prompts, and all prompts equally many points, and all or none a box."""
    everything = [prompt for image in prompts for prompt in image]
    n_points = {len(prompt.points_xy) for prompt in everything}
    has_box = {prompt.box_xyxy is not None for prompt in everything}
    return len({len(image) for image in prompts}) == len(n_points) == len(has_box) == 1


def _dense(
    prompts: Sequence[Sequence[Prompt]], geometries: Sequence[ResizeGeometry], keep_labels: bool
) -> dict[str, torch.Tensor]:
    tensors = {}
    first = prompts[0][0]
    if first.points_xy:
        labels = np.array([[prompt.labels for prompt in image] for image in prompts], dtype=np.int64)
        images = zip(prompts, labels, geometries, strict=True)
        points = [
            _points_to_model(np.array([prompt.points_xy for prompt in image], dtype=np.float32), codes, geometry)
            for image, codes, geometry in images
        ]
        tensors["input_points"] = torch.from_numpy(np.stack(points))
        if keep_labels:
            tensors["input_labels"] = torch.from_numpy(labels)
    if first.box_xyxy is not None:
        images_of_boxes = zip(prompts, geometries, strict=True)
        boxes = [_corners_to_model(image, geometry).reshape(-1, 4) for image, geometry in images_of_boxes]
        tensors["input_boxes"] = torch.from_numpy(np.stack(boxes))
    return tensors


def _padded(prompts: Sequence[Sequence[Prompt]], geometries: Sequence[ResizeGeometry]) -> dict[str, torch.Tensor]:
    """Write boxes as points, and fill prompts and points up with padding."""
    n_prompts = max(len(image) for image in prompts)
    n_tokens = [[len(prompt.points_xy) + 2 * (prompt.box_xyxy is not None) for prompt in image] for image in prompts]
    n_points = max(max(image, default=0) for image in n_tokens)
    points = np.full((len(prompts), n_prompts, n_points, 2), LABEL_PADDING, dtype=np.float32)
    labels = np.full((len(prompts), n_prompts, n_points), LABEL_PADDING, dtype=np.int64)
    for index, (image, geometry) in enumerate(zip(prompts, geometries, strict=True)):
        for number, prompt in enumerate(image):
            count = len(prompt.points_xy)
            labels[index, number, :count] = prompt.labels
            if count:
                points_xy = np.array(prompt.points_xy, dtype=np.float32)
                points[index, number, :count] = _points_to_model(points_xy, labels[index, number, :count], geometry)
            if prompt.box_xyxy is not None:
                points[index, number, count : count + 2] = _corners_to_model([prompt], geometry)[0]
                labels[index, number, count : count + 2] = LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT
    return {"input_points": torch.from_numpy(points), "input_labels": torch.from_numpy(labels)}


def _points_to_model(points_xy: np.ndarray, labels: np.ndarray, geometry: ResizeGeometry) -> np.ndarray:
    """Scale points (..., 2), those of a place clipped to their image; labels are (...)."""
    is_place = ~np.isin(labels, LABELS_WITHOUT_PLACE)
    height, width = geometry.original_size_hw
    clipped = np.where(is_place[..., None], points_xy.clip(0, (width, height)), points_xy)
    return geometry.points_to_model(clipped.astype(np.float32))


def _corners_to_model(prompts: Sequence[Prompt], geometry: ResizeGeometry) -> np.ndarray:
    """Scale the clipped corners (N, 2, 2) of prompts that all have a box."""
    height, width = geometry.original_size_hw
    corners = np.array([prompt.box_xyxy for prompt in prompts], dtype=np.float32).reshape(-1, 2, 2)
    return geometry.points_to_model(corners.clip(0, (width, height)).astype(np.float32))
