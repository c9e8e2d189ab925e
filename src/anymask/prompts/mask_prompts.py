"""Mask prompts: logits of an earlier prediction pass straight, an ordinary binary mask becomes logits first.

SAM was trained on its own low-resolution logits as mask prompts, so it expects numbers, not 0 and 1. A binary mask is
brought to the low-resolution frame the way its image is: resized with antialiasing, padded at the right and at the
bottom. What arrives there is the part of each low-resolution pixel that the mask covers, a probability, and its logit
is the prompt.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..geometry.coordinates import ResizeGeometry
from ..images.load import in_native_order
from ..masks.rle import rle_to_mask

# Probabilities stay this far from 0 and 1, so logits stay within +-6.9, inside the range of what SAM itself predicts.
MASK_PROMPT_MARGIN = 1e-3
MASK_PROMPT_LOGIT = math.log((1 - MASK_PROMPT_MARGIN) / MASK_PROMPT_MARGIN)
# Far beyond what any SAM predicts, and far below what half precision can add up.
MAX_LOGIT = 1e4


IMAGE_KINDS = (str, os.PathLike, Image.Image)
"""What `load_mask` reads."""


def prepare_mask_prompts(
    input_masks: Any, mask_geometries: Sequence[ResizeGeometry], n_prompts: Sequence[int]
) -> torch.Tensor:
    """Mask prompts of all images in the low-resolution frame.

    Args:
        input_masks: one mask per image, or one per prompt of each image: an array or tensor (H, W), (prompts, H, W) for
            one image, (images, H, W) for several, (images, prompts, H, W); or a list of such arrays, one per image, or
            of lists of masks. Each is either a binary mask as large as its image (bool, 0 and 1, or 0 and 255), or
            logits of the size of the model's low-resolution masks. In lists, None stands for a prompt or an image
            without a mask.
        mask_geometries: the way from each image to its low-resolution frame.
        n_prompts: how many prompts the other prompts of each image have; 0 if there are no other prompts.

    Returns:
        (B, 1, h, w) if each image has one mask, else (B, prompts, h, w); float32 logits, NaN throughout for None.

    Raises:
        ValueError: If the masks do not match the images or prompts, or are neither binary nor logits.
    """
    images = [
        torch.stack([mask_to_logits(mask, geometry) for mask in masks])
        for masks, geometry in zip(_per_image(input_masks, len(mask_geometries)), mask_geometries, strict=True)
    ]
    if all(masks.isnan().all() for masks in images):
        raise ValueError("`input_masks` must have at least one mask, got None alone; leave it out.")
    counts = [len(masks) for masks in images]
    for index, (count, wanted) in enumerate(zip(counts, n_prompts, strict=True)):
        if count not in (1, wanted or count):
            raise ValueError(
                f"`input_masks` must have one mask per image or one per prompt; image {index} has {count} masks "
                f"for {wanted} prompts."
            )
    if max(counts) == 1:
        return torch.stack(images)
    largest = max(*counts, *n_prompts)
    padded = images[0].new_zeros(len(images), largest, *images[0].shape[1:])
    for index, (masks, wanted) in enumerate(zip(images, n_prompts, strict=True)):
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
        f"`input_masks` must have shape (height, width), (prompts, height, width) for one image or "
        f"(images, prompts, height, width), got {tuple(masks.shape)} for {n_images} image(s)."
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
            "`input_masks` of an image must have shape (height, width) or (prompts, height, width), "
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
    return torch.from_numpy(in_native_order(np.array(masks)))


def mask_to_logits(mask: Any, geometry: ResizeGeometry) -> torch.Tensor:
    """Bring one mask prompt to float32 logits (h, w) in the low-resolution frame; NaN throughout for None.

    Args:
        mask: Binary and of the image's size, (H, W) or its RLE; or logits of the low-resolution frame's size; or None.
        geometry: The way from the image to the low-resolution frame.

    Raises:
        ValueError: If the mask is of another size, neither binary nor logits, or its logits are not finite numbers
            within +-`MAX_LOGIT`.
    """
    if mask is None:
        return torch.full(geometry.padded_size_hw, torch.nan, dtype=torch.float32, device="cpu")
    if isinstance(mask, Mapping):
        if tuple(mask["size"]) != geometry.original_size_hw:  # before it is decoded: it may say any size
            raise ValueError(
                f"A mask prompt given as RLE must have the image's size, {geometry.original_size_hw}, got "
                f"{tuple(mask['size'])}."
            )
        mask = rle_to_mask(dict(mask))
    mask = _as_tensor(mask)
    if mask.is_complex():
        raise ValueError(f"`input_masks` must hold real numbers, got {mask.dtype}.")
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
    if not (mask.abs() <= MAX_LOGIT).all():  # written so that NaN fails
        raise ValueError(
            f"`input_masks` given as logits must be finite and within +-{MAX_LOGIT:g}, got NaN, infinity or more."
        )
    return mask.float()


def load_mask(source: str | os.PathLike[str] | Image.Image) -> np.ndarray:
    """Read a mask (H, W) from a Pillow image, or a file of one, of one channel or of several equal ones.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or its channels differ.
    """
    if not isinstance(source, Image.Image):
        path = os.path.expanduser(source)
        if not os.path.isfile(path):
            raise FileNotFoundError(f"A mask prompt given as text must be an image file, but {path!r} is none.")
        try:
            with Image.open(path) as opened:
                opened.load()
                return load_mask(opened)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"The mask prompt {path!r} must be an image file, but: {error}.") from error
    pixels = np.asarray(source)
    if source.mode in ("LA", "RGBA"):
        pixels = pixels[..., :-1]
    if pixels.ndim == 3:
        if not (pixels == pixels[..., :1]).all():
            raise ValueError(f"A mask prompt given as a picture must be grey, got mode {source.mode} with colours.")
        pixels = pixels[..., 0]
    return pixels


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
    logits = coverage.new_full(geometry.padded_size_hw, -MASK_PROMPT_LOGIT)
    logits[:height, :width] = torch.logit(coverage, eps=MASK_PROMPT_MARGIN)
    return logits


def _is_binary(mask: torch.Tensor) -> bool:
    """Whether a mask holds nothing but 0 and 1, or 0 and 255."""
    if mask.dtype == torch.bool:
        return True
    high = mask.max()
    return bool(high in (0, 1, 255)) and bool(((mask == 0) | (mask == high)).all())
