"""Textures for the training scenes: real photographs and procedural fields, recoloured at random.

Every texture is kept as a grey tile of 512 x 512 pixels, and becomes a coloured surface when it is used: a random crop
(turned, scaled) is mapped through a random colour ramp. Photographs come from scikit-image's bundled files, and only
those that scikit-image documents as public domain or CC0; `TRAINING_PHOTOS` lists them. `HELD_OUT_PHOTOS` are kept away
from training, so that a trained model can be looked at on photographs it never saw.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

TILE = 512
_PROCEDURAL_SEED = 20230405  # fixed: the tiles are part of the data set's definition


@dataclass(frozen=True)
class Photo:
    """A bundled scikit-image photograph: file name, licence and giver, as `skimage.data` documents them."""

    file_name: str
    licence: str
    credit: str


TRAINING_PHOTOS = (
    Photo("brick.png", "CC0", "CC0Textures (Bricks25)"),
    Photo("grass.png", "CC0", "linolafett, DeviantArt (Grass 01)"),
    Photo("gravel.png", "CC0", "CC0Textures (Gravel04)"),
    Photo("camera.png", "CC0", "Lav Varshney"),
    Photo("clock_motion.png", "public domain", "Stefan van der Walt"),
    Photo("cell.png", "CC0", "Paul Müller et al."),
    Photo("hubble_deep_field.jpg", "public domain", "NASA, HubbleSite"),
    Photo("microaneurysms.png", "CC0", "Andreas Maier, HRF Image Database"),
    Photo("retina.jpg", "CC0", "Mikael Häggström"),
    Photo("text.png", "public domain", "Wikipedia (Corner.png)"),
)
HELD_OUT_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "horse.png", "rocket.jpg")


def load_training_photos() -> list[np.ndarray]:
    """Read the photographs of `TRAINING_PHOTOS`.

    Returns:
        One uint8 array (H, W) or (H, W, 3) per photograph, in the table's order.

    Raises:
        ImportError: If scikit-image is not installed.
    """
    try:
        import skimage
    except ImportError as error:
        raise ImportError(
            "the training scenes take textures from photographs that scikit-image carries, and it is not installed: "
            "run `pip install anymask[train]`, or pass your own `photos`"
        ) from error
    folder = Path(skimage.__file__).parent / "data"
    photos = []
    for photo in TRAINING_PHOTOS:
        with Image.open(folder / photo.file_name) as image:
            photos.append(np.asarray(image))
    return photos


def photo_tile(photo: np.ndarray) -> Image.Image:
    """Turn a photograph (H, W) or (H, W, C >= 3), uint8, into a grey tile with stretched contrast."""
    image = Image.fromarray(np.ascontiguousarray(photo[..., :3] if photo.ndim == 3 else photo)).convert("L")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    tile = image.resize((TILE, TILE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return Image.fromarray(_stretch(np.asarray(tile, dtype=np.float32)))


def _stretch(field: np.ndarray) -> np.ndarray:
    """Map a field's 1st to 99th percentile onto 0..255, uint8."""
    low, high = np.percentile(field, (1.0, 99.0))
    return np.clip((field - low) * (255.0 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)


def _spectral_noise(rng: np.random.Generator, slope: float, anisotropy: float = 1.0, band: float = 0.0) -> np.ndarray:
    """Random-phase noise of amplitude 1 / frequency**slope, stretched by `anisotropy`, nothing below `band`."""
    frequency_y = np.fft.fftfreq(TILE)[:, None] * TILE
    frequency_x = np.fft.rfftfreq(TILE)[None, :] * TILE * anisotropy
    radius = np.hypot(frequency_x, frequency_y)
    amplitude = np.where(radius > band, np.maximum(radius, 1.0) ** -slope, 0.0)
    phase = rng.uniform(0, 2 * np.pi, amplitude.shape)
    return np.fft.irfft2(amplitude * np.exp(1j * phase), s=(TILE, TILE)).astype(np.float32)


def _dead_leaves(rng: np.random.Generator, smallest: float, largest: float, outlined: bool) -> np.ndarray:
    """Overlapping discs and polygons with power-law sizes.

    Source: the edge statistics of natural images, Lee, Mumford and Huang 2001.
    """
    image = Image.new("L", (TILE, TILE), 128)
    draw = ImageDraw.Draw(image)
    for _ in range(1500):
        radius = min(smallest / np.sqrt(max(rng.random(), 1e-4)), largest)
        x, y = rng.uniform(0, TILE, 2)
        grey = int(np.clip(rng.normal(128, 60), 0, 255))
        angles = (
            np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
            if rng.random() < 0.6
            else np.linspace(0, 6.0, 14)
        )
        stretch = rng.uniform(0.4, 1.0)
        points = [(x + radius * np.cos(a), y + stretch * radius * np.sin(a)) for a in angles]
        draw.polygon(points, fill=grey, outline=grey // 2 if outlined else None)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32)


def _cells(rng: np.random.Generator, count: int) -> np.ndarray:
    """Distance to the nearest of `count` random points: scales, pebbles, knitted or woven surfaces."""
    from scipy import ndimage

    seeds = np.ones((TILE // 2, TILE // 2), dtype=bool)
    seeds[rng.integers(0, TILE // 2, count), rng.integers(0, TILE // 2, count)] = False
    distance = ndimage.distance_transform_edt(seeds).astype(np.float32)
    return np.asarray(Image.fromarray(distance).resize((TILE, TILE), Image.Resampling.BICUBIC))


def _waves(rng: np.random.Generator, kind: str, period: float, wobble: float) -> np.ndarray:
    """Stripes, checks or spots of a period in pixels, bent by low-frequency noise of `wobble` pixels."""
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    for axis in (x, y):
        bend = _spectral_noise(rng, 2.2)
        axis += bend * (wobble / (bend.std() + 1e-9))
    wave_x, wave_y = np.sin(x * (2 * np.pi / period)), np.sin(y * (2 * np.pi / period))
    if kind == "stripes":
        return wave_x
    sharpness = rng.uniform(2, 12)
    return np.tanh(sharpness * (wave_x * wave_y if kind == "checks" else wave_x + wave_y - 0.9))


@lru_cache(maxsize=1)
def procedural_tiles() -> tuple[Image.Image, ...]:
    """Grey tiles of noise, grain, clutter, cells and patterns; the same in every process."""
    rng = np.random.default_rng(_PROCEDURAL_SEED)
    fields = [_spectral_noise(rng, slope) for slope in (0.6, 0.9, 1.2, 1.5, 1.5, 1.8, 1.8, 2.2, 2.2, 2.8, 2.8)]
    fields += [
        _spectral_noise(rng, slope, stretch) for slope, stretch in ((1.2, 8), (1.2, 20), (1.6, 6), (1.6, 30), (2.0, 12))
    ]
    fields += [_spectral_noise(rng, 1.5, band=band) for band in (8, 20, 50)]
    fields += [np.abs(_spectral_noise(rng, slope)) for slope in (1.4, 1.7, 2.0)]  # creases and veins
    fields += [
        np.tanh(4 * field / field.std())
        for field in (_spectral_noise(rng, 1.8), _spectral_noise(rng, 2.3), _spectral_noise(rng, 2.6))
    ]
    fields += [
        _dead_leaves(rng, *sizes)
        for sizes in ((4, 40, False), (8, 90, False), (8, 60, True), (14, 140, False), (3, 20, True))
    ]
    fields += [_cells(rng, count) for count in (60, 200, 700, 2000)]
    fields += [_waves(rng, "stripes", period, wobble) for period, wobble in ((16, 0.5), (28, 6), (44, 14), (70, 2))]
    fields += [_waves(rng, "checks", period, wobble) for period, wobble in ((40, 0.2), (70, 6))]
    fields += [_waves(rng, "spots", period, wobble) for period, wobble in ((30, 0.5), (40, 12), (64, 16))]
    return tuple(Image.fromarray(_stretch(field)) for field in fields)


@lru_cache(maxsize=1)
def _bundled_photo_tiles() -> tuple[Image.Image, ...]:
    return tuple(photo_tile(photo) for photo in load_training_photos())


class TextureBank:
    """Draws coloured surfaces from grey tiles.

    Args:
        photos: photographs, each uint8 (H, W) or (H, W, C >= 3); None takes the bundled ones, an empty sequence none.
    """

    def __init__(self, photos: Sequence[np.ndarray] | None = None) -> None:
        self.photo_tiles = _bundled_photo_tiles() if photos is None else tuple(photo_tile(photo) for photo in photos)
        self.tiles = procedural_tiles()

    def crop(self, rng: np.random.Generator, size_hw: tuple[int, int], photo: bool = False) -> Image.Image:
        """A random, turned and scaled crop of one tile, mode "L"; `photo` asks for a photograph where there is one."""
        tiles = self.photo_tiles if self.photo_tiles and (photo or rng.random() < 0.3) else self.tiles
        tile = tiles[int(rng.integers(len(tiles)))]
        height, width = size_hw
        scale = float(np.exp(rng.uniform(np.log(0.5), np.log(3.0))))  # tile pixels per pixel
        if photo or rng.random() < 0.5:
            scale = min(scale, TILE / max(height, width))
            left, top = rng.uniform(0, TILE - scale * width), rng.uniform(0, TILE - scale * height)
            box = (left, top, min(left + scale * width, TILE), min(top + scale * height, TILE))
            return tile.resize((width, height), Image.Resampling.BILINEAR, box=box)
        diagonal = float(np.hypot(height, width)) + 2.0
        scale = min(scale, (TILE - 2) / diagonal)
        margin = diagonal * scale / 2
        centre_x, centre_y = rng.uniform(margin, TILE - margin, 2)
        angle = rng.uniform(0, 2 * np.pi)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        coefficients = (
            *(cos, -sin, centre_x - cos * width / 2 + sin * height / 2),
            *(sin, cos, centre_y - sin * width / 2 - cos * height / 2),
        )
        return tile.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)

    def surface(
        self, rng: np.random.Generator, size_hw: tuple[int, int], colour: np.ndarray, photo: bool = False
    ) -> Image.Image:
        """A coloured surface around `colour` (3,) in 0..255: RGB, of `size_hw`. One in six is uniform."""
        if rng.random() < 1 / 6 and not photo:
            return Image.new("RGB", size_hw[::-1], tuple(int(np.clip(channel, 0, 255)) for channel in colour))
        image = self.crop(rng, size_hw, photo)
        image.putpalette(colour_ramp(rng, colour).tobytes())
        return image.convert("RGB")


def natural_colour(rng: np.random.Generator) -> np.ndarray:
    """A random RGB colour (3,) in 0..255 with the mostly muted saturation and wide brightness of photographs."""
    hue = rng.random() if rng.random() < 0.5 else rng.normal(0.08, 0.06)  # half of them skin, wood, earth
    saturation, value = rng.beta(1.0, 2.8), rng.uniform(0.08, 1.0)
    return 255.0 * np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def colour_ramp(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """A table grey level -> colour around `colour`, uint8 (256, 3): dark to light, or towards a second colour."""
    level = _LEVELS[int(rng.integers(len(_LEVELS)))]
    contrast = rng.beta(1.2, 2.0)
    if rng.random() < 0.25:
        start, end = colour, colour + 1.3 * contrast * (natural_colour(rng) - colour)
    else:
        start, end = colour * (1 - contrast), colour * (1 + rng.normal(0, 0.12, 3)) * (1 + contrast) + 20 * contrast
    return np.clip(start + (end - start) * level, 0, 255).astype(np.uint8)


def _levels() -> np.ndarray:
    """Rising and falling curves of grey from 0 to 1 with different gammas, (curves, 256, 1)."""
    grey = np.linspace(0, 1, 256)[:, None]
    rising = np.stack([grey**gamma for gamma in (0.6, 0.8, 1.0, 1.25, 1.6)])
    return np.concatenate([rising, 1 - rising])


_LEVELS = _levels()
