"""Segmentation maps for training: paired with their images, checked, brought to the size of the model's masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from ..geometry.coordinates import ResizeGeometry
from ..prompts.nested import flat_list
from .options import ImageOptions


def pair_with_images(maps: Any, geometries: list[ResizeGeometry]) -> list[tuple[np.ndarray, ResizeGeometry]]:
    """Segmentation maps as HxW integer arrays, each with the geometry of its image."""
    # Of one image, three axes are height, width and one channel; of several, the first is that of the images.
    arrays = [_as_map(one_map) for one_map in flat_list(maps, batch_axes=4 if len(geometries) == 1 else 3)]
    if len(arrays) != len(geometries):
        raise ValueError(
            f"There must be one segmentation map per image, got {len(arrays)} for {len(geometries)} images."
        )
    for array, geometry in zip(arrays, geometries, strict=True):
        if array.shape != geometry.original_size_hw:
            raise ValueError(
                f"A segmentation map must be as large as its image, {geometry.original_size_hw} (height x width), "
                f"got shape {array.shape}."
            )
    return list(zip(arrays, geometries, strict=True))


def resize_map(array: np.ndarray, geometry: ResizeGeometry, options: ImageOptions) -> np.ndarray:
    """A segmentation map in the low-resolution frame of the model's masks: nearest neighbour, padded with 0, int64."""
    target = options.mask_geometry(geometry)
    height, width = target.resized_size_hw
    labels = np.zeros(target.padded_size_hw, dtype=np.int64)
    nearest = Image.fromarray(array.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
    labels[:height, :width] = np.asarray(nearest)
    return labels


def _as_map(one_map: Any) -> np.ndarray:
    array = one_map.detach().cpu().numpy() if isinstance(one_map, torch.Tensor) else np.asarray(one_map)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"A segmentation map must have shape HxW, HxWx1 or 1xHxW, got {array.shape}.")
    if array.dtype.kind not in "bui" and not (array == np.floor(array)).all():
        raise ValueError(
            f"A segmentation map must hold whole numbers, one per class or object, got dtype {array.dtype}."
        )
    return array
