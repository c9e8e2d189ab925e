"""Backgrounds of the training scenes: what objects stand in front of. Bounded regions of a background can be masks as well."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import Canvas
from .shapes import noise_line
from .textures import TextureBank, natural_colour


def paint_background(
    canvas: Canvas, rng: np.random.Generator, bank: TextureBank, colours: list[np.ndarray], number_regions: bool
) -> None:
    """Cover the whole canvas: one surface, a photograph, layered regions (sky and ground, wall and floor) or two gradients.

    Args:
        colours: the scene's palette, RGB (3,) in 0..255, from which regions mostly take their colour.
        number_regions: give each region of a layered background a mask.
    """
    size_hw = canvas.size_hw
    kind = rng.random()
    canvas.pixels[:] = bank.surface(rng, size_hw, _pick(rng, colours), photo=kind < 0.2)
    if kind >= 0.35:
        _layers(canvas, rng, bank, colours, number_regions)
    if rng.random() < 0.6:
        canvas.pixels *= gradient(rng, size_hw, rng.uniform(0.1, 0.5))[..., None]
    if rng.random() < 0.3:
        canvas.blur(rng.uniform(0.5, 4.0) * np.sqrt(size_hw[0] * size_hw[1]) / 256)


def _pick(rng: np.random.Generator, colours: list[np.ndarray]) -> np.ndarray:
    return colours[int(rng.integers(len(colours)))] if rng.random() < 0.6 else natural_colour(rng)


def _layers(
    canvas: Canvas, rng: np.random.Generator, bank: TextureBank, colours: list[np.ndarray], number_regions: bool
) -> None:
    """Regions below wavy or straight lines, from the far one to the near one; sometimes a side wall."""
    height, width = canvas.size_hw
    if number_regions:
        canvas.owners[:] = canvas.new_owner()
    levels = np.sort(rng.uniform(0.2, 0.95, int(rng.integers(1, 4))))
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    for level in levels:
        line = level * height + noise_line(rng, width) * height * rng.choice((0.0, 0.01, 0.04, 0.12))
        line = line + rng.normal(0, 0.08) * (np.arange(width) - width / 2)
        region = rows >= line[None, :]
        _fill(canvas, rng, bank, _pick(rng, colours), region, number_regions)
    if rng.random() < 0.25:
        edge = width * rng.uniform(0.1, 0.9) + rng.normal(0, 0.2) * np.arange(height)
        region = columns >= edge[:, None] if rng.random() < 0.5 else columns < edge[:, None]
        _fill(canvas, rng, bank, _pick(rng, colours), region & (rows < levels[-1] * height), number_regions)


def _fill(
    canvas: Canvas, rng: np.random.Generator, bank: TextureBank, colour: np.ndarray, region: np.ndarray, number: bool
) -> None:
    surface = bank.surface(rng, canvas.size_hw, colour)
    np.copyto(canvas.pixels, surface, where=region[..., None])
    if number:
        canvas.owners[region] = canvas.new_owner()


def gradient(rng: np.random.Generator, size_hw: tuple[int, int], strength: float) -> np.ndarray:
    """A smooth field of light: float32 (H, W) around 1, within about 1 - strength .. 1 + strength."""
    coarse = rng.uniform(1 - strength, 1 + strength, (int(rng.integers(2, 5)), int(rng.integers(2, 5)))).astype(
        np.float32
    )
    return np.asarray(Image.fromarray(coarse).resize((size_hw[1], size_hw[0]), Image.Resampling.BICUBIC))
