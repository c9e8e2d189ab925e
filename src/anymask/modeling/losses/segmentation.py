"""The loss that SAM is trained with, from mask logits, predicted IoUs and labels to one number.

`SamModel(..., labels=masks)` computes `segmentation_loss` as `config.loss` asks for it. Of several masks for a prompt
the one with the lowest mask loss learns (Segment Anything, section 3, "Resolving ambiguity"): it is found without
gradients, so that the backward pass touches one mask per prompt. Everything is computed in float32 at least, also under
autocast.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry.coordinates import IGNORED_PIXEL
from ..layers import at_least_float32
from .labels import check_mask_labels, find_objects
from .mask_losses import MASK_LOSSES
from .options import LossOptions


class SegmentationLoss(NamedTuple):
    """What a batch costs.

    Attributes:
        total: the weighted sum that is minimised, a scalar with gradient.
        parts: for the log, without gradient: the mean over objects of each loss by its name and of "iou"; and "best",
            (batch, prompts) int64, which mask of each object learned, -1 for padding.
    """

    total: Tensor
    parts: dict[str, Tensor]


def total_and_parts(loss: SegmentationLoss | Tensor) -> tuple[Tensor, dict[str, Tensor] | None]:
    """What is minimised, a scalar, and its parts; none are known where an own loss function gives the scalar alone."""
    return (loss.total, loss.parts) if isinstance(loss, SegmentationLoss) else (loss, None)


def segmentation_loss(
    pred_masks: Tensor,
    iou_scores: Tensor,
    labels: Tensor,
    options: LossOptions,
    max_size_hw: tuple[int, int] | None = None,
    num_items_in_batch: Tensor | int | None = None,
    learning: Tensor | None = None,
) -> SegmentationLoss:
    """Loss of the masks of a batch of prompts, averaged over objects.

    Args:
        pred_masks: Logits, (batch, prompts, masks, height, width). The mask with the least mask loss learns.
        iou_scores: Predicted IoU, (batch, prompts, masks).
        labels: (batch, prompts, label height, label width), of the same frame as the logits, at any size of the same
            shape: bool, 0 and 1, or shares from 0 to 1. -100 throughout is an object that fills up the batch and has no
            influence, -1 a pixel that has none.
        options: What is minimised.
        max_size_hw: The largest size at which the loss is computed; labels above it come down by area.
        num_items_in_batch: Pixels of labels that are not -100 in all batches of an optimizer step, as
            `transformers.Trainer` counts them; the loss is then divided by the objects of that step. None divides by
            the objects of this batch.
        learning: (batch, prompts) int64, which mask of an object learns; -1 is the one with the least loss, as is all
            that None leaves to it.

    Raises:
        ValueError: If labels have another number or shape than the masks, or values that mean nothing.
    """
    if labels.dtype == torch.uint8:
        labels = labels.short()  # an unsigned -1 would be 255
    check_mask_labels(labels, pred_masks)
    with torch.autocast(pred_masks.device.type, enabled=False):
        is_object = find_objects(labels)
        objects = labels[is_object]  # (objects, label height, label width)
        logits = at_least_float32(pred_masks[is_object])
        scores = at_least_float32(iou_scores[is_object])
        logits, targets, weights = _to_one_size(logits, objects, options, max_size_hw)
        with torch.no_grad():
            real_iou = masks_iou(logits, targets, weights)
            points = None if options.points is None else _uncertain_points(logits, options.points)
            best = _mask_losses(logits, targets, weights, points, options=options)["all"].argmin(dim=1)
            if learning is not None:
                asked = learning[is_object]
                best = torch.where(asked < 0, best, asked)
        row = torch.arange(len(best), device=best.device)
        losses = _mask_losses(logits[row, best].unsqueeze(1), targets, weights, points, options=options)
        losses = {name: values.squeeze(1) for name, values in losses.items()}
        iou_losses = (scores - real_iou).abs() if options.iou_loss == "l1" else (scores - real_iou).square()
        losses["iou"] = iou_losses.mean(dim=1) if options.supervise_all_iou else iou_losses[row, best]
        each = losses.pop("all") + options.iou * losses["iou"]
        total = each.sum() / _number_of_objects(labels, num_items_in_batch, len(best))
    parts = {name: values.detach().sum() / max(len(best), 1) for name, values in losses.items()}
    chosen = torch.full(labels.shape[:2], -1, dtype=torch.long, device=labels.device)
    chosen[is_object] = best
    return SegmentationLoss(total, {**parts, "best": chosen})


def masks_iou(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """IoU of the masks `logits > 0` with the targets above one half, (objects, masks); 1 where both are empty.

    Args:
        logits: (objects, masks, height, width).
        targets: (objects, height, width), 0 to 1.
        weights: (objects, height, width); pixels of 0 do not count.
    """
    predicted, real = logits > 0, (targets > 0.5).unsqueeze(1)
    counts = None if weights is None else (weights > 0).unsqueeze(1)
    overlap, union = predicted & real, predicted | real
    if counts is not None:
        overlap, union = overlap & counts, union & counts
    areas = union.flatten(2).sum(dim=-1)
    return torch.where(areas > 0, overlap.flatten(2).sum(dim=-1) / areas.clamp(min=1), 1.0).to(logits.dtype)


def _to_one_size(
    logits: Tensor, objects: Tensor, options: LossOptions, max_size_hw: tuple[int, int] | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits (objects, masks, h, w), targets and weights (objects, h, w) at the resolution of the loss."""
    is_ignored = objects == IGNORED_PIXEL if objects.dtype != torch.bool else None
    weights = None if is_ignored is None or not is_ignored.any() else (~is_ignored).to(logits.dtype)
    targets = objects.to(logits.dtype).clamp(min=0)
    size_hw = objects.shape[-2:]
    if options.resolution == "decoder":
        size_hw = logits.shape[-2:]
    elif max_size_hw is not None and size_hw[0] > max_size_hw[0]:
        size_hw = torch.Size(max_size_hw)
    if size_hw != targets.shape[-2:]:
        targets, weights = _by_area(targets, weights, size_hw)
    if size_hw != logits.shape[-2:]:
        smaller = size_hw[0] < logits.shape[-2]
        logits = F.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False, antialias=smaller)
    return logits, targets, weights


def _by_area(targets: Tensor, weights: Tensor | None, size_hw: torch.Size) -> tuple[Tensor, Tensor | None]:
    """Shares of the known area of each new pixel that the object covers, and of the pixel that is known."""
    height, width = size_hw
    if weights is None:
        return F.interpolate(targets.unsqueeze(1), size=(height, width), mode="area").squeeze(1), None
    both = F.interpolate(torch.stack([targets * weights, weights], dim=1), size=(height, width), mode="area")
    return both[:, 0] / both[:, 1].clamp(min=torch.finfo(both.dtype).tiny), both[:, 1]


def _uncertain_points(logits: Tensor, count: int) -> Tensor:
    """Places (objects, count, 1, 2) in -1..1: three quarters where the least certain mask is near 0, the rest anywhere.

    Source: PointRend (https://arxiv.org/abs/1912.08193), with its oversampling of 3 and its three quarters.
    """
    candidates = torch.rand(len(logits), 3 * count, 1, 2, device=logits.device, dtype=logits.dtype) * 2 - 1
    certainty = F.grid_sample(logits, candidates, align_corners=False).abs().amin(dim=1).squeeze(-1)
    uncertain = certainty.topk(3 * count // 4, dim=1, largest=False).indices
    near = candidates.gather(1, uncertain[..., None, None].expand(-1, -1, 1, 2))
    anywhere = torch.rand(len(logits), count - near.shape[1], 1, 2, device=logits.device, dtype=logits.dtype) * 2 - 1
    return torch.cat([near, anywhere], dim=1)


def _mask_losses(
    logits: Tensor, targets: Tensor, weights: Tensor | None, points: Tensor | None, options: LossOptions
) -> dict[str, Tensor]:
    """Losses (objects, masks) by name, and their weighted sum as "all", at all pixels or at the points given."""

    def see(maps: Tensor) -> Tensor:
        """(objects, masks, height, width) to (objects, masks, pixels or points)."""
        return maps.flatten(2) if points is None else F.grid_sample(maps, points, align_corners=False).squeeze(-1)

    seen = see(logits), see(targets.unsqueeze(1)), None if weights is None else see(weights.unsqueeze(1))
    losses = {name: MASK_LOSSES[name](*seen) for name in options.mask_weights}
    weighted = [weight * losses[name] for name, weight in options.mask_weights.items()]
    return {**losses, "all": torch.stack(weighted).sum(dim=0)}


def _number_of_objects(labels: Tensor, num_items: Tensor | int | None, in_batch: int) -> Tensor | float:
    if num_items is None:
        return float(max(in_batch, 1))
    pixels = labels.shape[2] * labels.shape[3]
    objects = torch.as_tensor(num_items, device=labels.device).sum() / pixels
    return objects.clamp(min=1)
