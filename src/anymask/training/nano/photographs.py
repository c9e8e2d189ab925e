"""Pictures from photographs, collages and drawn scenes, mixed.

Sources count alike, whatever their numbers of photographs and masks, except for the weights below. As with drawn
scenes, a picture depends on the seed and its own index alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ...data.collages import camera_effects, cut_out, mosaic, paste_objects
from ...data.photographs import Photograph, read_sources, split_held_out
from ...masks.rle import rle_area
from ..samples import choose_by_area
from .model import IMAGE_SIZE
from .scenes import Picture, Pictures, ScenePictures, finish_picture

SCENE_EVERY = 4  # one picture in so many is a drawn scene
KINDS = {"photograph": 0.45, "pasted": 0.25, "mosaic": 0.12, "collage": 0.18}
# Sources of one subject each, or of few photographs, would teach little else if they counted as much as the others.
SOURCE_WEIGHTS = {
    "coco-by": 3.0,
    "animals-openimages": 2.5,
    "facades": 1.8,
    "flowers": 1.2,
    "clothing": 1.0,
    "waste": 0.4,
    "nuclei-dsb2018": 0.4,
    "pine-trees": 0.4,
    "mushrooms": 0.3,
    "strawberry-plants": 0.4,
}
MASKS_DECODED = 24
PHOTOGRAPH_CUTOUTS = 0.4  # share of pasted objects that come from photographs
CUTOUT_WEIGHTS = {"sweethome3d": 2.0, "fluent-emoji-3d": 1.0, "openclipart": 0.7}

Masked = tuple[np.ndarray, np.ndarray]


class PhotoPictures(Pictures):
    """Photographs, with objects pasted into some, collages, and drawn scenes.

    Args:
        folder: with `photos`, `cutouts` and `backgrounds`; see `anymask.data.photographs`. The first picture
            reads it.
        seed: see `Pictures`.
        image_size: likewise.
    """

    def __init__(self, folder: Path, seed: int = 0, image_size: int = IMAGE_SIZE) -> None:
        super().__init__(seed, image_size)
        self.folder = Path(folder)
        self._scenes = ScenePictures(seed, image_size)
        self._photos: dict[str, list[Photograph]] = {}
        self._cutouts: dict[str, list[Photograph]] = {}
        self._backgrounds: dict[str, list[Photograph]] = {}

    def __getitem__(self, index: int) -> Picture:
        """See `Pictures`."""
        if index % SCENE_EVERY == 0:
            self._scenes.image_size = self.image_size
            return self._scenes[index // SCENE_EVERY]
        rng = np.random.default_rng((self.seed, 1, index))
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        if not self._photos:
            self._read()
        for _ in range(20):
            image, masks = getattr(self, f"_{kind}")(rng)
            if len(masks) == 0:
                continue
            if rng.random() < 0.5:
                image, masks = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(masks[:, :, ::-1])
            picture = finish_picture(camera_effects(image, rng), masks, self.image_size, rng)
            if picture is not None:
                return picture
        raise RuntimeError(f"Twenty photographs in a row for picture {index} have no mask that can be a target.")

    def _read(self) -> None:
        photos = read_sources(self.folder / "photos")
        self._photos = {
            source: [photo for photo in split_held_out(photographs)[0] if photo.rles]
            for source, photographs in photos.items()
        }
        self._cutouts = read_sources(self.folder / "cutouts")
        self._backgrounds = read_sources(self.folder / "backgrounds")

    def _photograph(self, rng: np.random.Generator) -> Masked:
        photo = _choose(self._photos, SOURCE_WEIGHTS, rng)
        areas = np.array([rle_area(rle) for rle in photo.rles])
        large_enough = np.flatnonzero(areas > 0)
        chosen = large_enough
        if len(chosen) > MASKS_DECODED:
            chosen = chosen[choose_by_area(areas[chosen], MASKS_DECODED, rng)]
        image, masks = photo.image(), photo.masks(chosen)
        return _zoomed(image, masks, rng) if rng.random() < 0.4 else (image, masks)

    def _pasted(self, rng: np.random.Generator) -> Masked:
        image, masks = self._photograph(rng)
        return paste_objects(image, masks, self._objects(int(rng.integers(1, 4)), rng), (0.1, 0.5), rng=rng)

    def _mosaic(self, rng: np.random.Generator) -> Masked:
        sizes = [(352, 352), (264, 352), (352, 264)]
        pictures = [self._photograph(rng) for _ in range(4)]
        return mosaic(pictures, sizes[int(rng.integers(3))], rng)

    def _collage(self, rng: np.random.Generator) -> Masked:
        image = _choose(self._backgrounds, {}, rng).image()
        objects = self._objects(int(rng.integers(2, 8)), rng)
        return paste_objects(image, np.zeros((0, *image.shape[:2]), bool), objects, (0.12, 0.95), rng=rng)

    def _objects(self, count: int, rng: np.random.Generator) -> list[Image.Image]:
        objects = []
        for _ in range(count):
            if rng.random() < PHOTOGRAPH_CUTOUTS:
                photo = _choose(self._photos, SOURCE_WEIGHTS, rng)
                areas = np.array([rle_area(rle) for rle in photo.rles])
                largest = np.flatnonzero(areas >= 0.2 * areas.max())
                index = int(rng.choice(largest))
                if areas[index] >= 400:
                    objects.append(cut_out(photo.image(), photo.masks(np.array([index]))[0]))
            else:
                objects.append(_choose(self._cutouts, CUTOUT_WEIGHTS, rng).rgba())
        return objects


def _choose(sources: dict[str, list[Photograph]], weights: dict[str, float], rng: np.random.Generator) -> Photograph:
    """One photograph of one source; sources without a weight count 1."""
    shares = np.array([weights.get(source, 1.0) for source in sources])
    photographs = sources[str(rng.choice(list(sources), p=shares / shares.sum()))]
    return photographs[int(rng.integers(len(photographs)))]


def _zoomed(image: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> Masked:
    """A window of 35 to 100 % of each side that holds the centre of one of the masks."""
    height, width = image.shape[:2]
    share = rng.uniform(0.35, 1.0)
    crop_height, crop_width = max(48, int(height * share)), max(48, int(width * share))
    rows, columns = np.nonzero(masks[int(rng.integers(len(masks)))])
    top = int(np.clip(rows.mean() - crop_height * rng.uniform(0.2, 0.8), 0, max(0, height - crop_height)))
    left = int(np.clip(columns.mean() - crop_width * rng.uniform(0.2, 0.8), 0, max(0, width - crop_width)))
    window = (slice(top, top + crop_height), slice(left, left + crop_width))
    masks = masks[(slice(None), *window)]
    return image[window], masks[masks.any(axis=(1, 2))]
