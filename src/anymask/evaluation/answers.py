"""Questions to a model and its answers: a small interface, so that anymask and Transformers are asked the same.

A segmenter encodes an image and answers prompts with all four masks of the decoder: the single mask first, then the
three for whole, part and subpart. What is chosen among them is the protocol's business. `segmenters.py` has the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from ..geometry.coordinates import ResizeGeometry

SINGLE = 0
"""Place of the single mask among the four; the others are those of `multimask_output=True`."""

FULL_SIZE_VALUES = 2**26
"""How many values of full-size masks exist at a time."""


class Encoded(NamedTuple):
    """An image that prompts can be asked of.

    Attributes:
        embedding: (1, C, h, w).
        geometry: how it became the model's input.
    """

    embedding: torch.Tensor
    geometry: ResizeGeometry


@dataclass(frozen=True)
class ImagePrompts:
    """P prompts of one image, in its pixels.

    Attributes:
        points_xy: (P, K, 2) float32, or None.
        labels: (P, K) int64: 1 foreground, 0 background; None without points.
        boxes_xyxy: (P, 4) float32, or None.
        mask_logits: (P, h, w) float32 of the decoder's size, or None.
    """

    points_xy: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    boxes_xyxy: torch.Tensor | None = None
    mask_logits: torch.Tensor | None = None

    def __len__(self) -> int:
        return next(len(part) for part in self._parts if part is not None)

    def __getitem__(self, some: slice) -> ImagePrompts:
        return ImagePrompts(*(None if part is None else part[some] for part in self._parts))

    @property
    def _parts(self) -> tuple[torch.Tensor | None, ...]:
        return self.points_xy, self.labels, self.boxes_xyxy, self.mask_logits


@dataclass(frozen=True)
class Answers:
    """All masks for P prompts, the single one first.

    Attributes:
        masks: (P, 4, H, W) bool, at the image's size.
        predicted_iou: (P, 4) float32.
        low_res_logits: (P, 4, h, w) float32.
    """

    masks: np.ndarray
    predicted_iou: np.ndarray
    low_res_logits: torch.Tensor

    @property
    def chosen(self) -> np.ndarray:
        """(P,) which of the four is the one of the three that the model believes in most."""
        return 1 + self.predicted_iou[:, 1:].argmax(axis=1)


class Segmenter(Protocol):
    """A model with its preprocessing."""

    name: str
    implementation: str

    def encode(self, image: np.ndarray) -> Encoded:
        """Run the image encoder on an image (H, W, 3)."""

    def answer(self, encoded: Encoded, prompts: ImagePrompts, mask_threshold: float = 0.0) -> Answers:
        """Masks for prompts; logits above the threshold are foreground."""

    def propose(self, image: np.ndarray, points_per_side: int, nms_threshold: float) -> list[dict[str, Any]]:
        """Masks of everything, unfiltered but for duplicates: records with "segmentation" (RLE) and both scores."""

    def digest(self) -> str:
        """SHA-256 of the names, types, shapes and values of the weights."""


def make_inputs(encoded: Encoded, prompts: ImagePrompts, device: torch.device) -> dict[str, torch.Tensor]:
    """Points and boxes as both models take them, in the frame of their input."""
    geometry = encoded.geometry
    inputs = {}
    if prompts.points_xy is not None and prompts.labels is not None:
        inputs["input_points"] = geometry.points_to_model(prompts.points_xy)[None].to(device, encoded.embedding.dtype)
        inputs["input_labels"] = prompts.labels[None].to(device)
    if prompts.boxes_xyxy is not None:
        inputs["input_boxes"] = geometry.boxes_to_model(prompts.boxes_xyxy)[None].to(device, encoded.embedding.dtype)
    return inputs


def answer_in_parts(encoded: Encoded, prompts: ImagePrompts, answer: Callable[[ImagePrompts], Answers]) -> Answers:
    """Answers to all prompts, of which some are asked at a time: masks of the image's size take memory."""
    height, width = encoded.geometry.original_size_hw
    at_a_time = max(FULL_SIZE_VALUES // (4 * height * width), 1)
    return join_answers([answer(prompts[first : first + at_a_time]) for first in range(0, len(prompts), at_a_time)])


def join_answers(parts: Sequence[Answers]) -> Answers:
    """Answers to prompts that were asked one part after another."""
    if len(parts) == 1:
        return parts[0]
    return Answers(
        np.concatenate([part.masks for part in parts]),
        np.concatenate([part.predicted_iou for part in parts]),
        torch.cat([part.low_res_logits for part in parts]),
    )
