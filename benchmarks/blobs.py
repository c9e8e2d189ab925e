"""Masks as a trained model makes them, without a model: blobs of natural sizes with edges of natural width."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

N_OBJECTS = 150  # about as many as segment-everything finds in a photo full of things
PARTS = (1.0, 0.5, 0.25)  # radii of whole, part and subpart
CHUNK = 32
WAVES = torch.arange(2, 10)


def blob_logits(n_points: int, size_hw: tuple[int, int], image_hw: tuple[float, float]) -> torch.Tensor:
    """Low-resolution logits (P, 3, h, w) float32 of points on a grid: whole, part and subpart of the object there.

    Objects are star-shaped with wavy outlines. Their radii follow a log-normal distribution around 7 % of the image's
    longer side, most of them within 2 and 25 %. Logits fall off by 2 to 8 per low-resolution pixel at the outline, as
    in SAM, level off at -15 and 10, and carry a little noise. Points of the same object give nearly the same masks, so
    that there are duplicates to drop.

    Args:
        n_points: number of points, P; a square number fills the grid.
        size_hw: height h and width w of the logits.
        image_hw: the part of these that shows the image, from the top left; the rest is padding.
    """
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    extent_xy = torch.tensor([image_hw[1], image_hw[0]])
    centres_xy = uniform(N_OBJECTS, 2) * extent_xy
    radii = 0.07 * max(image_hw) * torch.exp(0.6 * torch.randn(N_OBJECTS, generator=generator))
    amplitudes = 0.4 * uniform(N_OBJECTS, len(WAVES)) / WAVES
    phases = 2 * math.pi * uniform(N_OBJECTS, len(WAVES))
    slopes = 2 + 6 * uniform(N_OBJECTS)

    side = math.ceil(math.sqrt(n_points))
    numbers = torch.arange(n_points)
    points_xy = (torch.stack([numbers % side, numbers // side], dim=1) + 0.5) / side * extent_xy
    objects = (torch.cdist(points_xy, centres_xy) / radii).argmin(dim=1)  # large objects get many points
    radii_of_points = radii[objects] * (1 + 0.03 * torch.randn(n_points, generator=generator))

    y, x = torch.meshgrid(torch.arange(size_hw[0]) + 0.5, torch.arange(size_hw[1]) + 0.5, indexing="ij")
    logits = torch.empty(n_points, len(PARTS), *size_hw)
    for part in _slices(n_points):
        of = objects[part]
        dx, dy = (grid - centres_xy[of, axis, None, None] for axis, grid in enumerate((x, y)))
        waves = torch.cos(torch.atan2(dy, dx)[:, None] * WAVES[:, None, None] + phases[of][:, :, None, None])
        outline = 1 + (amplitudes[of][:, :, None, None] * waves).sum(dim=1)
        distance = torch.hypot(dx, dy)
        for number, scale in enumerate(PARTS):
            inside = scale * radii_of_points[part, None, None] * outline - distance
            logits[part, number] = (slopes[of][:, None, None] * inside).clamp(-15, 10)
    return logits.add_(torch.randn(logits.shape, generator=generator), alpha=0.3)


def blob_scores(n_points: int) -> torch.Tensor:
    """Predicted IoUs (P, 3) of which three in ten pass the usual threshold of 0.88."""
    return 0.6 + 0.4 * torch.rand(n_points, len(PARTS), generator=torch.Generator().manual_seed(1))


def _slices(n_points: int) -> Iterator[slice]:
    for first in range(0, n_points, CHUNK):
        yield slice(first, min(first + CHUNK, n_points))
