"""Segmentation maps for training: read for their images, checked, brought to the size of the model's masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..geometry.coordinates import PADDED_OBJECT, ResizeGeometry
from ..prompts.nested import flat_list
from .options import ImageOptions


def prepare_segmentation_maps(
    maps: Any, geometries: Sequence[ResizeGeometry], options: ImageOptions, n_prompts: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Labels of each image in the low-resolution frame of the model's masks, int64.

    Args:
        maps: One or several for each image. Of one image: HxW, HxWx1, (maps, H, W), or a list of these. Of several: a
            list with an entry for each image, or an array (images, H, W) or (images, maps, H, W).
        geometries: The way of each image to the model's input.
        options: The sizes of the low-resolution frame.
        n_prompts: How many prompts each image has, 0 where that is not known.

    Returns:
        (h, w) where each image has one map. Where one has several, (prompts, h, w) for all of them: the map of an image
        that has one belongs to all its prompts, and -100 throughout is the label of a prompt that the image lacks.

    Raises:
        ValueError: If maps are not as many or as large as they must be, or hold other than whole numbers.
    """
    images = [
        _maps_of_image(entry, geometry.original_size_hw)
        for entry, geometry in zip(_per_image(maps, len(geometries)), geometries, strict=True)
    ]
    counts = [len(image) for image in images]
    wanted = [0] * len(images) if n_prompts is None else n_prompts
    for index, (count, prompts) in enumerate(zip(counts, wanted, strict=True)):
        if count != 1 and count != (prompts or count):
            raise ValueError(
                f"`segmentation_maps` must have one map for an image, or one for each of its prompts; image {index} "
                f"has {count} maps and {prompts} prompts."
            )
    labels = [
        np.stack([_resize_map(array, geometry, options) for array in image])
        for image, geometry in zip(images, geometries, strict=True)
    ]
    if max(counts) == 1:
        return [image[0] for image in labels]
    filled = []
    for image, prompts in zip(labels, wanted, strict=True):
        padded = np.full((max(*counts, *wanted), *image.shape[1:]), PADDED_OBJECT, dtype=np.int64)
        padded[: max(len(image), prompts)] = image
        filled.append(padded)
    return filled


def _per_image(maps: Any, n_images: int) -> list[Any]:
    """What is meant for each image: one array, or several."""
    if isinstance(maps, list | tuple):
        entries = list(maps)
    else:
        has_images = not isinstance(maps, Image.Image) and np.ndim(maps) > 2 and len(maps) == n_images
        entries = list(maps) if has_images else [maps]
    if len(entries) == n_images:
        return entries
    if n_images == 1:
        return [entries]
    flat = flat_list(entries)  # Transformers takes any nesting of one map per image
    if len(flat) != n_images:
        raise ValueError(
            f"`segmentation_maps` must have one entry per image, got {len(entries)} for {n_images} images."
        )
    return flat


def _maps_of_image(entry: Any, size_hw: tuple[int, int]) -> list[np.ndarray]:
    """The maps (H, W) of one image, from arrays, tensors or Pillow images, one or several."""
    return [one_map for array in flat_list(entry) for one_map in _split(array, size_hw)]


def _split(one_or_several: Any, size_hw: tuple[int, int]) -> list[np.ndarray]:
    is_tensor = isinstance(one_or_several, torch.Tensor)
    array = one_or_several.detach().cpu().numpy() if is_tensor else np.asarray(one_or_several)
    if array.shape == (*size_hw, 1):
        array = array[..., 0]
    if array.ndim not in (2, 3) or array.shape[-2:] != size_hw or array.size == 0:
        raise ValueError(
            f"A segmentation map must be as large as its image, {size_hw} (height x width): HxW, HxWx1, or several as "
            f"(maps, H, W); got shape {array.shape}."
        )
    if array.dtype.kind not in "bui" and not (array == np.floor(array)).all():
        raise ValueError(
            f"A segmentation map must hold whole numbers, one per class or object, got dtype {array.dtype}."
        )
    return [array] if array.ndim == 2 else list(array)


def _resize_map(array: np.ndarray, geometry: ResizeGeometry, options: ImageOptions) -> np.ndarray:
    """A segmentation map in the low-resolution frame of the model's masks: nearest neighbour, padded with 0, int64."""
    target = options.mask_geometry(geometry)
    height, width = target.resized_size_hw
    labels = np.zeros(target.padded_size_hw, dtype=np.int64)
    nearest = Image.fromarray(array.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
    labels[:height, :width] = np.asarray(nearest)
    return labels
