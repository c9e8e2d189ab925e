"""Checks of the prompts that `SamModel` is given, so that what does not fit is refused before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..geometry.coordinates import LABEL_MEANINGS, LABELS
from ..support.exporting import is_being_exported


def check_prompts(
    points: Tensor | None,
    labels: Tensor | None,
    boxes: Tensor | None,
    masks: Tensor | None,
    look_at_values: bool = True,
) -> None:
    """Refuse prompts whose shapes do not fit each other, and values that mean nothing.

    Args:
        points: As in `SamModel.forward`, as the other prompts.
        labels: Of the points.
        boxes: Likewise.
        masks: Likewise; only their number is checked here.
        look_at_values: Whether to check values as well, for which the host waits on an accelerator. Never done in an
            exported or compiled graph.

    Raises:
        TypeError: If something is no tensor.
        ValueError: If something does not fit.
    """
    check_tensors(input_points=points, input_labels=labels, input_boxes=boxes, input_masks=masks)
    look_at_values = look_at_values and not is_being_exported()
    if points is not None and (points.ndim != 4 or points.shape[-1] != 2):
        raise ValueError(f"input_points must have shape (batch, prompts, points, 2), got {tuple(points.shape)}.")
    if labels is not None:
        if points is None:
            raise ValueError(f"input_labels must come with input_points, got labels {tuple(labels.shape)} alone.")
        if labels.shape != points.shape[:3]:
            raise ValueError(
                f"input_labels must have one label per point, {tuple(points.shape[:3])}, got {tuple(labels.shape)}."
            )
        if look_at_values:
            check_labels(labels)
    if boxes is not None and (boxes.ndim != 3 or boxes.shape[-1] != 4):
        raise ValueError(f"input_boxes must have shape (batch, prompts, 4), got {tuple(boxes.shape)}.")
    if points is not None and boxes is not None and points.shape[:2] != boxes.shape[:2]:
        raise ValueError(
            f"input_points and input_boxes must have as many images and prompts, got {tuple(points.shape[:2])} and "
            f"{tuple(boxes.shape[:2])}."
        )
    for name, prompt in (("input_points", points), ("input_boxes", boxes)):
        if look_at_values and prompt is not None and not prompt.isfinite().all():
            raise ValueError(f"{name} must be finite, got NaN or infinity among {prompt.numel()} numbers.")
    prompts = points if points is not None else boxes
    if masks is not None and prompts is not None and masks.ndim == 4 and masks.shape[1] not in (1, prompts.shape[1]):
        raise ValueError(
            f"input_masks must have one mask for each image or one for each of the {prompts.shape[1]} prompts, "
            f"got shape {tuple(masks.shape)}."
        )


def check_tensors(**inputs: Any) -> None:
    """Refuse arrays and lists, as the processor returns them without `return_tensors="pt"`.

    Raises:
        TypeError: If there is one.
    """
    if is_being_exported():
        return
    for name, value in inputs.items():
        if isinstance(value, np.ndarray | list | tuple):
            raise TypeError(
                f"{name} must be a tensor, got {type(value).__name__}; "
                'SamProcessor returns tensors with return_tensors="pt".'
            )


def check_labels(labels: Tensor) -> None:
    """Refuse labels that are not codes of `coordinates.LABELS`.

    Raises:
        ValueError: If there is another value.
    """
    known = torch.isin(labels.detach().cpu().double(), torch.tensor(LABELS, dtype=torch.float64, device="cpu"))
    if not known.all():
        raise ValueError(
            f"input_labels must be {LABEL_MEANINGS}, got {sorted(set(labels[~known.to(labels.device)].tolist()))}."
        )
