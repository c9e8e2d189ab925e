"""What a model answers to the prompts of one image: a click and a box for each known mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..coordinates import LABEL_BOX_BOTTOM_RIGHT, LABEL_BOX_TOP_LEFT, LABEL_FOREGROUND, ResizeGeometry, resized_size_hw
from ..modeling_sam import SamModel
from ..training.data import normalise_images
from .examples import Example, box_xyxy, innermost_pixel_xy
from .metrics import mask_iou


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


def model_frame(image: np.ndarray, image_size: int) -> tuple[torch.Tensor, ResizeGeometry]:
    """Resize the longest side to ``image_size``, normalise, pad right and below with 0: (1, 3, S, S) and its geometry."""
    size_hw = resized_size_hw(image.shape[:2], image_size)
    resized = Image.fromarray(image).resize(size_hw[::-1], Image.Resampling.BILINEAR)
    pixels = normalise_images(torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None])
    padded = F.pad(pixels, (0, image_size - size_hw[1], 0, image_size - size_hw[0]))
    return padded, ResizeGeometry(image.shape[:2], size_hw, (image_size, image_size))


@torch.no_grad()
def answer(
    model: SamModel, embeddings: torch.Tensor, points: torch.Tensor, labels: torch.Tensor, geometry: ResizeGeometry
) -> Answers:
    """Decode P prompts on one image.

    Args:
        embeddings: (1, C, h, w).
        points: (P, K, 2) float32 in the model frame; labels: (P, K).
    """
    prompts = {"image_embeddings": embeddings, "input_points": points[None], "input_labels": labels[None]}
    several = model(**prompts, multimask_output=True)
    single = model(**prompts, multimask_output=False)
    return Answers(
        _masks_at_original_size(several.pred_masks[0], geometry),
        several.iou_scores[0].numpy(),
        _masks_at_original_size(single.pred_masks[0], geometry)[:, 0],
    )


def score_example(model: SamModel, example: Example, image_size: int) -> list[dict[str, float]]:
    """IoU of the answers to one click and to one box for every mask of an example.

    Returns:
        One record per mask: "area_fraction"; "click_best" (best of three), "click_chosen" (highest predicted IoU),
        "click_single" (``multimask_output=False``), and the same three for "box".
    """
    if len(example.masks) == 0:
        return []
    pixels, geometry = model_frame(example.image, image_size)
    with torch.no_grad():
        embeddings = model.get_image_embeddings(pixels, interpolate_pos_encoding=True)
    clicks = torch.from_numpy(np.stack([innermost_pixel_xy(mask) for mask in example.masks]))
    boxes = torch.from_numpy(np.stack([box_xyxy(mask) for mask in example.masks]))
    prompts = {
        "click": (geometry.points_to_model(clicks)[:, None], torch.tensor([[LABEL_FOREGROUND]])),
        "box": (geometry.boxes_to_model(boxes).view(-1, 2, 2), torch.tensor([[LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT]])),
    }
    records = [{"area_fraction": float(mask.mean())} for mask in example.masks]
    for name, (points, labels) in prompts.items():
        answers = answer(model, embeddings, points, labels.expand(points.shape[:2]), geometry)
        ious = mask_iou(answers.masks, example.masks[:, None])
        single_ious = mask_iou(answers.single_masks, example.masks)
        for index, record in enumerate(records):
            record[f"{name}_best"] = float(ious[index].max())
            record[f"{name}_chosen"] = float(ious[index, answers.iou_scores[index].argmax()])
            record[f"{name}_single"] = float(single_ious[index])
    return records


def _masks_at_original_size(low_res_logits: torch.Tensor, geometry: ResizeGeometry) -> np.ndarray:
    """Logits (P, M, h, w) to masks (P, M, H, W): up to the model frame, padding off, to the image's size; above 0."""
    resized_h, resized_w = geometry.resized_size_hw
    frame = F.interpolate(low_res_logits.float(), geometry.padded_size_hw, mode="bilinear", align_corners=False)
    logits = F.interpolate(
        frame[..., :resized_h, :resized_w], geometry.original_size_hw, mode="bilinear", align_corners=False
    )
    return (logits > 0).numpy()
