"""Drawn ultrasound-like images: a small domain that no photograph is in, for fine-tuning to be tried on.

What makes ultrasound hard for a model of photographs is drawn: speckle as strong as the signal; lesions with uneven
outlines that are little darker than the tissue, brighter in some parts than around, and fade into it; shadows below
them that are as dark as they are; lobules of fat that look like them; and layers. The objects are the lesions.
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
    echo = _tissue(rng, y, x)
    masks: list[np.ndarray] = []
    for _ in range(rng.integers(1, 4)):
        mask = _lesion_mask(rng, y, x)
        if any((gaussian_filter(mask.astype(float), 3) * other).max() > 0.05 for other in masks):
            continue
        masks.append(mask)
        echo = _with_lesion(rng, echo, mask)
    image = np.log1p(12 * echo * _speckle(rng, (height, width)))
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
    """Strength of the echo of layers that run across, of lobules of fat, and of columns that lie in shadow."""
    from scipy.ndimage import gaussian_filter

    patches = gaussian_filter(rng.standard_normal(y.shape), (6, 12))
    echo = 0.6 + 0.15 * patches / patches.std()
    for _ in range(rng.integers(2, 6)):  # lobules: dark, flat, with a bright edge
        distance = _distance_from_blob(rng, y, x, (0.03, 0.08), radii_x=(0.1, 0.25), unevenness=0.1)
        echo *= 1 - rng.uniform(0.15, 0.4) / (1 + np.exp((distance - 1) / 0.08))
        echo += rng.uniform(0, 0.25) * np.exp(-(((distance - 1.1) / 0.1) ** 2))
    for _ in range(rng.integers(2, 6)):
        place, thickness = rng.uniform(0.05, 1), rng.uniform(0.008, 0.03)
        bend = rng.uniform(-0.08, 0.08) * np.sin(rng.uniform(2, 5) * x + rng.uniform(0, 6))
        echo += rng.uniform(0.15, 0.45) * np.exp(-(((y - place - bend) / thickness) ** 2))
    columns = gaussian_filter(rng.standard_normal(y.shape[1]), 6)
    streaks = 1 + 0.12 * columns / columns.std() * y
    return (echo * streaks * (1 - 0.3 * y)).clip(0.1, 1.4)


def _with_lesion(rng: np.random.Generator, echo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The echo where a lesion takes the place of tissue and shades what is below it, or brightens that as a cyst."""
    from scipy.ndimage import gaussian_filter

    patches = gaussian_filter(rng.standard_normal(mask.shape), 5)
    own = rng.uniform(0.25, 0.55) * echo[mask].mean() * (1 + 0.25 * patches / patches.std()).clip(0.3, 2)
    inside = gaussian_filter(mask.astype(float), rng.uniform(1, 3))
    below = np.cumsum(mask, axis=0) / max(mask.sum(axis=0).max(), 1) * (1 - inside)
    shade = gaussian_filter(below, (1, 3))
    return (inside * own + (1 - inside) * echo) * (1 + rng.uniform(-0.5, 0.3) * shade)


def _lesion_mask(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A blob with an uneven outline, inside the image."""
    return _distance_from_blob(rng, y, x, (0.07, 0.17), radii_x=(0.09, 0.24), unevenness=0.22) < 1


def _distance_from_blob(
    rng: np.random.Generator,
    y: np.ndarray,
    x: np.ndarray,
    radii_y: tuple[float, float],
    radii_x: tuple[float, float],
    unevenness: float,
) -> np.ndarray:
    """How far each pixel is from the centre of an ellipse with a wavy outline, 1 on the outline.

    Args:
        rng: draws place and shape.
        y: rows of the pixels, 0 to 1.
        x: columns in the same unit.
        radii_y: smallest and largest half height.
        radii_x: smallest and largest half width.
        unevenness: how far waves may move the outline, as a share of the radius.
    """
    centre_y, centre_x = rng.uniform(0.25, 0.8), rng.uniform(0.2, x.max() - 0.2)
    offset_y, offset_x = (y - centre_y) / rng.uniform(*radii_y), (x - centre_x) / rng.uniform(*radii_x)
    angle = np.arctan2(offset_y, offset_x)
    waves = sum(rng.uniform(0, unevenness) / k**0.7 * np.sin(k * angle + rng.uniform(0, 6)) for k in range(2, 8))
    return np.hypot(offset_y, offset_x) / (1 + waves)


def _speckle(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    """Amplitude of a sum of random waves, correlated along x as a probe's beam is; its mean is 1."""
    from scipy.ndimage import gaussian_filter

    real, imaginary = (gaussian_filter(rng.standard_normal(size_hw), (0.8, 1.6)) for _ in range(2))
    amplitude = np.hypot(real, imaginary)
    return amplitude / amplitude.mean()
