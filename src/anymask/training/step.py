"""One training step: an image is encoded once, and every simulated user talks to its embedding for a few rounds.

Round 1 is a single click or a box, which is ambiguous: three masks answer it and the best one learns. In later rounds the
user corrects the mask that the model would have shown, and the single-mask output answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..modeling_sam import SamModel
from .data import MASK_STRIDE, normalise_images
from .losses import ambiguity_aware_loss, mask_loss, select_mask, thresholded_iou
from .prompt_simulation import add_correction_clicks, first_prompts


@dataclass(frozen=True)
class StepOptions:
    """How the users of a step behave.

    Attributes:
        box_fraction: share of first prompts that are boxes.
        single_mask_fraction: share of steps whose first round also, and only, asks for the single mask: people do that with boxes.
        round_weights: relative frequency of steps with 1, 2, 3 ... rounds.
        mask_prompt_fraction: share of later rounds that get the previous logits as a mask prompt.
        iou_weight: weight of the IoU head's loss.
    """

    box_fraction: float = 0.5
    single_mask_fraction: float = 0.25
    round_weights: tuple[float, ...] = (0.5, 0.35, 0.15)
    mask_prompt_fraction: float = 0.75
    iou_weight: float = 1.0


def training_loss(
    model: SamModel, batch: dict[str, torch.Tensor], options: StepOptions, generator: torch.Generator
) -> tuple[torch.Tensor, dict[str, float]]:
    """Loss of one batch, averaged over its rounds, and the numbers for the log.

    Args:
        batch: image (B, 3, S, S) uint8, targets (B, P, S/2, S/2) bool, boxes (B, P, 4) float32 in the model frame.
        generator: source of every random choice of the step.

    Returns:
        A scalar with gradient, and Python floats: the IoU of the first round by prompt and kind of output, the losses.
    """
    images, targets = normalise_images(batch["image"]), batch["targets"]
    embeddings = model.get_image_embeddings(images, interpolate_pos_encoding=True)
    points, labels = first_prompts(targets, batch["boxes"], MASK_STRIDE, options.box_fraction, generator)
    num_rounds = 1 + _choose(torch.tensor(options.round_weights), generator)
    is_multimask = torch.rand((), generator=generator).item() >= options.single_mask_fraction

    losses, log, mask_prompts = [], {}, None
    for round_index in range(num_rounds):
        output = model(
            image_embeddings=embeddings,
            input_points=points,
            input_labels=labels,
            input_masks=mask_prompts,
            multimask_output=is_multimask and round_index == 0,
        )
        logits = output.pred_masks.float()
        mask_part, iou_part, real_iou, best = _round_loss(logits, output.iou_scores, targets)
        losses.append(mask_part + options.iou_weight * iou_part)
        log[f"mask_loss_{round_index + 1}"] = mask_part.item()
        log[f"iou_loss_{round_index + 1}"] = iou_part.item()
        if round_index == 0:
            log |= _first_round_ious(output.iou_scores, real_iou, best, labels, is_multimask)
        if round_index + 1 < num_rounds:
            # The user corrects the mask that would have been shown: the one with the highest predicted IoU.
            shown = select_mask(logits.detach(), output.iou_scores.argmax(dim=-1))
            points, labels = add_correction_clicks(points, labels, shown, targets, MASK_STRIDE, generator)
            keeps_mask = torch.rand((), generator=generator).item() < options.mask_prompt_fraction
            mask_prompts = shown if keeps_mask else None
        else:
            log[f"iou_last_of_{num_rounds}"] = real_iou.amax(dim=-1).mean().item()
    loss = torch.stack(losses).mean()
    return loss, {"loss": loss.item(), **log}


def _round_loss(
    logits: torch.Tensor, iou_scores: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Losses of one round, with one mask per prompt or several; see ``ambiguity_aware_loss`` for what is returned."""
    if logits.shape[2] > 1:
        return ambiguity_aware_loss(logits, iou_scores, targets)
    real_iou = thresholded_iou(logits, targets.unsqueeze(2))
    iou_loss = F.mse_loss(iou_scores.float(), real_iou)
    best = torch.zeros(logits.shape[:2], dtype=torch.int64)
    return mask_loss(logits.squeeze(2), targets).mean(), iou_loss, real_iou, best


def _first_round_ious(
    iou_scores: torch.Tensor, real_iou: torch.Tensor, best: torch.Tensor, labels: torch.Tensor, is_multimask: bool
) -> dict[str, float]:
    """Mean IoU of the answers to clicks and to boxes: the best mask's, and the one that the model itself would choose."""
    is_click = labels[..., 1] < 0
    chosen = real_iou.gather(-1, iou_scores.argmax(dim=-1, keepdim=True)).squeeze(-1)
    best_iou = real_iou.gather(-1, best.unsqueeze(-1)).squeeze(-1)
    kind = "" if is_multimask else "single_"
    log = {}
    for name, members in (("click", is_click), ("box", ~is_click)):
        if members.any():
            log[f"{kind}{name}_iou_best"] = best_iou[members].mean().item()
            if is_multimask:
                log[f"{name}_iou_chosen"] = chosen[members].mean().item()
    return log


def _choose(weights: torch.Tensor, generator: torch.Generator) -> int:
    return int(torch.multinomial(weights, 1, generator=generator))
