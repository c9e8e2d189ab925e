"""Pictures of drawn scenes: turned, cropped and recoloured, with the masks of their objects and parts.

A picture depends on the seed and its own index alone, whichever worker makes it, so that a resumed run goes on with
exactly the pictures that an uninterrupted one would have seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ...data.synthetic.scenes import Scene, draw_scene
from ..samples import PreparedSample, TrainingSamples
from .model import IMAGE_SIZE, MASK_STRIDE, nano_image_processor

MIN_TARGET_PIXELS = 12  # of the low-resolution mask; below, neither prompt nor loss has anything to hold on to
MAX_TARGET_FRACTION = 0.95
TRAINING_SCENES = 1  # first word of their seeds; held-out scenes have another


@dataclass(frozen=True)
class Picture:
    """An image (H, W, 3) uint8 and the masks (N, H, W) of what can be asked for in it, uint8: 1 the object."""

    image: np.ndarray
    targets: np.ndarray


class Pictures(ABC):
    """An endless map from an index to a picture.

    Attributes:
        seed: of all that is drawn.
        image_size: side in pixels of the frame that pictures will be seen in; masks too small there are left out.
    """

    def __init__(self, seed: int = 0, image_size: int = IMAGE_SIZE) -> None:
        self.seed, self.image_size = seed, image_size

    @abstractmethod
    def __getitem__(self, index: int) -> Picture:
        """The picture at an index."""


class ScenePictures(Pictures):
    """Drawn scenes.

    Args:
        seed: see `Pictures`.
        image_size: likewise.
        scene_size: side of the drawn scene before crop and resize, in pixels; that of held-out scenes, whatever the
            model's frame, and a larger one takes longer to draw.
        repeats: how often a scene is shown, each time cropped, coloured and asked about anew; drawing costs more.
        window: pictures until a scene comes again.
    """

    def __init__(
        self, seed: int = 0, image_size: int = IMAGE_SIZE, *, scene_size: int = 256, repeats: int = 2, window: int = 128
    ) -> None:
        super().__init__(seed, image_size)
        self.scene_size, self.repeats, self.window = scene_size, repeats, window
        self._recent: OrderedDict[int, Scene] = OrderedDict()

    def __getitem__(self, index: int) -> Picture:
        """See `Pictures`."""
        rng = np.random.default_rng((self.seed, index))
        for attempt in range(10):
            # Crops without a usable target are rare; another scene stands in, far from those of other pictures.
            scene = self._scene(self.scene_index(index) + attempt * 1_000_000_000)
            image, masks = _random_turn(scene.image, scene.masks, rng)
            picture = finish_picture(*_random_crop(image, masks, rng), self.image_size, rng)
            if picture is not None:
                return picture
        raise RuntimeError(f"Ten scenes in a row for picture {index} have no mask that can be a target.")

    def scene_index(self, index: int) -> int:
        """The scene of a picture: `window` scenes in a row, again and again until each was shown `repeats` times."""
        block, place = divmod(index, self.window * self.repeats)
        return block * self.window + place % self.window

    def _scene(self, index: int) -> Scene:
        """Draw scene `index`, or take it from the last ones; which of the two changes the speed only."""
        scene = self._recent.pop(index, None)
        if scene is None:
            size_hw = (self.scene_size, self.scene_size)
            scene = draw_scene(np.random.SeedSequence((TRAINING_SCENES, self.seed, index)), size_hw)
        self._recent[index] = scene
        if len(self._recent) > self.window:
            self._recent.popitem(last=False)
        return scene


class NanoSamples(TrainingSamples[Picture]):
    """Samples of endless pictures, cut into epochs: those of an epoch follow those of the one before.

    Args:
        pictures: endless.
        per_epoch: pictures of an epoch.
        num_prompts: objects of a picture that are asked for, small ones as often as large ones.
    """

    def __init__(self, pictures: Pictures, per_epoch: int, num_prompts: int) -> None:
        super().__init__(
            cast(Sequence[Picture], pictures),
            nano_image_processor(pictures.image_size),
            max_objects=num_prompts,
            label_side=pictures.image_size // MASK_STRIDE,
            seed=pictures.seed,
            sample_seeds=True,
            keep_almost_full=True,
            by_area=True,
        )
        self.pictures, self.per_epoch = pictures, per_epoch

    def __len__(self) -> int:
        return self.per_epoch

    def enter(self, epoch: int, image_size: int) -> None:
        """Begin an epoch at an image size."""
        self.set_epoch(epoch)
        self.pictures.image_size = image_size
        self.image_processor = nano_image_processor(image_size)
        self.label_side = image_size // MASK_STRIDE

    def prepare(self, index: int) -> PreparedSample:
        """See `TrainingSamples.prepare`."""
        return super().prepare(self.epoch * self.per_epoch + index)


def finish_picture(image: np.ndarray, masks: np.ndarray, image_size: int, rng: np.random.Generator) -> Picture | None:
    """Leave out masks that are too small or nearly everything, and change the colours of half of the pictures.

    Args:
        image: (H, W, 3) uint8.
        masks: (N, H, W) bool.
        image_size: side in pixels of the frame that it will be seen in.
        rng: what is drawn.

    Returns:
        None when no mask is left.
    """
    pixels = masks.shape[1] * masks.shape[2]
    areas = masks.sum(axis=(1, 2))
    scale = image_size / MASK_STRIDE / max(masks.shape[1:])
    kept = (areas * scale**2 >= MIN_TARGET_PIXELS) & (areas <= MAX_TARGET_FRACTION * pixels)
    if not kept.any():
        return None
    return Picture(_random_colour(image, rng), masks[kept].astype(np.uint8))


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
