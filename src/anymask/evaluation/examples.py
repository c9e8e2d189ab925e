"""Images with known masks, drawn or photographed, and the prompts that stand for each mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.synthetic.scenes import draw_scene

HELD_OUT_SCENES = 2
"""First word of the seeds of held-out scenes; those of training have another, so no scene is in both."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MASKS_SUFFIX = "_masks.npz"
MIN_MASK_PIXELS = 64


@dataclass(frozen=True)
class Example:
    """An image (H, W, 3) uint8 and the masks (N, H, W) bool of things in it; N may be 0."""

    name: str
    image: np.ndarray
    masks: np.ndarray


def held_out_scenes(count: int, size_hw: tuple[int, int] = (256, 256)) -> Iterator[Example]:
    """Drawn scenes that no training run has seen: the same ones at every call."""
    for index in range(count):
        scene = draw_scene(np.random.SeedSequence((HELD_OUT_SCENES, index)), size_hw)
        yield Example(f"scene-{index}", scene.image, _large_enough(scene.masks))


def folder_examples(folder: Path) -> Iterator[Example]:
    """Photographs `NAME.png` or `NAME.jpg` with `NAME_masks.npz`, whose first array is (N, H, W) bool.

    Raises:
        ValueError: if the folder has no such pair, or masks and image differ in size.
    """
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    pairs = [(path, path.with_name(path.stem + MASKS_SUFFIX)) for path in paths]
    pairs = [(path, masks_path) for path, masks_path in pairs if masks_path.exists()]
    if not pairs:
        raise ValueError(f"{folder} must hold images with a {MASKS_SUFFIX} file beside each, found none.")
    for path, masks_path in pairs:
        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        with np.load(masks_path) as arrays:
            masks = arrays[arrays.files[0]].astype(bool)
        if masks.shape[1:] != image.shape[:2]:
            raise ValueError(
                f"Masks must have the size of their image {image.shape[:2]}, {masks_path} has {masks.shape[1:]}."
            )
        yield Example(path.stem, image, _large_enough(masks))


def innermost_pixel_xy(mask: np.ndarray) -> np.ndarray:
    """The click of the evaluation: the pixel of the mask that lies farthest from its border, (2,) float32 as x, y.

    The frame of the image is a border too, so that a cut-off object is clicked inside the image. Ties go to the first
    pixel, row by row.

    Args:
        mask: (H, W) bool, not empty.
    """
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), mask.shape)
    return np.array([column, row], dtype=np.float32)


def _large_enough(masks: np.ndarray) -> np.ndarray:
    return masks[masks.sum(axis=(1, 2)) >= MIN_MASK_PIXELS] if len(masks) else masks
