"""Which of a prompt's masks is its answer.

The decoder gives four for each prompt: one that is meant for unambiguous prompts, and three for ambiguous ones (whole,
part, subpart). Torch only.
"""

from __future__ import annotations

import torch

from ..masks.sparse_upsampling import SparseUpsampler

CHOICES = ("best", "stable", "all")
STABLE_OFFSET = 0.05  # how far the threshold moves each way
STABLE_SCORE = 0.98  # from here on the single mask is trusted


def check_choice(choice: str, multimask_output: bool = True) -> None:
    """Raise ValueError for a choice that there is not, or nothing to choose from."""
    if choice not in CHOICES:
        raise ValueError(f"`choice` must be one of {', '.join(map(repr, CHOICES))}, got {choice!r}.")
    if choice == "stable" and not multimask_output:
        raise ValueError("`choice` must be 'best' with multimask_output=False, which leaves one mask, got 'stable'.")


def masks_wanted(choice: str, multimask_output: bool) -> bool | None:
    """What `SamModel.forward` takes as `multimask_output`, so that `choose_masks` has what it needs."""
    return None if choice == "stable" else multimask_output


def choose_masks(
    low_res_logits: torch.Tensor,
    iou_scores: torch.Tensor,
    choice: str,
    upsampler: SparseUpsampler,
    stable_score: float = STABLE_SCORE,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the masks that answer each prompt: one, or with "all" each of them.

    "best" is the mask with the highest predicted IoU; of equal ones the first. "stable" is the single mask where it
    hardly changes when its threshold moves (stability score of at least 0.98 at an offset of 0.05), else the best of
    the others. An empty mask is not stable.

    Args:
        low_res_logits: (P, M, h, w); for "stable" the single mask first.
        iou_scores: (P, M), predicted.
        choice: One of `CHOICES`.
        upsampler: Of the image, since stability is measured on masks of its size.
        stable_score: From which stability on the single mask is trusted.

    Returns:
        Logits (P, K, h, w) and predicted IoU (P, K) of the chosen masks; K is 1, or M with "all".

    Source: "stable" is SAM 2's dynamic multimask (https://arxiv.org/abs/2408.00714), which measures on the
        low-resolution masks and takes an empty mask for a stable one.
    """
    if choice == "all":
        return low_res_logits, iou_scores
    if choice == "stable":
        single = low_res_logits[:, 0]
        is_stable = upsampler.stability_scores(single, stability_score_offset=STABLE_OFFSET) >= stable_score
        chosen = torch.where(is_stable.to(iou_scores.device), 0, 1 + iou_scores[:, 1:].argmax(dim=1))
    else:
        chosen = iou_scores.argmax(dim=1)
    prompts = torch.arange(len(chosen), device=chosen.device)
    return low_res_logits[prompts, chosen, None], iou_scores[prompts, chosen, None]
