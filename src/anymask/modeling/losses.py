"""The losses that SAM is trained with, from mask logits, predicted IoUs and labels to one number.

`SamModel(..., labels=masks)` computes `segmentation_loss` as `config.loss` asks for it. Of several masks for a prompt
the one with the lowest mask loss learns (Segment Anything, section 3, "Resolving ambiguity"): it is found without
gradients, so that the backward pass touches one mask per prompt. Everything is computed in float32 at least, also under
autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..support.unknown_names import check_known_options, did_you_mean

PADDED_OBJECT = -100
"""Label of every pixel of an object that only fills up a batch. What `transformers.Trainer` does not count."""
IGNORED_PIXEL = -1
"""Label of a pixel of which nobody knows what it shows."""

FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0


class SegmentationLoss(NamedTuple):
    """What a batch costs.

    Attributes:
        total: the weighted sum that is minimised, a scalar with gradient.
        parts: for the log, without gradient: the mean over objects of each loss by its name and of "iou"; and "best",
            (batch, prompts) int64, which mask of each object learned, -1 for padding.
    """

    total: Tensor
    parts: dict[str, Tensor]


def focal_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sigmoid focal loss with alpha .25 and gamma 2, averaged over the pixels of each mask.

    Args:
        logits: (..., pixels).
        targets: (..., pixels), 0 to 1, broadcast against the logits.
        weights: (..., pixels), how much each pixel counts, at least 0; None counts all alike.

    Returns:
        (...), at least 0.

    Source: Lin et al., Focal Loss for Dense Object Detection; the numbers are the SAM paper's.
    """
    probabilities = logits.sigmoid()
    of_the_target = probabilities * targets + (1 - probabilities) * (1 - targets)
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    surprise = F.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none")
    return _mean(alpha * (1 - of_the_target) ** FOCAL_GAMMA * surprise, weights)


def dice_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 - (2 |P T| + 1) / (|P| + |T| + 1) of each mask, in [0, 1); arguments as in `focal_loss`.

    The ones keep the ratio defined when both masks are empty.
    """
    probabilities = logits.sigmoid()
    overlap = _sum(probabilities * targets, weights)
    return 1 - (2 * overlap + 1) / (_sum(probabilities, weights) + _sum(targets, weights) + 1)


def cross_entropy_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross entropy, averaged over the pixels of each mask; arguments as in `focal_loss`."""
    return _mean(F.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none"), weights)


def squared_dice_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 - (2 |P T| + e) / (|P^2| + |T^2| + e) with e = 1e-5, in [0, 1); arguments as in `focal_loss`.

    Source: what MedSAM (https://arxiv.org/abs/2304.12306) and the fine-tuning notebooks use: MONAI's `DiceLoss` with
    `sigmoid=True, squared_pred=True`.
    """
    probabilities = logits.sigmoid()
    overlap = _sum(probabilities * targets, weights)
    squares = _sum(probabilities.square(), weights) + _sum(targets.square(), weights)
    return 1 - (2 * overlap + 1e-5) / (squares + 1e-5)


MaskLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

MASK_LOSSES: dict[str, MaskLoss] = {
    "focal": focal_loss,
    "dice": dice_loss,
    "bce": cross_entropy_loss,
    "squared_dice": squared_dice_loss,
}
"""Losses of one mask, by the names that `LossOptions` gives weights to."""


@dataclass(frozen=True)
class LossOptions:
    """What is minimised; the fields are those of `config.loss`.

    Attributes:
        focal: weight of `focal_loss`.
        dice: weight of `dice_loss`.
        bce: weight of `cross_entropy_loss`.
        squared_dice: weight of `squared_dice_loss`.
        iou: weight of the loss of the predicted IoU.
        iou_loss: "mse", as in SAM, or "l1", as in SAM 2.
        supervise_all_iou: whether the predicted IoU of every mask learns, or that of the best alone.
        resolution: "labels" brings logits to the size of the labels, at most the model's input; "decoder" brings
            labels to the size of the logits, as shares of covered area.
        points: compute the mask losses on so many points where the mask is least certain (12544 is usual), for large
            labels; None takes all pixels.
    """

    focal: float = 20.0
    dice: float = 1.0
    bce: float = 0.0
    squared_dice: float = 0.0
    iou: float = 1.0
    iou_loss: str = "mse"
    supervise_all_iou: bool = True
    resolution: str = "labels"
    points: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("iou_loss", self.iou_loss, ("mse", "l1")),
            ("resolution", self.resolution, ("labels", "decoder")),
        ):
            if value not in known:
                raise ValueError(f"`{name}` of the loss must be {' or '.join(map(repr, known))}, got {value!r}.")
        if min(self.focal, self.dice, self.bce, self.squared_dice, self.iou) < 0 or not any(self.mask_weights.values()):
            raise ValueError(
                f"Weights of the loss must be 0 or more, at least one of {list(MASK_LOSSES)} above 0, got {self}."
            )
        if self.points is not None and self.points < 1:
            raise ValueError(f"`points` of the loss must be a number of points, or None for all, got {self.points}.")

    @property
    def mask_weights(self) -> dict[str, float]:
        """Weights of the losses of `MASK_LOSSES` that count."""
        return {name: getattr(self, name) for name in MASK_LOSSES if getattr(self, name)}

    @classmethod
    def read(cls, loss: LossOptions | Mapping[str, Any] | str | None) -> LossOptions:
        """Options from what `config.loss` may be: None, a name of `LOSSES`, or fields, over those of their "type".

        Raises:
            TypeError: a field is unknown.
            ValueError: there is no such type, or a value cannot be.
        """
        if isinstance(loss, LossOptions):
            return loss
        given = {"type": loss} if isinstance(loss, str) else dict(loss or {})
        name = given.pop("type", DEFAULT_LOSS)
        if name not in LOSSES:
            raise ValueError(f"The type of the loss must be one of {list(LOSSES)}, got {name!r}; {_near(name)}")
        check_known_options(given, [field.name for field in fields(cls)], "`config.loss`")
        return replace(LOSSES[name], **given)


LOSSES: dict[str, LossOptions] = {
    "focal_dice": LossOptions(),  # the SAM paper's
    "sam2": LossOptions(iou_loss="l1"),  # as in SAM 2's training code
    "bce_dice": LossOptions(focal=0, dice=0, bce=1, squared_dice=1, iou=0),  # MedSAM's
}
"""Losses by the name that `config.loss` may have, or the "type" in it."""

DEFAULT_LOSS = "focal_dice"


def _near(name: Any) -> str:
    return did_you_mean(str(name), LOSSES, otherwise="or give weights by name, as in {'focal': 20, 'dice': 1}.")


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
        ValueError: Labels have another number or shape than the masks, or values that mean nothing.
    """
    if labels.dtype == torch.uint8:
        labels = labels.short()  # an unsigned -1 would be 255
    check_mask_labels(labels, pred_masks)
    with torch.autocast(pred_masks.device.type, enabled=False):
        is_object = find_objects(labels)
        objects = labels[is_object]  # (objects, label height, label width)
        logits = _at_least_float32(pred_masks[is_object])
        scores = _at_least_float32(iou_scores[is_object])
        logits, targets, weights = _to_one_size(logits, objects, options, max_size_hw)
        with torch.no_grad():
            real_iou = masks_iou(logits, targets, weights)
            points = None if options.points is None else _uncertain_points(logits, options.points)
            best = _mask_losses(logits, targets, weights, points, options)["all"].argmin(dim=1)
            if learning is not None:
                asked = learning[is_object]
                best = torch.where(asked < 0, best, asked)
        row = torch.arange(len(best), device=best.device)
        losses = _mask_losses(logits[row, best].unsqueeze(1), targets, weights, points, options)
        losses = {name: values.squeeze(1) for name, values in losses.items()}
        iou_losses = (scores - real_iou).abs() if options.iou_loss == "l1" else (scores - real_iou).square()
        losses["iou"] = iou_losses.mean(dim=1) if options.supervise_all_iou else iou_losses[row, best]
        each = losses.pop("all") + options.iou * losses["iou"]
        total = each.sum() / _number_of_objects(labels, num_items_in_batch, len(best))
    parts = {name: values.detach().sum() / max(len(best), 1) for name, values in losses.items()}
    chosen = torch.full(labels.shape[:2], -1, dtype=torch.long, device=labels.device)
    chosen[is_object] = best
    return SegmentationLoss(total, {**parts, "best": chosen})


def spread_over_prompts(
    labels: Tensor, n_prompts: int, is_padding: Tensor | None, num_items_in_batch: Tensor | int | None = None
) -> tuple[Tensor, Tensor | int | None]:
    """Make of one mask per image, what all its prompts mean, one for each prompt.

    Args:
        labels: (batch, label height, label width), as `SamProcessor` makes them of one segmentation map per image;
            values as in `segmentation_loss`.
        n_prompts: How many prompts each image has, padding included.
        is_padding: (batch, prompts) bool, prompts that only fill up the batch; None if there are none.
        num_items_in_batch: As in `segmentation_loss`, but counted in these labels, where an image counts once however
            many prompts it has.

    Returns:
        Labels (batch, prompts, label height, label width), -100 where the prompt is padding; and what
        `num_items_in_batch` is of them, if every batch of the step has as many prompts per image as this one.

    Raises:
        ValueError: If there are several prompts, and numbers above 1: which of them a prompt means is not known.
    """
    if n_prompts > 1 and not torch.compiler.is_compiling() and labels.max() > 1:
        raise ValueError(
            f"labels of one map per image must hold 0 and 1 where there are several prompts, got numbers up to "
            f"{labels.max().item():g}; compare them with 0 (labels > 0), or say which number each prompt means: "
            "torch.stack([labels == number for number in numbers], dim=1)."
        )
    spread = labels.unsqueeze(1).expand(-1, n_prompts, -1, -1)
    if is_padding is not None:
        spread = spread.to(torch.promote_types(spread.dtype, torch.int16))  # neither bool nor uint8 has -100
        spread = spread.masked_fill(is_padding[..., None, None], PADDED_OBJECT)
    if num_items_in_batch is not None:
        images, objects = (find_objects(some).sum() for some in (labels, spread))
        num_items_in_batch = torch.as_tensor(num_items_in_batch, device=labels.device).sum() * objects / images.clamp(1)
    return spread, num_items_in_batch


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


def check_mask_labels(labels: Tensor, pred_masks: Tensor) -> None:
    """Refuse labels that do not fit the masks, or hold values that mean nothing.

    Raises:
        ValueError: If they do not.
    """
    batch, prompts, _, height, width = pred_masks.shape
    if labels.ndim != 4 or labels.shape[:2] != (batch, prompts):
        raise ValueError(
            f"labels must have one mask per prompt, shape ({batch}, {prompts}, height, width), or one per image, shape "
            f"({batch}, height, width), got {tuple(labels.shape)}; give one prompt per object, and masks of -100 where "
            "an image has fewer."
        )
    if labels.shape[2] * width != labels.shape[3] * height:
        raise ValueError(
            f"labels must show the same frame as the masks, {height} x {width} or any size of that shape (height x "
            f"width), got {labels.shape[2]} x {labels.shape[3]}; resize and pad them as the image was, as "
            "anymask.training.SamDataCollator does."
        )
    if labels.dtype == torch.bool or torch.compiler.is_compiling():
        return
    is_known = ((labels >= 0) & (labels <= 1)) | (labels == IGNORED_PIXEL) | (labels == PADDED_OBJECT)
    if not is_known.all():
        wrong = labels[~is_known]
        hint = "compare them with 0 (masks > 0)" if wrong.max() > 1 else "use -1 for pixels to ignore"
        raise ValueError(
            "labels must hold 0 and 1 (or shares between), -1 for ignored pixels and -100 throughout for padding, got "
            f"values from {wrong.min().item():g} to {wrong.max().item():g}; {hint}."
        )
    is_padded = (labels == PADDED_OBJECT).flatten(2)
    if (is_padded.any(dim=-1) != is_padded.all(dim=-1)).any():
        raise ValueError(
            "-100 in labels must fill a whole object, which then is padding, got some objects with a part of it; mark "
            "pixels to ignore by -1."
        )


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


def find_objects(labels: Tensor) -> Tensor:
    """Which masks (..., height, width) do not only fill up the batch."""
    return labels[..., 0, 0] != PADDED_OBJECT


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return values.mean(dim=-1)
    return (values * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=torch.finfo(values.dtype).tiny)


def _sum(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.sum(dim=-1) if weights is None else (values * weights).sum(dim=-1)
