"""Drawn ultrasound-like images: a small domain that no photograph is in, for fine-tuning to be tried on.

What makes ultrasound hard for a model of photographs is drawn: speckle nearly as strong as the signal, lesions that are
a little darker than the tissue, edges that fade, shadows below, and layers that look like edges. The objects are the
lesions.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..samples import Entry, MaskDataset, Sample, sample_of_masks

SIZE_HW = (192, 256)


def draw_ultrasound(seed: int, size_hw: tuple[int, int] = SIZE_HW) -> Sample:
    """One image with one to three lesions, which do not touch.

    Args:
        seed: the same one draws the same image.
        size_hw: height and width in pixels.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng((7, seed))
    height, width = size_hw
    y, x = np.mgrid[:height, :width] / height
    tissue = _tissue(rng, y, x)
    masks: list[np.ndarray] = []
    for _ in range(rng.integers(1, 4)):
        mask = _lesion_mask(rng, y, x)
        if any((gaussian_filter(mask.astype(float), 3) * other).max() > 0.05 for other in masks):
            continue
        masks.append(mask)
        inside = gaussian_filter(mask.astype(float), rng.uniform(0.8, 2.5))
        darkness = rng.uniform(0.35, 0.65)
        tissue *= 1 - inside * (1 - darkness)
        columns = mask.any(axis=0)
        below = np.cumsum(mask, axis=0).astype(float) / max(mask.sum(axis=0).max(), 1)
        shadow = gaussian_filter(below * columns * (1 - mask), 2)
        tissue *= 1 + rng.uniform(-0.35, 0.3) * shadow
    speckle = _speckle(rng, (height, width))
    image = np.log1p(12 * (tissue * speckle) ** 1.2)
    image = 255 * (image / np.quantile(image, 0.995)).clip(0, 1)
    grey = image.astype(np.uint8)
    return sample_of_masks(f"scan-{seed:03d}", np.repeat(grey[..., None], 3, axis=2), masks)


def ultrasound_dataset(count: int, first_seed: int = 0) -> MaskDataset:
    """So many drawn images, each drawn when it is asked for.

    Args:
        count: how many.
        first_seed: of the first image; the others have the numbers after it.
    """
    seeds = range(first_seed, first_seed + count)
    entries = [Entry(f"scan-{seed:03d}", partial(draw_ultrasound, seed)) for seed in seeds]
    return MaskDataset(entries, f"{count} drawn ultrasound images")


def _tissue(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Brightness of layers that run across and of patches, about 0.2 to 1."""
    from scipy.ndimage import gaussian_filter

    patches = gaussian_filter(rng.standard_normal(y.shape), (8, 14))
    brightness = 0.55 + 0.15 * patches / patches.std()
    for _ in range(rng.integers(2, 6)):
        place, thickness = rng.uniform(0.05, 1), rng.uniform(0.008, 0.03)
        bend = rng.uniform(-0.08, 0.08) * np.sin(rng.uniform(2, 5) * x + rng.uniform(0, 6))
        brightness += rng.uniform(0.15, 0.45) * np.exp(-(((y - place - bend) / thickness) ** 2))
    return brightness.clip(0.2, 1.4) * (1 - 0.3 * y)


def _lesion_mask(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """An ellipse with a wavy outline, inside the image."""
    centre_y, centre_x = rng.uniform(0.25, 0.8), rng.uniform(0.2, x.max() - 0.2)
    radius_y, radius_x = rng.uniform(0.07, 0.17), rng.uniform(0.09, 0.24)
    angle = np.arctan2((y - centre_y) / radius_y, (x - centre_x) / radius_x)
    waves = sum(rng.uniform(0, 0.13) / k * np.sin(k * angle + rng.uniform(0, 6)) for k in range(2, 8))
    distance = np.hypot((y - centre_y) / radius_y, (x - centre_x) / radius_x)
    return distance < 1 + waves


def _speckle(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    """Amplitude of a sum of random waves, correlated along x as a probe's beam is, drawn half way to its mean of 1."""
    from scipy.ndimage import gaussian_filter

    real, imaginary = (gaussian_filter(rng.standard_normal(size_hw), (0.7, 1.3)) for _ in range(2))
    amplitude = np.hypot(real, imaginary)
    return 0.4 + 0.6 * amplitude / amplitude.mean()
