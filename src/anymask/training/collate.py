"""Samples of one image each to a batch, whose images may have different numbers of objects and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry.coordinates import (
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_FOREGROUND,
    LABEL_PADDING,
    PADDED_OBJECT,
)

_FILL = {"input_points": 0.0, "input_labels": LABEL_PADDING, "input_boxes": 0.0, "input_masks": float("nan")}
_OF_OBJECTS = (*_FILL, "labels")


class SamDataCollator:
    """Fills up objects and points and stacks; what `transformers.Trainer` takes as `data_collator`.

    A sample is a dictionary of one image, as `SamProcessor(..., return_tensors="pt")` or `TrainingSamples` gives it,
    with or without the axis of the batch: `pixel_values` or `image_embeddings`; `input_points` (objects, points, 2) and
    `input_labels` (objects, points); `input_boxes` (objects, 4); `input_masks`; and `labels` (objects, height, width),
    of one size for all samples. Objects that fill up have points of label -10 and labels of -100, which neither the
    loss nor Trainer's count of items sees. Where only some samples have boxes, boxes become two points each.
    """

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The batch.

        Raises:
            ValueError: If prompts and labels of a sample differ in number, or labels of samples in size.
        """
        rows = [_without_batch_axis(sample) for sample in samples]
        if any(("input_boxes" in row) != ("input_boxes" in rows[0]) for row in rows):
            rows = [_boxes_as_points(row) for row in rows]
        counts = [_count_objects(row) for row in rows]
        batch = {}
        for name in {name: None for row in rows for name in row}:
            values = [row[name] for row in rows if name in row]
            if len(values) < len(rows):
                raise ValueError(
                    f"All samples of a batch must have {name!r}, or none, got it in {len(values)} samples."
                )
            if name in _OF_OBJECTS:
                values = [_filled(name, value, counts, values) for value in values]
            batch[name] = torch.stack(values)
        return batch


def _without_batch_axis(sample: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of one image; what a processor gives has images of an axis more."""
    row = {name: torch.as_tensor(value) for name, value in sample.items() if value is not None}
    image = row.get("pixel_values", row.get("image_embeddings"))
    if image is not None and image.ndim == 4:
        if len(image) != 1:
            raise ValueError(f"A sample must be of one image, got {len(image)}; the collator makes batches.")
        row = {name: value[0] for name, value in row.items()}
    if "input_points" in row and "input_labels" not in row:
        row["input_labels"] = torch.full(row["input_points"].shape[:2], LABEL_FOREGROUND)
    if "labels" in row and row["labels"].dtype in (torch.bool, torch.uint8):
        row["labels"] = _checked_bytes(row["labels"])
    return row


def _checked_bytes(labels: Tensor) -> Tensor:
    if labels.dtype == torch.uint8 and labels.numel() and labels.max() > 1:
        raise ValueError(
            f"labels must hold 0 and 1, got values up to {labels.max().item()}; compare them with 0 (masks > 0)."
        )
    return labels.to(torch.int8)


def _boxes_as_points(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """A sample with the corners of its boxes in front of its points."""
    if "input_boxes" not in row:
        return row
    row = dict(row)
    corners = row.pop("input_boxes").unflatten(-1, (2, 2)).float()
    codes = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT]).expand(len(corners), 2)
    points, labels = row.get("input_points"), row.get("input_labels")
    row["input_points"] = corners if points is None else torch.cat([corners, points], dim=1)
    row["input_labels"] = codes if labels is None else torch.cat([codes, labels], dim=1)
    return row


def _count_objects(row: Mapping[str, Tensor]) -> int:
    counts = {name: len(row[name]) for name in _OF_OBJECTS if name in row}
    if "labels" in counts and len(set(counts.values())) > 1:
        raise ValueError(f"A sample must have one prompt and one mask per object, got numbers of objects {counts}.")
    return max(counts.values(), default=0)


def _filled(name: str, value: Tensor, counts: list[int], values: list[Tensor]) -> Tensor:
    """A value with as many objects, and as many points of each, as the largest sample has."""
    sizes = {tuple(other.shape[1:]) for other in values}
    if name == "labels" and len(sizes) > 1:
        raise ValueError(
            f"labels of a batch must have one size (height x width), got {sorted(sizes)}; resize and pad them as the "
            "images, as anymask.training.TrainingSamples does."
        )
    fill = PADDED_OBJECT if name == "labels" else _FILL[name]
    padding = [0, 0] * value.ndim
    padding[-1] = max(counts) - len(value)
    if name in ("input_points", "input_labels"):
        padding[-3] = max(other.shape[1] for other in values) - value.shape[1]
    return F.pad(value, padding, value=fill)
