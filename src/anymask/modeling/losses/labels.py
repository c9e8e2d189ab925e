"""Labels as the loss takes them: checked, one for each prompt, and which of them only fill up a batch.

Their codes, -1 for a pixel and -100 for an object, are in `geometry/coordinates.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...geometry.coordinates import IGNORED_PIXEL, PADDED_OBJECT


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


def find_objects(labels: Tensor) -> Tensor:
    """Which masks (..., height, width) do not only fill up the batch."""
    return labels[..., 0, 0] != PADDED_OBJECT


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
