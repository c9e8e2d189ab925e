"""Colours of masks: far from the photo underneath, from each other, and farthest from those that they touch.

Distances are those of OKLab, in which equal steps look equal.
Source: Björn Ottosson, "A perceptual color space for image processing" (2020), for the matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ImageColor

# Hues at equal steps; two shades of each. See `palette`.
HUE_COUNT = 12
SHADES = ((0.78, 0.17), (0.64, 0.21))  # (lightness, chroma)
CLEARLY_DIFFERENT = 0.15  # distance at which two colours side by side are told apart at a glance
FAR = 0.3  # at which more makes no difference to the eye
MOST_WORTH = 1.1  # of a distance, see `_worth`
# What it counts to be clearly different from masks that touch, from the photo underneath and from all other masks. How
# far beyond that counts a tenth.
TOUCHING, PHOTO, OTHERS = 30.0, 3.0, 4.0
# How much of it counts with a mask that only just touches, the rest by the part of the box that is shared: where all
# colours are around already, a wall may look like one of its windows, but not like the balcony in front of it.
JUST_TOUCHING = 0.5
# How much of a difference in lightness counts on a photo: a fill leaves the photo its lights and shadows, so orange
# on dark red looks like red in the sun.
LIGHTNESS_ON_PHOTO = 0.4
TAKEN = 0.5  # what it costs that a colour is taken by many

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

_RGB_TO_CONE = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_CONE_ROOTS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def rgb_to_oklab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB (..., 3) in 0..255 to OKLab (..., 3)."""
    scaled = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _RGB_TO_CONE.T) @ _CONE_ROOTS_TO_LAB.T


def oklab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Convert OKLab (..., 3) to sRGB (..., 3) in 0..255, clipped to what a screen shows."""
    cones = (np.asarray(lab) @ np.linalg.inv(_CONE_ROOTS_TO_LAB).T) ** 3
    linear = np.clip(cones @ np.linalg.inv(_RGB_TO_CONE).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def palette() -> tuple[np.ndarray, np.ndarray]:
    """Return 24 colours as OKLab and as sRGB in 0..255, each (24, 3); successors lie far apart in hue."""
    # 5 steps of 12 visit every hue, and each step is five twelfths of the circle.
    hues = np.arange(HUE_COUNT) * 5 % HUE_COUNT * (2 * np.pi / HUE_COUNT)
    lab = np.array([[light, chroma * np.cos(h), chroma * np.sin(h)] for light, chroma in SHADES for h in hues])
    rgb = oklab_to_rgb(lab)
    return rgb_to_oklab(rgb), rgb.astype(np.float32)


def choose_colours(boxes_xyxy: np.ndarray, photo_lab: np.ndarray, given: Sequence[Any] | None = None) -> np.ndarray:
    """Choose a colour for each mask; those of earlier masks do not depend on later ones.

    Args:
        boxes_xyxy: (N, 4) of the masks: those whose boxes meet count as touching.
        photo_lab: (N, 3) OKLab, the mean colour of the photo under each mask.
        given: colours that masks have already, as `parse_colour` takes them; None where one is to be chosen.

    Returns:
        (N, 3) float32 sRGB in 0..255.
    """
    palette_lab, palette_rgb = palette()
    boxes_xyxy = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    count = len(boxes_xyxy)
    chosen_lab, chosen_rgb = np.zeros((count, 3)), np.zeros((count, 3), dtype=np.float32)
    taken = np.zeros(len(palette_rgb))
    for index, (x0, y0, x1, y1) in enumerate(boxes_xyxy):
        if given is not None and given[index] is not None:
            chosen_rgb[index] = parse_colour(given[index])
            chosen_lab[index] = rgb_to_oklab(chosen_rgb[index])
            continue
        before = boxes_xyxy[:index]
        shared_w = np.minimum(before[:, 2], x1) - np.maximum(before[:, 0], x0)
        shared_h = np.minimum(before[:, 3], y1) - np.maximum(before[:, 1], y0)
        touching = (shared_w >= 0) & (shared_h >= 0)
        share = (shared_w * shared_h)[touching] / max((x1 - x0) * (y1 - y0), 1)
        weights = JUST_TOUCHING + (1 - JUST_TOUCHING) * np.sqrt(np.minimum(share, 1))
        from_photo = (palette_lab - photo_lab[index]) * (LIGHTNESS_ON_PHOTO, 1, 1)
        between = np.linalg.norm(palette_lab[:, None] - chosen_lab[None, :index], axis=-1)
        value = (
            -TOUCHING * (weights * (MOST_WORTH - _worth(between[:, touching]))).max(axis=1, initial=0)
            + PHOTO * _worth(np.linalg.norm(from_photo, axis=1))
            + OTHERS * _worth(between.min(axis=1, initial=FAR))
            - TAKEN * taken / max(taken.max(), 1)
        )
        best = int(np.argmax(value.round(6)))  # of equal ones the first
        taken[best] += 1
        chosen_lab[index], chosen_rgb[index] = palette_lab[best], palette_rgb[best]
    return chosen_rgb


def _worth(distances: np.ndarray) -> np.ndarray:
    return np.minimum(distances / CLEARLY_DIFFERENT, 1) + 0.1 * np.minimum(distances / FAR, 1)


def parse_colour(colour: Any) -> tuple[int, int, int]:
    """Read a colour: a name, "#rrggbb", or red, green and blue in 0..255.

    Raises:
        ValueError: If it is none.
    """
    try:
        if isinstance(colour, str):
            return ImageColor.getrgb(colour)[:3]
        red, green, blue = (int(value) for value in colour)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'a colour must be a name, "#rrggbb", or red, green and blue from 0 to 255, got {colour!r}.'
        ) from error
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"red, green and blue of a colour must be from 0 to 255, got {colour!r}.")
    return red, green, blue
