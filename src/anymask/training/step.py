"""One training step: an image is encoded once, and every simulated user talks to its embedding for a few rounds.

Round 1 is a single click or a box, which is ambiguous: three masks answer it and the best one learns. In later rounds
the user corrects the mask that the model would have shown, and the single-mask output answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..modeling_sam import SamModel
from .data import normalise_images
from .losses import ambiguity_aware_loss, select_mask
from .nano import MASK_STRIDE
from .prompt_simulation import add_correction_clicks, first_prompts


@dataclass(frozen=True)
class StepOptions:
    """How the users of a step behave.

    Attributes:
        box_fraction: share of first prompts that are boxes.
        single_mask_fraction: share of steps whose first round asks for the single mask: people do that with boxes.
        round_weights: relative frequency of steps with 1, 2, 3 ... rounds.
        mask_prompt_fraction: share of later rounds that get the previous logits as a mask prompt.
        iou_weight: weight of the IoU head's loss.
        exploration: see `ambiguity_aware_loss`.
    """

    box_fraction: float = 0.5
    single_mask_fraction: float = 0.25
    round_weights: tuple[float, ...] = (0.6, 0.3, 0.1)
    mask_prompt_fraction: float = 0.75
    iou_weight: float = 2.0
    exploration: float = 0.1


@dataclass(frozen=True)
class RoundPlan:
    """How one step's rounds go, the same for every image of the batch.

    Attributes:
        asks_several: whether the first round asks for three masks or for the single one.
        keeps_mask: for every later round, whether it gets the previous logits as a mask prompt.
    """

    asks_several: bool
    keeps_mask: tuple[bool, ...]


def plan_rounds(options: StepOptions, generator: torch.Generator) -> RoundPlan:
    """Draw the number and the kinds of rounds of a step."""
    later_rounds = int(torch.multinomial(torch.tensor(options.round_weights), 1, generator=generator))
    chances = torch.rand(1 + later_rounds, generator=generator).tolist()
    keeps_mask = tuple(chance < options.mask_prompt_fraction for chance in chances[1:])
    return RoundPlan(chances[0] >= options.single_mask_fraction, keeps_mask)


def training_loss(
    model: SamModel,
    batch: dict[str, torch.Tensor],
    plan: RoundPlan,
    options: StepOptions,
    generator: torch.Generator,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Loss of one batch, averaged over its rounds, and the numbers for the log.

    Args:
        batch: image (B, 3, S, S) uint8, targets (B, P, S/2, S/2) bool, boxes (B, P, 4) float32 in the model frame.
        generator: source of the prompts.

    Returns:
        A scalar with gradient, and Python floats: the losses, the IoU of the first round by prompt and kind of output.
    """
    images, targets = normalise_images(batch["image"]), batch["targets"]
    embeddings = model.get_image_embeddings(images, interpolate_pos_encoding=True)
    points, labels = first_prompts(targets, batch["boxes"], MASK_STRIDE, options.box_fraction, generator)
    output = model(
        image_embeddings=embeddings, input_points=points, input_labels=labels, multimask_output=plan.asks_several
    )
    losses, log, real_iou = [], {}, None
    for round_number in range(1, 2 + len(plan.keeps_mask)):
        if round_number > 1:
            # The user corrects the mask that would have been shown: the one with the highest predicted IoU.
            shown = select_mask(output.pred_masks.detach(), output.iou_scores.argmax(dim=-1))
            points, labels = add_correction_clicks(points, labels, shown, targets, MASK_STRIDE, generator)
            output = model(
                image_embeddings=embeddings,
                input_points=points,
                input_labels=labels,
                input_masks=shown if plan.keeps_mask[round_number - 2] else None,
                multimask_output=False,
            )
        mask_part, iou_part, real_iou = ambiguity_aware_loss(
            output.pred_masks.float(), output.iou_scores, targets, options.exploration, generator
        )
        losses.append(mask_part + options.iou_weight * iou_part)
        log[f"mask_loss_{round_number}"] = mask_part.item()
        log[f"iou_loss_{round_number}"] = iou_part.item()
        if round_number == 1:
            log |= _first_round_ious(output.iou_scores, real_iou, labels)
        else:
            log[f"iou_round_{round_number}"] = real_iou.mean().item()
    loss = torch.stack(losses).mean()
    return loss, {"loss": loss.item(), **log}


def _first_round_ious(iou_scores: torch.Tensor, real_iou: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Mean IoU of the answers to clicks and to boxes: the best of three and the chosen one, or the single one."""
    is_click = labels[..., 1] < 0
    chosen = real_iou.gather(-1, iou_scores.argmax(dim=-1, keepdim=True)).squeeze(-1)
    scores = {"single": chosen} if real_iou.shape[-1] == 1 else {"best": real_iou.amax(dim=-1), "chosen": chosen}
    return {
        f"{prompt}_{name}": values[members].mean().item()
        for prompt, members in (("click", is_click), ("box", ~is_click))
        for name, values in scores.items()
        if members.any()
    }
