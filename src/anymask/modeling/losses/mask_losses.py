"""Losses of masks by their pixels, each a function of one signature, in the table `MASK_LOSSES`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0


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


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return values.mean(dim=-1)
    return (values * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=torch.finfo(values.dtype).tiny)


def _sum(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.sum(dim=-1) if weights is None else (values * weights).sum(dim=-1)
