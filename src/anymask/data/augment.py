"""Augmentation: image, masks, boxes and points move together, and every random number comes from a seed.

Each step takes a `View` and returns a view; `augmented` draws them for a sample: flip, colour, and the large-scale
jitter with which the paper trains on scarce data. Why no library does it: docs/decisions/0014-augmentation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..images.load import as_rgb_uint8
from ..masks.rle import mask_to_rle, rle_to_mask
from .samples import Sample

PADDING = 0  # black, which the model sees as padding anyway


@dataclass(frozen=True)
class View:
    """An image and what lies in its frame.

    Attributes:
        image: (H, W, 3) uint8.
        masks: (N, H, W) bool.
        points_xy: (P, 2) float, x right and y down, (0, 0) the outer corner of the first pixel; may lie outside.
        boxes_xyxy: (B, 4) float, outer edges in the same frame; cut at the frame.
        ignored: (H, W) bool, pixels that are neither right nor wrong.
    """

    image: np.ndarray
    masks: np.ndarray
    points_xy: np.ndarray
    boxes_xyxy: np.ndarray
    ignored: np.ndarray

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])


@dataclass(frozen=True)
class Augmentation:
    """Which changes are drawn.

    Attributes:
        flip: how often the image is mirrored left to right.
        scale: the range of large-scale jitter, (0.1, 2.0) in the paper; None leaves the scale. The image is resized by
            a factor drawn from it, then cut or padded back to its size.
        brightness: each of these is the greatest change, as a part of one: 0.1 multiplies by 0.9 to 1.1.
        contrast: see `brightness`.
        saturation: see `brightness`.
    """

    flip: float = 0.5
    scale: tuple[float, float] | None = (0.1, 2.0)
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise ValueError(f"`flip` must be a probability from 0 to 1, got {self.flip}.")
        if self.scale is not None and not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"`scale` must be two rising factors above 0, or None, got {self.scale}.")
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be in [0, 1), got {getattr(self, name)}.")

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        """One random change of a view; the same generator state gives the same."""
        if rng.random() < self.flip:
            view = flipped(view)
        if self.scale is not None:
            # Uniform in the logarithm: as much smaller as larger.
            factor = float(np.exp(rng.uniform(*np.log(self.scale))))
            view = rescaled(view, factor, rng.random(2).tolist())
        amounts = [
            1 + rng.uniform(-most, most) if most else 1.0 for most in (self.brightness, self.contrast, self.saturation)
        ]
        return recoloured(view, *amounts)


def augmented(sample: Sample, augmentation: Augmentation, seed: int | Sequence[int] | np.random.Generator) -> Sample:
    """A sample after one random change; masks that leave the image go, the others keep their labels and ids.

    Args:
        sample: any; its image becomes uint8.
        augmentation: what to draw from.
        seed: e.g. of the run, the epoch and the sample: the same seed gives the same change; or a generator.
    """
    ignored = np.zeros(sample.size_hw, dtype=bool) if sample.ignored is None else rle_to_mask(sample.ignored)
    view = View(as_rgb_uint8(sample.image), sample.masks, np.zeros((0, 2)), np.zeros((0, 4)), ignored=ignored)
    view = augmentation(view, np.random.default_rng(seed))
    kept = np.flatnonzero(view.masks.any(axis=(1, 2)) | ~sample.masks.any(axis=(1, 2))).tolist()
    return Sample(
        sample.name,
        view.image,
        [mask_to_rle(view.masks[index]) for index in kept],
        [sample.labels[index] for index in kept],
        object_ids=[sample.object_ids[index] for index in kept],
        ignored=mask_to_rle(view.ignored) if view.ignored.any() else None,
        spacing_hw=sample.spacing_hw,
        notes=sample.notes,
    )


def flipped(view: View) -> View:
    """The view mirrored left to right."""
    width = view.size_hw[1]
    x0, y0, x1, y1 = view.boxes_xyxy.T
    return replace(
        view,
        image=view.image[:, ::-1].copy(),
        masks=view.masks[:, :, ::-1].copy(),
        ignored=view.ignored[:, ::-1].copy(),
        points_xy=np.stack([width - view.points_xy[:, 0], view.points_xy[:, 1]], axis=1),
        boxes_xyxy=np.stack([width - x1, y0, width - x0, y1], axis=1),
    )


def rescaled(view: View, factor: float, place: Sequence[float]) -> View:
    """The view resized by a factor, then cut or padded to the size that it had.

    Args:
        view: any.
        factor: above 1 shows a part of the image, below 1 the image with padding, which counts as ignored.
        place: for y and for x, from 0 to 1, which part is cut out, or where the smaller image goes.
    """
    size_hw = np.array(view.size_hw)
    new_hw = np.maximum(np.round(size_hw * factor).astype(int), 1)
    # Where the old frame's corner lies in the new image; negative where the image becomes smaller than its frame.
    offset = np.round((new_hw - size_hw) * np.asarray(place)).astype(int)
    source, target = np.maximum(offset, 0), np.maximum(-offset, 0)
    shown = np.minimum(new_hw, size_hw)
    inside = (slice(target[0], target[0] + shown[0]), slice(target[1], target[1] + shown[1]))
    # Only what is shown is resized: a part of the old image, whose edges lie between its pixels.
    scale_yx = new_hw / size_hw
    top_left, bottom_right = source / scale_yx, (source + shown) / scale_yx
    window = (float(top_left[1]), float(top_left[0]), float(bottom_right[1]), float(bottom_right[0]))
    width_height = int(shown[1]), int(shown[0])

    def resize(pixels: np.ndarray, resample: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize(width_height, resample, box=window))

    image = np.full_like(view.image, PADDING)
    image[inside] = resize(view.image, Image.Resampling.BILINEAR)
    masks = np.zeros_like(view.masks)
    for mask, old in zip(masks, view.masks, strict=True):
        mask[inside] = resize(old.astype(np.uint8), Image.Resampling.NEAREST) > 0
    ignored = np.ones_like(view.ignored)
    ignored[inside] = resize(view.ignored.astype(np.uint8), Image.Resampling.NEAREST) > 0
    shift, scale_xy = offset[::-1], scale_yx[::-1]
    edges = np.array([*size_hw[::-1], *size_hw[::-1]])
    return View(
        image,
        masks,
        view.points_xy * scale_xy - shift,
        np.clip(view.boxes_xyxy * np.tile(scale_xy, 2) - np.tile(shift, 2), 0, edges),
        ignored=ignored,
    )


def recoloured(view: View, brightness: float, contrast: float, saturation: float) -> View:
    """The view with its colours multiplied, moved from its mean grey, and moved from grey, by factors around 1."""
    pixels = view.image.astype(np.float32) * brightness
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    mean = grey.mean()
    pixels = mean + (pixels - mean) * contrast
    grey = mean + (grey - mean) * contrast
    pixels = grey[..., None] + (pixels - grey[..., None]) * saturation
    return replace(view, image=np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
