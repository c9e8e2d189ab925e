"""What a camera does to a training scene: light falling unevenly, blur, exposure, colour cast, noise and JPEG."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops

from .backgrounds import uneven_light
from .canvas import grey_to_rgb, soften
from .textures import TextureBank

_NOISE_SIGMAS = (1.0, 2.0, 3.0, 5.0, 8.0)
_NOISE_SIDE = 1024
_SHAKE_STEPS = 5


def photograph(rng: np.random.Generator, image: Image.Image, bank: TextureBank) -> np.ndarray:
    """Turn a painted RGB image into a photograph-like one of the same size, uint8 (H, W, 3)."""
    size_hw = (image.height, image.width)
    unit = float(np.sqrt(image.width * image.height)) / 256
    if rng.random() < 0.25:
        image = ImageChops.multiply(image, grey_to_rgb(_dappled_light(rng, size_hw, bank)))
    if rng.random() < 0.4:
        image = ImageChops.multiply(image, grey_to_rgb(uneven_light(rng, size_hw, 0.5)))
    image = _expose(rng, image)
    if rng.random() < 0.06:
        image = _shake(rng, image)
    if rng.random() < 0.3:
        image = soften(image, rng.uniform(0.2, 0.8) * unit)
    if rng.random() < 0.08:
        image = grey_to_rgb(image.convert("L"))
    if rng.random() < 0.6:
        image = _add_noise(rng, image)
    if rng.random() < 0.35:
        image = _jpeg(image, int(rng.integers(40, 96)))
    return np.array(image)


def _dappled_light(rng: np.random.Generator, size_hw: tuple[int, int], bank: TextureBank) -> Image.Image:
    """Shadows of things outside the picture, whose edges run across objects: mode "L", 255 in the light."""
    field = soften(bank.crop(rng, (max(size_hw[0] // 8, 4), max(size_hw[1] // 8, 4))), rng.uniform(0.5, 3))
    field = field.resize(size_hw[::-1], Image.Resampling.BICUBIC)
    threshold, width, darkness = (
        np.percentile(np.asarray(field), rng.uniform(20, 70)),
        rng.uniform(8, 40),
        rng.uniform(0.2, 0.6),
    )
    lit = np.clip((np.arange(256) - threshold) / width + 0.5, 0, 1)
    return field.point((255 * (1 - darkness * (1 - lit))).astype(int).tolist())


def _expose(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Saturation, and one curve per channel: exposure, colour cast of the light, gamma, haze."""
    if rng.random() < 0.5:
        image = Image.blend(grey_to_rgb(image.convert("L")), image, rng.uniform(0.5, 1.3))
    mean = float(np.asarray(image.reduce(8)).mean())
    # A camera brings most scenes near middle grey; some stay dark or bright.
    gain = (115.0 / max(mean, 8.0)) ** rng.uniform(0.6, 1.1) * np.exp(rng.normal(0, 0.2))
    gain *= rng.uniform(0.25, 0.6) if rng.random() < 0.06 else 1.0
    gamma, haze = np.exp(rng.normal(0, 0.15)), rng.uniform(0, 30) if rng.random() < 0.2 else 0.0
    exposed = np.arange(256)[None, :] * (gain * (1 + rng.normal(0, 0.06, 3)))[:, None] / 255
    curves = haze + (255 - haze) * np.clip(exposed, 0, 1) ** gamma
    return image.point(curves.astype(int).ravel().tolist())


def _shake(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """A short straight motion of the camera."""
    angle, reach = rng.uniform(0, np.pi), rng.uniform(0.5, 2.5)
    total = image
    for index, step in enumerate(np.linspace(-reach, reach, _SHAKE_STEPS)):
        shift = (1, 0, step * np.cos(angle), 0, 1, step * np.sin(angle))
        moved = image.transform(image.size, Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
        moved.paste(image, (0, 0), ImageChops.invert(_inside(image.size)))
        total = Image.blend(total, moved, 1 / (index + 1))
    return total


@lru_cache(maxsize=4)
def _inside(size: tuple[int, int]) -> Image.Image:
    """All but a rim of 3 pixels, which a shake would fill from outside the picture."""
    inside = Image.new("L", size)
    inside.paste(255, (3, 3, size[0] - 3, size[1] - 3))
    return inside


@lru_cache(maxsize=1)
def _noise_tiles() -> tuple[Image.Image, ...]:
    """Gaussian noise around 128 to cut from; drawing it anew for each scene would take too long."""
    noise = np.random.default_rng(7).standard_normal((_NOISE_SIDE, _NOISE_SIDE, 3), dtype=np.float32)
    return tuple(Image.fromarray(np.clip(128.5 + sigma * noise, 0, 255).astype(np.uint8)) for sigma in _NOISE_SIGMAS)


def _add_noise(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Sensor noise, coloured or grey."""
    tile = _noise_tiles()[int(rng.integers(len(_NOISE_SIGMAS)))]
    left = int(rng.integers(max(_NOISE_SIDE - image.width, 1)))
    top = int(rng.integers(max(_NOISE_SIDE - image.height, 1)))
    noise = tile.resize(
        image.size, box=(left, top, min(left + image.width, _NOISE_SIDE), min(top + image.height, _NOISE_SIDE))
    )
    if rng.random() < 0.4:
        noise = grey_to_rgb(noise.getchannel(0))
    return ImageChops.add(image, noise, offset=-128)


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
