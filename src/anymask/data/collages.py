"""Training pictures made of photographs: objects pasted onto them, and several put side by side.

A pasted object brings an exact mask and hides what is behind it. Its light is brought near that of the picture, it may
throw a shadow and be a little out of focus, so that its outline is not given away by a hard edge.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

LEAST_VISIBLE = 0.3  # share of a mask that must stay visible; below, what is left is no longer the object


def cut_out(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The object under `mask` (H, W) of an image (H, W, 3), with a soft alpha, trimmed."""
    alpha = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(0.7))
    picture = Image.fromarray(image).convert("RGBA")
    picture.putalpha(alpha)
    return picture.crop(Image.fromarray(mask.astype(np.uint8)).getbbox())


def paste_objects(
    image: np.ndarray,
    masks: np.ndarray,
    objects: list[Image.Image],
    size_range: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Paste objects one over the other onto a picture.

    Args:
        image: (H, W, 3) uint8.
        masks: (N, H, W) bool, of what the picture shows already.
        objects: RGBA images, the farthest first.
        size_range: their longer side, as shares of the picture's shorter side; log-uniform.

    Returns:
        The picture, and what is visible of its masks and of the objects: (M, H, W) bool.
    """
    canvas = image.astype(np.float32)
    visible = [*masks]
    full_areas = [mask.sum() for mask in masks]
    for rgba in objects:
        placed = _placed(rgba, size_range, image.shape[:2], rng)
        if placed is None:
            continue
        colours, alpha = placed
        if rng.random() < 0.5:
            canvas *= _shadow(alpha, rng)[..., None]
        colours = _relit(colours, alpha, canvas, rng)
        canvas += alpha[..., None] * (colours - canvas)
        solid = alpha > 0.5
        visible = [mask & ~solid for mask in visible]
        visible.append(solid)
        full_areas.append(solid.sum())
    kept = [mask for mask, area in zip(visible, full_areas, strict=True) if mask.sum() >= max(1, LEAST_VISIBLE * area)]
    return canvas.clip(0, 255).astype(np.uint8), np.stack(kept) if kept else np.zeros((0, *image.shape[:2]), bool)


def mosaic(
    pictures: list[tuple[np.ndarray, np.ndarray]], size_hw: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Four pictures with their masks, each filling a quarter of a new one: small objects, and many of them."""
    height, width = size_hw
    row, column = (int(side * rng.uniform(0.35, 0.65)) for side in size_hw)
    cells = [(0, 0, row, column), (0, column, row, width), (row, 0, height, column), (row, column, height, width)]
    image = np.zeros((height, width, 3), dtype=np.uint8)
    masks = []
    for (top, left, bottom, right), (part, part_masks) in zip(cells, pictures, strict=True):
        window = _covering_window(part.shape[:2], (bottom - top, right - left), rng)
        size = (right - left, bottom - top)
        image[top:bottom, left:right] = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BOX, window))
        for mask in part_masks:
            whole = np.zeros((height, width), dtype=bool)
            small = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX, window)
            whole[top:bottom, left:right] = np.asarray(small) > 127
            if whole.any():
                masks.append(whole)
    return image, np.stack(masks) if masks else np.zeros((0, height, width), bool)


def camera_effects(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour cast, blur, noise and JPEG, each now and then."""
    picture = Image.fromarray(image)
    if rng.random() < 0.3:
        gains = rng.normal(1, 0.08, 3)
        picture = Image.fromarray((image * gains).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.15:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape).astype(np.float32)
        picture = Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(rng.integers(30, 90)))
        picture = Image.open(buffer).convert("RGB")
    return np.asarray(picture)


def _placed(
    rgba: Image.Image, size_range: tuple[float, float], size_hw: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Turn, scale and place an object on an empty picture: colours (H, W, 3) and alpha (H, W) in [0, 1], float32."""
    low, high = np.log(size_range)
    side = min(size_hw) * np.exp(rng.uniform(low, high))
    scale = side / max(rgba.size)
    stretch = np.exp(rng.normal(0, 0.1))
    size = (max(2, round(rgba.width * scale * stretch)), max(2, round(rgba.height * scale / stretch)))
    thing = rgba.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.4:
        thing = thing.rotate(rng.normal(0, 25), Image.Resampling.BICUBIC, expand=True)
    if rng.random() < 0.3:
        thing = thing.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    height, width = size_hw
    # The centre lies in the picture, so that a quarter of the object shows at least.
    left = int(rng.integers(0, width)) - thing.width // 2
    top = int(rng.integers(0, height)) - thing.height // 2
    whole = Image.new("RGBA", (width, height))
    whole.paste(thing, (left, top))
    pixels = np.asarray(whole, dtype=np.float32)
    alpha = pixels[..., 3] / 255
    return (pixels[..., :3], alpha) if (alpha > 0.5).sum() >= 16 else None


def _shadow(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How much light a soft shadow of the object leaves, (H, W) in (0, 1]."""
    extent = float(np.sqrt((alpha > 0.5).sum()))
    blurred = Image.fromarray((alpha * 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(extent * rng.uniform(0.02, 0.15))
    )
    shift = (rng.normal(0, 0.08, 2) * extent + np.array([0, 0.05 * extent])).astype(int)
    moved = Image.new("L", blurred.size)
    moved.paste(blurred, tuple(shift))
    return 1 - rng.uniform(0.2, 0.7) * np.asarray(moved, dtype=np.float32) / 255


def _relit(colours: np.ndarray, alpha: np.ndarray, canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bring the object's brightness towards that of the picture, with a colour cast and light from one side."""
    own = float(colours[alpha > 0.5].mean()) + 1
    there = float(canvas.mean()) + 1
    gain = (there / own) ** rng.uniform(0, 0.8) * np.exp(rng.normal(0, 0.15))
    lit = colours * (gain * rng.normal(1, 0.05, 3)).astype(np.float32)
    if rng.random() < 0.4:
        slope = rng.normal(0, 0.4, 2)
        rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
        light = 1 + slope[0] * (rows / alpha.shape[0] - 0.5) + slope[1] * (columns / alpha.shape[1] - 0.5)
        lit = lit * light[..., None].astype(np.float32)
    return lit


def _covering_window(
    size_hw: tuple[int, int], cell_hw: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """The largest window of a cell's proportions in a picture, somewhere: left, top, right, bottom."""
    scale = min(size_hw[0] / cell_hw[0], size_hw[1] / cell_hw[1])
    height, width = cell_hw[0] * scale, cell_hw[1] * scale
    top, left = rng.uniform(0, size_hw[0] - height + 1e-6), rng.uniform(0, size_hw[1] - width + 1e-6)
    return left, top, min(left + width, size_hw[1]), min(top + height, size_hw[0])
