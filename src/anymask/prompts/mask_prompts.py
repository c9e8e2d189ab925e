"""Mask prompts: logits of an earlier prediction pass straight, an ordinary binary mask becomes logits first.

SAM was trained on its own low-resolution logits as mask prompts, so it expects numbers, not 0 and 1. A binary mask is
brought to the low-resolution frame the way its image is: resized with antialiasing, padded at the right and at the
bottom. What arrives there is the part of each low-resolution pixel that the mask covers, a probability, and its logit
is the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..geometry.coordinates import ResizeGeometry

# Probabilities stay this far from 0 and 1, so logits stay within +-6.9, inside the range of what SAM itself predicts.
MASK_PROMPT_MARGIN = 1e-3
MASK_PROMPT_LOGIT = math.log((1 - MASK_PROMPT_MARGIN) / MASK_PROMPT_MARGIN)


def prepare_mask_prompts(
    input_masks: Any, mask_geometries: Sequence[ResizeGeometry], n_objects: Sequence[int]
) -> torch.Tensor:
    """Mask prompts of all images in the low-resolution frame.

    Args:
        input_masks: one mask per image, or one per object of each image: an array or tensor (H, W), (objects, H, W) for
            one image, (images, H, W) for several, (images, objects, H, W); or a list of such arrays, one per image, or
            of lists of masks. Each is either a binary mask as large as its image (bool, 0 and 1, or 0 and 255), or
            logits of the size of the model's low-resolution masks. In lists, None stands for an object or an image
            without a mask.
        mask_geometries: the way from each image to its low-resolution frame.
        n_objects: how many objects the other prompts of each image have; 0 if there are no other prompts.

    Returns:
        (B, 1, h, w) if each image has one mask, else (B, objects, h, w); float32 logits, NaN throughout for None.

    Raises:
        ValueError: the masks do not match the images or objects, or are neither binary nor logits.
    """
    images = [
        torch.stack([_as_logits(mask, geometry) for mask in masks])
        for masks, geometry in zip(_per_image(input_masks, len(mask_geometries)), mask_geometries, strict=True)
    ]
    if all(masks.isnan().all() for masks in images):
        raise ValueError("`input_masks` must have at least one mask, got None alone; leave it out.")
    counts = [len(masks) for masks in images]
    for index, (count, wanted) in enumerate(zip(counts, n_objects, strict=True)):
        if count not in (1, wanted or count):
            raise ValueError(
                f"`input_masks` must have one mask per image or one per object; image {index} has {count} masks "
                f"for {wanted} objects."
            )
    if max(counts) == 1:
        return torch.stack(images)
    largest = max(*counts, *n_objects)
    padded = torch.zeros(len(images), largest, *images[0].shape[1:])
    for index, (masks, wanted) in enumerate(zip(images, n_objects, strict=True)):
        n_masks = max(len(masks), wanted)
        padded[index, :n_masks] = masks.expand(n_masks, -1, -1)
    return padded


def _per_image(input_masks: Any, n_images: int) -> list[Sequence[torch.Tensor | None]]:
    """For each image its masks (H, W), None for what is without one."""
    if isinstance(input_masks, list | tuple) and len(input_masks) == n_images > 0:
        return [_of_one_image(masks) for masks in input_masks]
    if n_images == 1 and isinstance(input_masks, list | tuple):
        return [_of_one_image(input_masks)]
    masks = _as_tensor(input_masks)
    if n_images == 1 and masks.ndim in (2, 3):
        return [_of_one_image(masks)]
    if masks.ndim in (3, 4, 5) and len(masks) == n_images:
        return [_of_one_image(image) for image in masks]
    raise ValueError(
        f"`input_masks` must have shape (height, width), (objects, height, width) for one image or "
        f"(images, objects, height, width), got {tuple(masks.shape)} for {n_images} image(s)."
    )


def _of_one_image(masks: Any) -> Sequence[torch.Tensor | None]:
    """The masks (H, W) of one image."""
    if masks is None:
        return [None]
    if isinstance(masks, list | tuple) and any(mask is None for mask in masks):
        return [None if mask is None else _without_channel(_as_tensor(mask)) for mask in masks]
    tensor = _as_tensor(masks)
    several = tensor[None] if tensor.ndim == 2 else tensor
    several = torch.stack([_without_channel(mask) for mask in several]) if several.ndim == 4 else several
    if several.ndim != 3 or several.numel() == 0:
        raise ValueError(
            "`input_masks` of an image must have shape (height, width) or (objects, height, width), "
            f"got {tuple(several.shape)}."
        )
    return list(several)


def _without_channel(mask: torch.Tensor) -> torch.Tensor:
    """A mask (H, W) of one that comes as (1, H, W)."""
    return mask[0] if mask.ndim == 3 and len(mask) == 1 else mask


def _as_tensor(masks: Any) -> torch.Tensor:
    if isinstance(masks, torch.Tensor):
        return masks.detach().cpu()
    if isinstance(masks, list | tuple):
        try:
            return torch.stack([_as_tensor(mask) for mask in masks])
        except RuntimeError as error:
            raise ValueError(f"`input_masks` of an image must all have one size, but: {error}.") from error
    return torch.from_numpy(np.array(masks))


def _as_logits(mask: torch.Tensor | None, geometry: ResizeGeometry) -> torch.Tensor:
    """One mask prompt (h, w) of float32 logits in the low-resolution frame; NaN for None."""
    if mask is None:
        return torch.full(geometry.padded_size_hw, torch.nan)
    size_hw = tuple(mask.shape)
    is_float = mask.is_floating_point()
    if size_hw == geometry.original_size_hw and (
        not is_float or size_hw != geometry.padded_size_hw or _is_binary(mask)
    ):
        if not _is_binary(mask):
            raise ValueError(
                "`input_masks` of the size of the image must be binary: bool, 0 and 1, or 0 and 255; got values from "
                f"{float(mask.min()):g} to {float(mask.max()):g}. Of a label map take one label: `labels == label`."
            )
        return binary_mask_to_logits(mask != 0, geometry)
    if size_hw != geometry.padded_size_hw or not is_float:
        raise ValueError(
            f"`input_masks` must be binary masks as high and wide as the image, {geometry.original_size_hw}, or "
            f"floating-point logits of size {geometry.padded_size_hw}, got {mask.dtype} of size {size_hw}."
        )
    if not torch.isfinite(mask).all():
        raise ValueError("`input_masks` given as logits must be finite, got NaN or infinity.")
    return mask.float()


def binary_mask_to_logits(mask: torch.Tensor, geometry: ResizeGeometry) -> torch.Tensor:
    """Logits (h, w) for a boolean mask (H, W): those of the part of each low-resolution pixel that the mask covers.

    Args:
        mask: of the size of the original image.
        geometry: the way from the image to the low-resolution frame.

    Returns:
        float32 within +-`MASK_PROMPT_LOGIT`; the padding is background.
    """
    coverage = F.interpolate(
        mask[None, None].float(), geometry.resized_size_hw, mode="bilinear", align_corners=False, antialias=True
    )[0, 0]
    height, width = geometry.resized_size_hw
    logits = torch.full(geometry.padded_size_hw, -MASK_PROMPT_LOGIT)
    logits[:height, :width] = torch.logit(coverage, eps=MASK_PROMPT_MARGIN)
    return logits


def _is_binary(mask: torch.Tensor) -> bool:
    """Whether a mask holds nothing but 0 and 1, or 0 and 255."""
    if mask.dtype == torch.bool:
        return True
    high = mask.max()
    return bool(high in (0, 1, 255)) and bool(((mask == 0) | (mask == high)).all())
