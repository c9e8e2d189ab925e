"""Segment everything with Transformers' classes, step by step.

Transformers' "mask-generation" pipeline needs torchvision, though only for non-maximum suppression. `TheirSteps` runs
what that pipeline runs, calling Transformers' own model and image processor in the same order, and ends with a plain
NMS, which takes milliseconds. anymask is not imported here: bench_start.py times processes that have nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from PIL import Image
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

BATCH = 64  # points_per_batch, Transformers' default
NMS_THRESHOLD = 0.7


@dataclass(frozen=True)
class TheirSteps:
    """A model, its image processor, and the thresholds of `filter_masks`."""

    model: transformers.SamModel
    processor: SamImageProcessorPil
    filters: dict[str, float]

    @torch.inference_mode()
    def everything(
        self, image: Image.Image, points_per_side: int, points_per_batch: int = BATCH
    ) -> list[dict[str, Any]]:
        """Records of an image, decoded so many points at a time; see `records`."""
        _, points, images, labels = self.processor.generate_crop_boxes(
            image, self.processor.size["longest_edge"], points_per_crop=points_per_side
        )
        inputs = self.processor(images=images, return_tensors="pt")
        embedding = self.model.get_image_embeddings(inputs["pixel_values"].to(self.model.device, self.model.dtype))
        sizes = inputs["original_sizes"].tolist(), inputs["reshaped_input_sizes"].tolist()
        parts = []
        for first in range(0, points.shape[1], points_per_batch):
            part = slice(first, first + points_per_batch)
            output = self.model(
                image_embeddings=embedding,
                input_points=points[:, part].to(self.model.device, self.model.dtype),
                input_labels=labels[:, part].to(self.model.device),
            )
            parts.append(self.filtered(output.pred_masks, output.iou_scores, *sizes))
        return self.records(parts)

    @torch.inference_mode()
    def post_process(
        self,
        low_res_logits: torch.Tensor,
        iou_scores: torch.Tensor,
        original_size_hw: Sequence[int],
        resized_size_hw: Sequence[int],
    ) -> list[dict[str, Any]]:
        """Records from what the model gave: logits (P, 3, h, w) and scores (P, 3)."""
        parts = []
        for first in range(0, len(iou_scores), BATCH):
            part = slice(first, first + BATCH)
            sizes = [original_size_hw], [resized_size_hw]
            parts.append(self.filtered(low_res_logits[None, part], iou_scores[None, part], *sizes))
        return self.records(parts)

    def filtered(self, logits: torch.Tensor, scores: torch.Tensor, original_sizes: Any, reshaped_sizes: Any) -> tuple:
        """RLEs, scores and boxes of the masks (1, P, 3, h, w) that pass the filters."""
        masks = self.processor.post_process_masks(logits, original_sizes, reshaped_sizes, binarize=False)[0]
        height, width = original_sizes[0]
        return self.processor.filter_masks(masks, scores[0], (height, width), [0, 0, width, height], **self.filters)

    def records(self, parts: Sequence[tuple]) -> list[dict[str, Any]]:
        """RLE, box and score of each mask that is left without its duplicates, best first.

        Without the masks that have no pixel, which Transformers keeps and anymask does not.
        """
        rles = [rle for part in parts for rle in part[0]]
        scores = torch.cat([part[1] for part in parts]).float()
        boxes = torch.cat([part[2] for part in parts])
        return [
            {"segmentation": rles[index], "predicted_iou": float(scores[index]), "box_xyxy": boxes[index].tolist()}
            for index in plain_nms(boxes, scores, NMS_THRESHOLD)
            if len(rles[index]["counts"]) > 1
        ]


def plain_nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> list[int]:
    """Indices of the boxes (N, 4) that no better box overlaps by more than the threshold, best first."""
    order = scores.cpu().argsort(descending=True, stable=True)
    boxes = boxes_xyxy.cpu().float()[order]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    corners = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - torch.maximum(boxes[:, None, :2], boxes[:, :2])
    intersections = corners.clamp(min=0).prod(dim=2)
    too_close = (intersections > iou_threshold * (areas[:, None] + areas - intersections)).numpy()
    kept: list[int] = []
    for index in range(len(boxes)):
        if not too_close[index, kept].any():
            kept.append(index)
    return order[kept].tolist()
