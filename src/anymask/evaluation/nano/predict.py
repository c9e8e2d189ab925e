"""What a model answers to the prompts of one image: a click and a box for each known mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...geometry.coordinates import LABEL_BOX_BOTTOM_RIGHT, LABEL_BOX_TOP_LEFT, LABEL_FOREGROUND, ResizeGeometry
from ...image_processing_sam import SamImageProcessor
from ...masks.measures import mask_iou, outer_box_xyxy
from ...masks.resize import resize_logits
from ...modeling_sam import SamModel
from ..tasks.clicks import innermost_pixel_xy
from .examples import Example


@dataclass(frozen=True)
class Answers:
    """Masks for P prompts: the M candidates and the single mask, at the image's own size.

    Attributes:
        masks: (P, M, H, W) bool.
        iou_scores: (P, M) float32, predicted.
        single_masks: (P, H, W) bool.
    """

    masks: np.ndarray
    iou_scores: np.ndarray
    single_masks: np.ndarray


@torch.no_grad()
def answer(
    model: SamModel, embeddings: torch.Tensor, points: torch.Tensor, labels: torch.Tensor, geometry: ResizeGeometry
) -> Answers:
    """Decode P prompts on one image.

    Args:
        model: that answers.
        embeddings: (1, C, h, w).
        points: (P, K, 2) float32, in pixels of the model's input.
        labels: (P, K).
        geometry: how the image was brought to the model's input.
    """
    prompts = {"image_embeddings": embeddings, "input_points": points[None], "input_labels": labels[None]}
    several = model(**prompts, multimask_output=True)
    single = model(**prompts, multimask_output=False)
    return Answers(
        (resize_logits(several.pred_masks[0], geometry) > 0).numpy(),
        several.iou_scores[0].numpy(),
        (resize_logits(single.pred_masks[0, :, 0], geometry) > 0).numpy(),
    )


@torch.no_grad()
def answer_example(model: SamModel, image_processor: SamImageProcessor, example: Example) -> dict[str, Answers]:
    """Answer one "click", inside it as far as can be, and one "box" for every mask of an example that has some.

    Args:
        model: that answers.
        image_processor: its size may differ from the model's own.
        example: with P masks, which make P prompts of each kind.
    """
    pixel_values = image_processor(example.image, return_tensors="pt")["pixel_values"]
    geometry = image_processor.geometry(example.image.shape[:2])
    embeddings = model.get_image_embeddings(pixel_values, interpolate_pos_encoding=True)
    clicks = torch.from_numpy(np.stack([innermost_pixel_xy(mask) for mask in example.masks]))
    boxes = torch.from_numpy(np.stack([outer_box_xyxy(mask) for mask in example.masks]))
    corners = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT]).expand(len(boxes), 2)
    prompts = {
        "click": (geometry.points_to_model(clicks)[:, None], torch.full((len(clicks), 1), LABEL_FOREGROUND)),
        "box": (geometry.boxes_to_model(boxes).view(-1, 2, 2), corners),
    }
    return {name: answer(model, embeddings, *prompt, geometry=geometry) for name, prompt in prompts.items()}


def answer_ious(answers: Answers, masks: np.ndarray) -> dict[str, np.ndarray]:
    """IoU of answers with the known masks (P, H, W): "best" of the candidates, "chosen" by the model, and "single"."""
    ious = mask_iou(answers.masks, masks[:, None])
    return {
        "best": ious.max(axis=1),
        "chosen": ious[np.arange(len(masks)), answers.iou_scores.argmax(axis=1)],
        "single": mask_iou(answers.single_masks, masks),
    }


def as_records(example: Example, columns: dict[str, np.ndarray]) -> list[dict[str, float]]:
    """One record per mask of an example: its "area_fraction", and its value (P,) of every column."""
    return [
        {"area_fraction": float(mask.mean()), **{name: float(values[index]) for name, values in columns.items()}}
        for index, mask in enumerate(example.masks)
    ]


def score_example(model: SamModel, image_processor: SamImageProcessor, example: Example) -> list[dict[str, float]]:
    """IoU of the answers to one click and to one box for every mask of an example.

    Args:
        model: that answers.
        image_processor: its size may differ from the model's own.
        example: with P masks.

    Returns:
        One record per mask: "area_fraction"; "click_best" (best of three), "click_chosen" (highest predicted IoU),
        "click_single" (`multimask_output=False`), and the same three for "box".
    """
    if len(example.masks) == 0:
        return []
    columns: dict[str, np.ndarray] = {}
    for name, answers in answer_example(model, image_processor, example).items():
        columns |= {f"{name}_{score}": values for score, values in answer_ious(answers, example.masks).items()}
    return as_records(example, columns)
