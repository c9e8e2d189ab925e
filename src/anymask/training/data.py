"""Drawn scenes as training samples: augmented images with the masks that this sample asks for.

A sample depends on the seed and its own index alone, whichever worker makes it. So a resumed run continues with exactly
the samples that an uninterrupted one would have seen: start the sampler at the next index.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ..data.synthetic.scenes import Scene, draw_scene
from ..masks.measures import outer_box_xyxy
from .nano import MASK_STRIDE, PATCH_SIZE

MIN_TARGET_PIXELS = 12  # at low resolution; below, neither prompt nor loss has anything to hold on to
MAX_TARGET_FRACTION = 0.95
TRAINING_SCENES = 1  # first word of their seeds; held-out scenes have another
# Padding in normalised images is 0, which is the mean colour: 8-bit images are padded with it before normalisation.
PADDING_COLOUR = np.round(255 * np.array(IMAGENET_DEFAULT_MEAN)).astype(np.uint8)


@dataclass(frozen=True)
class SampleOptions:
    """What one training sample looks like.

    Attributes:
        image_size: side of the model frame in pixels.
        num_prompts: targets per image.
        scene_size: side of the drawn scene before crop and resize, in pixels.
        seed: of all scenes and augmentations.
        repeats: how often a scene is shown, each time cropped, coloured and asked about anew; drawing costs more.
        window: samples until a scene comes again.
    """

    image_size: int
    num_prompts: int
    scene_size: int = 256
    seed: int = 0
    repeats: int = 2
    window: int = 128


class SceneSamples(Dataset):
    """Endless map from an index to `{"image", "targets", "boxes"}`.

    `image` (3, S, S) uint8, `targets` (P, S/2, S/2) bool, `boxes` (P, 4) float32 xyxy in pixels of the model frame.
    """

    def __init__(self, options: SampleOptions):
        self.options = options
        self._recent: OrderedDict[int, Scene] = OrderedDict()

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        options = self.options
        rng = np.random.default_rng((options.seed, index))
        for attempt in range(10):
            # Crops without a usable target are rare; another scene stands in, far from those of other samples.
            scene = self._scene(scene_index(index, options) + attempt * 1_000_000_000)
            sample = make_sample(scene.image, scene.masks, options, rng)
            if sample is not None:
                return sample
        raise RuntimeError(f"Ten scenes in a row for sample {index} have no mask that can be a target.")

    def _scene(self, index: int) -> Scene:
        """Draw scene `index`, or take it from the last ones; which of the two changes the speed only."""
        scene = self._recent.pop(index, None)
        if scene is None:
            size = self.options.scene_size
            scene = draw_scene(np.random.SeedSequence((TRAINING_SCENES, self.options.seed, index)), (size, size))
        self._recent[index] = scene
        if len(self._recent) > self.options.window:
            self._recent.popitem(last=False)
        return scene


def scene_index(sample_index: int, options: SampleOptions) -> int:
    """The scene of a sample: `window` scenes in a row, the same ones again until each was shown `repeats` times."""
    block, place = divmod(sample_index, options.window * options.repeats)
    return block * options.window + place % options.window


class ConsecutiveSampler(Sampler):
    """Yields start, start + 1, ... without end."""

    def __init__(self, start: int):
        self.start = start

    def __iter__(self) -> Iterator[int]:
        index = self.start
        while True:
            yield index
            index += 1


def make_sample(
    image: np.ndarray, masks: np.ndarray, options: SampleOptions, rng: np.random.Generator
) -> dict[str, torch.Tensor] | None:
    """Augment one scene and choose its targets.

    Args:
        image: (H, W, 3) uint8.
        masks: (N, H, W) bool, exact masks of objects and parts.

    Returns:
        The sample of `SceneSamples`, or None when no mask is large enough to be a target.
    """
    image, masks = _random_turn(image, masks, rng)
    return frame_sample(*_random_crop(image, masks, rng), options, rng)


def frame_sample(
    image: np.ndarray, masks: np.ndarray, options: SampleOptions, rng: np.random.Generator
) -> dict[str, torch.Tensor] | None:
    """Choose targets of a picture, change its colours, and bring both into the model frame: see `make_sample`."""
    size_hw = _resized_size_hw(image.shape[:2], options.image_size)
    targets = _low_resolution_targets(masks, size_hw, options.image_size)
    areas = targets.flatten(1).sum(dim=1).numpy()
    candidates = np.flatnonzero(
        (areas >= MIN_TARGET_PIXELS) & (areas <= MAX_TARGET_FRACTION * size_hw[0] * size_hw[1] / MASK_STRIDE**2)
    )
    if len(candidates) == 0:
        return None
    chosen = candidates[sample_by_area(areas[candidates], options.num_prompts, rng)]
    scale_xy = np.array([size_hw[1] / masks.shape[2], size_hw[0] / masks.shape[1]] * 2)
    boxes = np.stack([outer_box_xyxy(masks[index]) for index in chosen]) * scale_xy

    framed = np.empty((options.image_size, options.image_size, 3), dtype=np.uint8)
    framed[:] = PADDING_COLOUR
    resized = Image.fromarray(image).resize(size_hw[::-1], Image.Resampling.BILINEAR)
    framed[: size_hw[0], : size_hw[1]] = _random_colour(np.asarray(resized), rng)
    return {
        "image": torch.from_numpy(framed).permute(2, 0, 1).contiguous(),
        "targets": targets[torch.from_numpy(chosen)],
        "boxes": torch.from_numpy(boxes.astype(np.float32)),
    }


def sample_by_area(areas: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose `count` indices so that every octave of area is as likely as the others.

    Without repetition while the masks last; then all of them, and the rest with repetition.

    Args:
        areas: (N,) positive.

    Returns:
        (count,) int64 indices into `areas`.
    """
    octaves = np.floor(np.log2(areas)).astype(int)
    weights = 1.0 / np.bincount(octaves)[octaves]
    weights /= weights.sum()
    if len(areas) >= count:
        return rng.choice(len(areas), size=count, replace=False, p=weights)
    repeated = rng.choice(len(areas), size=count - len(areas), replace=True, p=weights)
    return np.concatenate((np.arange(len(areas)), repeated))


def normalise_images(images: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, S, S) uint8 to the model's input: scaled to [0, 1], ImageNet mean and standard deviation."""
    mean = torch.tensor(IMAGENET_DEFAULT_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_DEFAULT_STD).view(3, 1, 1)
    return (images.float() / 255 - mean) / std


def make_loader(samples: Dataset, start_index: int, batch_size: int, num_workers: int) -> DataLoader:
    """Batches of samples in index order from `start_index` on, without end."""
    return DataLoader(
        samples,
        batch_size=batch_size,
        sampler=ConsecutiveSampler(start_index),
        num_workers=num_workers,
        prefetch_factor=4 if num_workers else None,
        # Threads of the parent make "fork" unsafe, and a worker needs none of its memory.
        multiprocessing_context="spawn" if num_workers else None,
    )


def _random_turn(image: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mirror half of the scenes and turn a quarter of them by 90, 180 or 270 degrees."""
    if rng.random() < 0.5:
        image, masks = image[:, ::-1], masks[:, :, ::-1]
    if rng.random() < 0.25:
        turns = int(rng.integers(1, 4))
        image, masks = np.rot90(image, turns, axes=(0, 1)), np.rot90(masks, turns, axes=(1, 2))
    return image, masks


def _random_crop(image: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut a window of 60 to 100 % of the height and of the width: zoom and the aspect ratios of photographs."""
    height, width = image.shape[:2]
    longest = rng.uniform(0.6, 1.0) if rng.random() < 0.7 else 1.0
    # Photographs are 4:3 or 3:2 more often than square.
    aspect = rng.choice([1.0, 3 / 4, 2 / 3])
    fractions = (longest, longest * aspect) if rng.random() < 0.35 else (longest * aspect, longest)
    crop_height, crop_width = int(height * fractions[0]), int(width * fractions[1])
    top, left = rng.integers(0, height - crop_height + 1), rng.integers(0, width - crop_width + 1)
    window = (slice(top, top + crop_height), slice(left, left + crop_width))
    return np.ascontiguousarray(image[window]), np.ascontiguousarray(masks[(slice(None), *window)])


def _random_colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation of half of the images; some lose their colour."""
    if rng.random() < 0.5:
        return image
    pixels = image.astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.1 else rng.uniform(0.5, 1.3)
    pixels = grey + saturation * (pixels - grey)
    pixels = (pixels - grey.mean()) * rng.uniform(0.7, 1.3) + grey.mean() * rng.uniform(0.75, 1.25)
    return pixels.clip(0, 255).astype(np.uint8)


def _resized_size_hw(size_hw: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Longest side at `image_size`, the other one at the nearest whole number of patches."""
    scale = image_size / max(size_hw)
    return tuple(max(PATCH_SIZE, round(side * scale / PATCH_SIZE) * PATCH_SIZE) for side in size_hw)


def _low_resolution_targets(masks: np.ndarray, size_hw: tuple[int, int], image_size: int) -> torch.Tensor:
    """Area-average the masks (N, H, W) to half of the frame, threshold at one half, pad: (N, S/2, S/2) bool."""
    if len(masks) == 0:
        return torch.zeros(0, image_size // MASK_STRIDE, image_size // MASK_STRIDE, dtype=torch.bool)
    height, width = size_hw[0] // MASK_STRIDE, size_hw[1] // MASK_STRIDE
    targets = torch.zeros(len(masks), image_size // MASK_STRIDE, image_size // MASK_STRIDE, dtype=torch.bool)
    for target, mask in zip(targets, masks, strict=True):
        coverage = Image.fromarray(mask.view(np.uint8) * 255).resize((width, height), Image.Resampling.BOX)
        target[:height, :width] = torch.from_numpy(np.asarray(coverage) > 127)
    return targets
