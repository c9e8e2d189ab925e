"""Mask and IoU losses of the Segment Anything paper (appendix A, "Making the model ambiguity-aware" and "Losses").

All mask losses work at the decoder's own resolution: the targets come down to the logits instead of the logits going up
to the model frame, which is a fraction of the arithmetic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

FOCAL_WEIGHT = 4.0  # the paper's 20 keeps masks empty for longer: docs/decisions/0007-training-nano.md
DICE_WEIGHT = 1.0
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0


def focal_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sigmoid focal loss, averaged over the pixels of each mask.

    Args:
        logits: (..., H, W) mask logits.
        targets: (..., H, W) bool, or float in {0, 1}; broadcast against the logits.

    Returns:
        (...) float, at least 0.

    Source: Lin et al., Focal Loss for Dense Object Detection; alpha 0.25 and gamma 2 as in the SAM paper.
    """
    targets = targets.to(logits.dtype)
    # With z the logit of "the answer is the target", one softplus serves both classes: p_t = sigmoid(z).
    signed_logits = logits * (2 * targets - 1)
    alpha = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    per_pixel = alpha * torch.sigmoid(-signed_logits).pow(FOCAL_GAMMA) * F.softplus(-signed_logits)
    return per_pixel.mean(dim=(-2, -1))


def dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Soft dice loss of each mask: 1 - (2 |P T| + 1) / (|P| + |T| + 1), in [0, 1).

    Args:
        logits: (..., H, W) mask logits.
        targets: (..., H, W) bool, or float in {0, 1}; broadcast against the logits.
    """
    targets = targets.to(logits.dtype)
    probabilities = torch.sigmoid(logits)
    overlap = (probabilities * targets).sum(dim=(-2, -1))
    total = probabilities.sum(dim=(-2, -1)) + targets.sum(dim=(-2, -1))
    # The 1 keeps the ratio defined when both masks are empty.
    return 1 - (2 * overlap + 1) / (total + 1)


def mask_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """4 focal + 1 dice of each mask, shape (...)."""
    return FOCAL_WEIGHT * focal_loss(logits, targets) + DICE_WEIGHT * dice_loss(logits, targets)


@torch.no_grad()
def thresholded_iou(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """IoU of the masks `logits > 0` with the targets: what the IoU head must predict.

    Args:
        logits: (..., H, W).
        targets: (..., H, W) bool, broadcast against the logits.

    Returns:
        (...) float32 in [0, 1]; 0 where both masks are empty.
    """
    predicted, targets = logits > 0, targets.bool()
    overlap = (predicted & targets).sum(dim=(-2, -1)).float()
    union = (predicted | targets).sum(dim=(-2, -1)).float()
    return overlap / union.clamp(min=1)


@torch.no_grad()
def best_mask_index(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Index of the lowest-loss mask among M candidates.

    Args:
        logits: (..., M, H, W).
        targets: (..., H, W).

    Returns:
        (...) int64 in [0, M).
    """
    return mask_loss(logits, targets.unsqueeze(-3)).argmin(dim=-1)


def select_mask(masks: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Take mask `index` (...) of `masks` (..., M, H, W): (..., H, W)."""
    index = index[..., None, None, None].expand(*index.shape, 1, *masks.shape[-2:])
    return masks.gather(-3, index).squeeze(-3)


def ambiguity_aware_loss(
    logits: torch.Tensor,
    iou_scores: torch.Tensor,
    targets: torch.Tensor,
    exploration: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss of M candidate masks per prompt: the best one learns the mask, all of them learn their IoU.

    The candidates are ranked without gradient, so the backward pass touches one mask per prompt instead of M.

    Args:
        logits: (B, P, M, h, w) candidate mask logits.
        iou_scores: (B, P, M) predicted IoU.
        targets: (B, P, h, w) bool.
        exploration: share of prompts for which a random candidate learns instead of the best. From random weights one
            candidate wins every prompt at first, and the others would never learn to compete.
        generator: source of that choice.

    Returns:
        The mean mask loss, the mean IoU loss (scalars), and the real IoU of every candidate (B, P, M).
    """
    real_iou = thresholded_iou(logits, targets.unsqueeze(-3))
    iou_loss = F.mse_loss(iou_scores.float(), real_iou)
    if logits.shape[2] == 1:
        learning = logits.squeeze(2)
    else:
        at_random = torch.randint(logits.shape[2], targets.shape[:2], generator=generator)
        explores = torch.rand(targets.shape[:2], generator=generator) < exploration
        learning = select_mask(logits, torch.where(explores, at_random, best_mask_index(logits, targets)))
    return mask_loss(learning, targets).mean(), iou_loss, real_iou
