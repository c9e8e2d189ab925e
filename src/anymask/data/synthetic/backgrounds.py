"""Backgrounds of the training scenes: what objects stand in front of. Regions of a background can be masks as well."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from .canvas import Canvas, Window, coverage, grey_to_rgb
from .objects.shapes import noise_line
from .textures import TextureBank, natural_colour


def paint_background(
    canvas: Canvas, rng: np.random.Generator, bank: TextureBank, palette: list[np.ndarray], numbered: bool
) -> None:
    """Cover the whole canvas: a surface, a photograph, clutter, or layers (sky and ground, wall and floor).

    Args:
        palette: the scene's colours, RGB (3,) in 0..255, of which regions mostly take theirs.
        numbered: give each region of a layered background a mask.
    """
    kind = rng.random()
    canvas.image = bank.surface(rng, canvas.size_hw, _pick(rng, palette), photo=kind < 0.15)
    if 0.25 <= kind < 0.45:
        _clutter(canvas, rng, palette)
    elif kind >= 0.45:
        _layers(canvas, rng, bank, palette, numbered=numbered)
    if rng.random() < 0.6:
        canvas.image = ImageChops.multiply(canvas.image, grey_to_rgb(uneven_light(rng, canvas.size_hw, 0.6)))
    if rng.random() < 0.3:
        canvas.defocus(rng.uniform(0.5, 4.0))


def _pick(rng: np.random.Generator, palette: list[np.ndarray]) -> np.ndarray:
    return palette[int(rng.integers(len(palette)))] if rng.random() < 0.6 else natural_colour(rng)


def _clutter(canvas: Canvas, rng: np.random.Generator, palette: list[np.ndarray]) -> None:
    """Overlapping leaves with power-law sizes, without masks: foliage, crowds, shelves, out of focus or not."""
    draw = ImageDraw.Draw(canvas.image)
    smallest, largest = rng.uniform(3, 12) * canvas.unit, rng.uniform(25, 80) * canvas.unit
    corners, spread = int(rng.integers(3, 12)), rng.uniform(0.1, 0.4)
    height, width = canvas.size_hw
    count = int(rng.integers(30, 130))
    radii = np.minimum(smallest / np.sqrt(np.maximum(rng.random(count), 1e-4)), largest)
    turns = (np.arange(corners) + rng.uniform(-0.3, 0.3, (count, corners))) * (2 * np.pi / corners)
    leaves = np.stack([np.cos(turns), spread * 2 * np.sin(turns)], axis=2) * radii[:, None, None]
    leaves += rng.uniform((0, 0), (width, height), (count, 1, 2))
    colours = np.stack([_pick(rng, palette) for _ in range(10)])[rng.integers(10, size=count)]
    colours = np.clip(colours * rng.uniform(0.5, 1.3, (count, 1)), 0, 255).astype(int).tolist()
    for leaf, colour in zip(leaves.reshape(count, -1).tolist(), colours, strict=True):
        draw.polygon(leaf, fill=tuple(colour))
    canvas.defocus(np.exp(rng.uniform(np.log(0.4), np.log(5.0))))


def _layers(
    canvas: Canvas, rng: np.random.Generator, bank: TextureBank, palette: list[np.ndarray], numbered: bool
) -> None:
    """Regions below wavy or straight lines, from the far one to the near one; sometimes a side wall first."""
    height, width = canvas.size_hw
    everything = Window(0, height, 0, width)
    if numbered:
        canvas.owners.paste(canvas.new_owner(), everything.box)
    regions = []
    if rng.random() < 0.25:
        edge_top, edge_bottom = width * (rng.uniform(0.1, 0.9) + rng.normal(0, 0.1, 2))
        side = width if rng.random() < 0.5 else 0
        regions.append(np.array([[edge_top, 0], [side, 0], [side, height], [edge_bottom, height]], dtype=np.float64))
    columns = np.linspace(0, width, 65)
    for level in np.sort(rng.uniform(0.2, 0.95, int(rng.integers(1, 4)))):
        line = (level + noise_line(rng, 65) * rng.choice((0.0, 0.01, 0.03, 0.1))) * height
        line = line + rng.normal(0, 0.08) * (columns - width / 2)
        floor = np.array([[width, height + 1], [0, height + 1]])
        regions.append(np.concatenate([np.stack([columns, np.minimum(line, height)], axis=1), floor]))
    for outline in regions:
        surface = bank.surface(rng, canvas.size_hw, _pick(rng, palette))
        owner = canvas.new_owner() if numbered else None
        canvas.paint(surface, everything, coverage(outline, (), everything), owner)


def uneven_light(rng: np.random.Generator, size_hw: tuple[int, int], depth: float) -> Image.Image:
    """A smooth field of light: mode "L", from about 255 * (1 - depth) to 255."""
    rows, columns = rng.integers(2, 5, 2)
    coarse = 255 * (1 - depth * rng.random() * rng.random((rows, columns)))
    return Image.fromarray(coarse.astype(np.uint8)).resize(size_hw[::-1], Image.Resampling.BICUBIC)
