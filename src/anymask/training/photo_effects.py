"""What a camera does to a training scene: light falling unevenly, blur, exposure, colour cast, noise and JPEG."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from .backgrounds import gradient
from .textures import TextureBank

_MOTION_TAPS = 5


def photograph(rng: np.random.Generator, pixels: np.ndarray, bank: TextureBank) -> np.ndarray:
    """Turn painted pixels (H, W, 3), float32 around 0..255, into a photograph-like uint8 image of the same size."""
    height, width = pixels.shape[:2]
    if rng.random() < 0.25:
        pixels = pixels * _dappled_light(rng, (height, width), bank)[..., None]
    if rng.random() < 0.4:
        pixels = pixels * gradient(rng, (height, width), rng.uniform(0.05, 0.35))[..., None]
    pixels = _expose(rng, pixels)
    if rng.random() < 0.15:
        pixels = _motion_blur(rng, pixels)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.55:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.1) * np.sqrt(height * width) / 256)))
    if rng.random() < 0.08:
        image = image.convert("L").convert("RGB")
    if rng.random() < 0.6:
        image = _add_noise(rng, image)
    if rng.random() < 0.5:
        image = _jpeg(image, int(rng.integers(35, 96)))
    return np.array(image)


def _dappled_light(rng: np.random.Generator, size_hw: tuple[int, int], bank: TextureBank) -> np.ndarray:
    """Shadows of things outside the picture: their edges run across objects and bound none."""
    field = Image.fromarray(bank.crop(rng, (max(size_hw[0] // 8, 2), max(size_hw[1] // 8, 2))))
    field = field.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3))).resize(
        (size_hw[1], size_hw[0]), Image.Resampling.BICUBIC
    )
    level = np.asarray(field, dtype=np.float32)
    lit = np.clip(
        (level - np.float32(np.percentile(level, rng.uniform(20, 70)))) / np.float32(rng.uniform(8, 40)) + 0.5, 0, 1
    )
    darkness = np.float32(rng.uniform(0.2, 0.6))
    return 1 - darkness * (1 - lit)


def _expose(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Exposure, contrast curve, saturation and the colour cast of the light."""
    cast = 1 + rng.normal(0, 0.07, 3)
    gain = np.exp(rng.normal(0.05, 0.25)) * (rng.uniform(0.25, 0.6) if rng.random() < 0.08 else 1.0)
    pixels = pixels * (cast * gain).astype(np.float32)
    if rng.random() < 0.5:
        saturation = np.float32(rng.uniform(0.5, 1.3))
        pixels = pixels.mean(axis=2, keepdims=True) * (1 - saturation) + pixels * saturation
    gamma = np.exp(rng.normal(0, 0.2))
    lift = rng.uniform(0, 30) if rng.random() < 0.2 else 0.0
    curve = lift + (255 - lift) * np.linspace(0, 1, 512) ** gamma
    return curve.astype(np.float32)[np.clip(pixels * 2, 0, 511).astype(np.int16)]


def _motion_blur(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """A short straight camera shake."""
    angle, reach = rng.uniform(0, np.pi), rng.uniform(0.5, 2.5)
    total = np.zeros_like(pixels)
    for step in np.linspace(-reach, reach, _MOTION_TAPS):
        shift_y, shift_x = round(step * np.sin(angle)), round(step * np.cos(angle))
        padded = np.pad(pixels, ((3, 3), (3, 3), (0, 0)), mode="edge")
        total += padded[3 + shift_y : 3 + shift_y + pixels.shape[0], 3 + shift_x : 3 + shift_x + pixels.shape[1]]
    return total / _MOTION_TAPS


@lru_cache(maxsize=1)
def _noise_source() -> np.ndarray:
    """Unit Gaussian noise to cut from: drawing it anew for every pixel of every scene would take a fifth of the time."""
    return np.random.default_rng(7).standard_normal(1 << 20, dtype=np.float32)


def _add_noise(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Sensor noise, in colour or not, sometimes in grains larger than a pixel."""
    pixels = np.asarray(image, dtype=np.float32)
    source = _noise_source()
    count = pixels.size if rng.random() < 0.6 else pixels.size // 3
    start = int(rng.integers(max(len(source) - count, 1)))
    noise = np.resize(source[start : start + count], count).reshape(*pixels.shape[:2], -1)
    sigma = np.float32(np.exp(rng.uniform(np.log(0.7), np.log(14.0))))
    return Image.fromarray(np.clip(pixels + sigma * noise, 0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
