"""Exported files beside PyTorch: how far numbers are off, and how much masks of photographs agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..geometry.crops import build_point_grid
from ..images.load import image_size_hw
from ..images.preparation import ImagePreprocessor
from ..masks.measures import mask_iou
from ..modeling.network import SamNetwork
from ..modeling.outputs import SamImageSegmentationOutput
from .engines import Engine
from .layouts import GraphFile

CHECKED = ((1, 1, 1), (3, 2, 7))
"""Images, prompts and points of the inputs with which a file is compared: others than those that it was made from."""

POINTS_PER_SIDE = 4
"""Of the grid of clicks whose masks are compared on each photograph."""


class ExportError(RuntimeError):
    """An exported file does not compute what the model does."""


@dataclass(frozen=True)
class MaskAgreement:
    """How much masks of an exported encoder's embeddings agree with those of the model's: their IoU.

    Attributes:
        mean_iou: Of all masks.
        lowest_iou: Of the one that agrees least.
        masks: How many there were.
    """

    mean_iou: float
    lowest_iou: float
    masks: int


@torch.no_grad()
def output_errors(file: GraphFile, engine: Engine) -> dict[str, float]:
    """How far each output is off at the most, as a part of its largest value.

    Raises:
        ExportError: If a shape is another one.
    """
    errors = dict.fromkeys(file.outputs, 0.0)
    for seed, size in enumerate(CHECKED):
        torch.manual_seed(seed)
        inputs = file.make_inputs(*size)
        feeds = as_arrays(inputs)
        if file.resizes:
            feeds["orig_im_size"] = np.array([30.0, 50.0], dtype=np.float32)
        expected = file.graph(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = engine.run(list(file.outputs), feeds)
        for name, right, value in zip(file.outputs, expected, found, strict=True):
            if value.shape != tuple(right.shape):
                raise ExportError(f"{name} of {file.name} must have shape {tuple(right.shape)}, got {value.shape}.")
            off = float(np.abs(value - right.numpy()).max() / max(float(right.abs().max()), 1e-6))
            errors[name] = max(errors[name], off)
    return errors


@torch.no_grad()
def mask_agreement(
    network: SamNetwork, file: GraphFile, engine: Engine, photos: Sequence[Any], *, preprocessor: ImagePreprocessor
) -> MaskAgreement:
    """Compare masks of a grid of clicks, those that the model scores highest, through PyTorch's decoder both times.

    Args:
        network: The model.
        file: An encoder.
        engine: Runs the file.
        photos: As `load_image` gives them.
        preprocessor: Of the model.
    """
    assert file.of_photo is not None
    ious = []
    for photo in photos:
        points = clicks_on(preprocessor.geometry(image_size_hw(photo)).resized_size_hw)
        inputs = file.of_photo(photo)
        right = file.graph(*inputs.values())
        right = right[0] if isinstance(right, tuple) else right
        [found] = engine.run(["image_embeddings"], as_arrays(inputs))
        masks, scores = _decode(network, right, points)
        masks_found, _ = _decode(network, torch.from_numpy(found), points)
        best = torch.arange(len(scores)), scores.argmax(dim=-1)
        ious.append(mask_iou((masks_found > 0)[best].numpy(), (masks > 0)[best].numpy()))
    every = np.concatenate(ious)
    return MaskAgreement(float(every.mean()), float(every.min()), len(every))


def clicks_on(size_hw: tuple[int, int]) -> Tensor:
    """A grid of clicks (1, prompts, 1, 2), x and y, on the part of the model's input that shows the photograph.

    In the padding beside it nothing is to be found, and the few pixels that a model marks there mean nothing.
    """
    height, width = size_hw
    return torch.from_numpy(build_point_grid(POINTS_PER_SIDE) * (width, height)).float()[None, :, None]


def _decode(network: SamNetwork, embeddings: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (prompts, 3, height, width) and scores (prompts, 3)."""
    output = cast(SamImageSegmentationOutput, network.forward(image_embeddings=embeddings, input_points=points))
    assert output.pred_masks is not None and output.iou_scores is not None
    return output.pred_masks[0], output.iou_scores[0]


def as_arrays(inputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """What runtimes take."""
    return {name: tensor.numpy() for name, tensor in inputs.items()}
