"""Images with known masks as arrays: what scores of sam-vit-nano are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.readers.folders import read_mask_folder
from ...data.samples import MaskDataset
from ...data.synthetic.held_out import MIN_MASK_PIXELS, read_held_out_scenes
from ...images.load import as_rgb_uint8


@dataclass(frozen=True)
class Example:
    """An image (H, W, 3) uint8 and the masks (N, H, W) bool of things in it; N may be 0."""

    name: str
    image: np.ndarray
    masks: np.ndarray


def held_out_scenes(count: int, size_hw: tuple[int, int] = (256, 256)) -> Iterator[Example]:
    """Drawn scenes that no training run has seen: the same ones at every call."""
    yield from _examples(read_held_out_scenes(f"synthetic:{count}", size_hw))


def folder_examples(folder: Path) -> Iterator[Example]:
    """Images of a folder with their masks, without those of fewer than `MIN_MASK_PIXELS` pixels.

    Raises:
        ValueError: If the folder has no such pair, or masks and image differ in size.
    """
    yield from _examples(read_mask_folder(folder))


def _examples(dataset: MaskDataset) -> Iterator[Example]:
    for sample in dataset.samples():
        masks = sample.masks
        large = masks.sum(axis=(1, 2)) >= MIN_MASK_PIXELS
        yield Example(sample.name, as_rgb_uint8(sample.image), masks[large])
