"""The canvas of a training scene: pixels, and for every pixel the number of the object or part that is seen there.

Painting later hides what was painted before, in the pixels and in the numbers alike, so visible masks need no geometry. A number's
parent says what it is a part of; the mask of an object is its own number with all numbers below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .objects import Primitive
from .textures import TextureBank

_SUPERSAMPLING = 2
_SHADE_SIDE = 32  # shading and shadows are smooth: they are computed at about this many pixels a side, then enlarged


@dataclass(frozen=True)
class Light:
    """Where the light of a scene comes from: direction in the image plane (unit xy, towards the light) and its strength 0..1."""

    direction_xy: np.ndarray
    strength: float
    shadow_darkness: float
    shadow_softness: float


@dataclass
class Canvas:
    """Pixels and numbers of one scene.

    Attributes:
        pixels: float32 (H, W, 3), 0..255.
        owners: int32 (H, W), the number of the object or part on top; 0 where nothing is.
        parents: parent number of each number; 0 for objects. Entry 0 is a placeholder.
    """

    pixels: np.ndarray
    owners: np.ndarray
    parents: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def blank(cls, size_hw: tuple[int, int]) -> Canvas:
        """A black canvas without objects."""
        return cls(np.zeros((*size_hw, 3), dtype=np.float32), np.zeros(size_hw, dtype=np.int32))

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.owners.shape[0], self.owners.shape[1]

    def new_owner(self, parent: int = 0) -> int:
        """Register an object (parent 0) or a part; the number to paint it with."""
        self.parents.append(parent)
        return len(self.parents) - 1

    def blur(self, radius: float) -> None:
        """Gaussian blur of what has been painted so far, in pixels: depth of field."""
        image = Image.fromarray(np.clip(self.pixels, 0, 255).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(float(radius))
        )
        self.pixels = np.asarray(image, dtype=np.float32)


@dataclass(frozen=True)
class Window:
    """A rectangle of the canvas in pixels: rows top to bottom, columns left to right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this rectangle in an (H, W, ...) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def window_around(outlines: Sequence[np.ndarray], size_hw: tuple[int, int], margin: float = 1.0) -> Window | None:
    """The part of a canvas that outlines in pixels can touch; None where they lie outside."""
    low = np.min([outline.min(axis=0) for outline in outlines], axis=0) - margin
    high = np.max([outline.max(axis=0) for outline in outlines], axis=0) + margin + 1
    left, top = np.maximum(np.floor(low), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high), (size_hw[1], size_hw[0])).astype(int)
    return Window(int(top), int(bottom), int(left), int(right)) if right - left >= 2 and bottom - top >= 2 else None


def coverage(outline: np.ndarray, holes: Sequence[np.ndarray], window: Window) -> np.ndarray:
    """How much of each pixel of `window` a polygon in pixels covers: uint8 (h, w), 0..255."""
    height, width = window.size_hw
    image = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    draw = ImageDraw.Draw(image)
    for polygon, value in ((outline, 255), *((hole, 0) for hole in holes)):
        # Pillow puts whole numbers at pixel centres: half a sample less puts them at pixel corners, as the canvas counts.
        points = (polygon - (window.left, window.top)) * _SUPERSAMPLING - 0.5
        draw.polygon(points.ravel().tolist(), fill=value)
    return np.asarray(image.reduce(_SUPERSAMPLING))


def relief(rng: np.random.Generator, alpha: np.ndarray, light: Light) -> np.ndarray:
    """Shading of a cushion-like surface over a covered region: a float32 factor (h, w) around 1, brighter towards the light."""
    height, width = alpha.shape
    scale = min(1.0, _SHADE_SIDE / max(height, width))
    small_size = max(int(width * scale), 2), max(int(height * scale), 2)
    small = Image.fromarray(alpha).resize(small_size, Image.Resampling.BOX)
    depth = (
        np.asarray(small.filter(ImageFilter.GaussianBlur(max(small_size) * rng.uniform(0.05, 0.25))), dtype=np.float32)
        / 255.0
    )
    slope_y, slope_x = np.gradient(depth)
    facing = slope_x * -light.direction_xy[0] + slope_y * -light.direction_xy[1]
    facing *= -1.0 / (np.abs(facing).max() + 1e-6)
    shade = 1.0 - light.strength * (0.75 * facing - 0.3 * (depth - depth.max()))
    return np.asarray(Image.fromarray(shade.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))


def cast_shadow(
    canvas: Canvas, outlines: Sequence[np.ndarray], offset_xy: np.ndarray, softness: float, darkness: float
) -> None:
    """Darken the canvas under outlines in pixels moved by `offset_xy`; a shadow belongs to no mask.

    Args:
        softness: blur radius in pixels.
        darkness: 0 leaves the canvas as it is, 1 makes the core of the shadow black.
    """
    moved = [outline + offset_xy for outline in outlines]
    window = window_around(moved, canvas.size_hw, margin=2 * softness)
    if window is None:
        return
    height, width = window.size_hw
    scale = min(1.0, 2 * _SHADE_SIDE / max(height, width), 2.0 / max(softness, 1.0))
    small_size = max(int(width * scale), 2), max(int(height * scale), 2)
    small = Image.new("L", small_size)
    draw = ImageDraw.Draw(small)
    for outline in moved:
        points = (outline - (window.left, window.top)) * (small_size[0] / width, small_size[1] / height)
        draw.polygon(points.ravel().tolist(), fill=255)
    soft = small.filter(ImageFilter.GaussianBlur(float(softness * scale))).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    canvas.pixels[window.slices] *= (1.0 - np.asarray(soft, dtype=np.float32) * np.float32(darkness / 255.0))[..., None]


def paint_object(
    canvas: Canvas,
    rng: np.random.Generator,
    bank: TextureBank,
    primitives: Sequence[Primitive],
    colours: Sequence[np.ndarray],
    light: Light,
) -> None:
    """Paint an object given in pixels, its shadow first, and number its pixels.

    Args:
        primitives: outlines in pixels of the canvas, in paint order.
        colours: RGB (3,) in 0..255 of each material.
    """
    window = window_around([primitive.outline for primitive in primitives], canvas.size_hw)
    if window is None:
        return
    object_owner = canvas.new_owner()
    part_owners = {"": object_owner}
    _object_shadow(canvas, rng, primitives, light)
    surfaces: dict[int, np.ndarray] = {}
    shaded, creased, outlined = rng.random() < 0.75, rng.random() < 0.35, rng.random() < 0.06
    for primitive in primitives:
        owner = _part_owner(canvas, part_owners, primitive)
        place = window_around([primitive.outline], canvas.size_hw)
        if place is None:
            continue
        if creased and not primitive.clipped:
            extent = float(np.sqrt(place.size_hw[0] * place.size_hw[1]))
            cast_shadow(
                canvas,
                [primitive.outline],
                -light.direction_xy * 0.03 * extent,
                0.06 * extent,
                0.5 * light.shadow_darkness,
            )
        alpha = coverage(primitive.outline, primitive.holes, place)
        if primitive.clipped:
            alpha = np.where(canvas.owners[place.slices] >= object_owner, alpha, 0).astype(np.uint8)
        if primitive.material not in surfaces:
            surfaces[primitive.material] = bank.surface(rng, window.size_hw, colours[primitive.material])
        rows, columns = (
            slice(place.top - window.top, place.bottom - window.top),
            slice(place.left - window.left, place.right - window.left),
        )
        colour = surfaces[primitive.material][rows, columns]
        if shaded and alpha.size > 150 and not primitive.clipped:
            colour = colour * relief(rng, alpha, light)[..., None]
        if outlined:
            inner = np.asarray(Image.fromarray(alpha).filter(ImageFilter.MinFilter(3)))
            colour = colour * (inner[..., None] * np.float32(0.8 / 255.0) + 0.2)
        pixels = canvas.pixels[place.slices]
        pixels += (colour - pixels) * (alpha * np.float32(1.0 / 255.0))[..., None]
        canvas.owners[place.slices][alpha >= 128] = owner
    if rng.random() < 0.25:
        _highlight(canvas, rng, object_owner, window, light)


def _part_owner(canvas: Canvas, part_owners: dict[str, int], primitive: Primitive) -> int:
    """The number of a primitive's part, registered on first sight, after the part that it lies in."""
    for key, parent in ((primitive.part_of, ""), (primitive.part, primitive.part_of)):
        if key not in part_owners:
            part_owners[key] = canvas.new_owner(part_owners[parent])
    return part_owners[primitive.part]


def _object_shadow(canvas: Canvas, rng: np.random.Generator, primitives: Sequence[Primitive], light: Light) -> None:
    """The shadow on what lies behind: a moved copy, or one flattened onto the ground below the object."""
    if rng.random() > 0.65:
        return
    outlines = [primitive.outline for primitive in primitives if not primitive.clipped]
    points = np.concatenate(outlines)
    extent = float((points.max(axis=0) - points.min(axis=0)).max())
    offset = -light.direction_xy * extent * rng.uniform(0.02, 0.2)
    softness = max(light.shadow_softness * extent, 1.0)
    if rng.random() < 0.4:
        base = points[:, 1].max()
        flattening, slant = rng.uniform(0.1, 0.4), -2.0 * light.direction_xy[0] * rng.uniform(0.0, 0.6)
        flat = []
        for outline in outlines:
            rise = base - outline[:, 1]
            flat.append(np.stack([outline[:, 0] + slant * rise * flattening, base - rise * flattening], axis=1))
        outlines, offset = flat, np.zeros(2)
    cast_shadow(canvas, outlines, offset, softness, light.shadow_darkness)


def _highlight(canvas: Canvas, rng: np.random.Generator, object_owner: int, window: Window, light: Light) -> None:
    """A soft bright spot on the object's side towards the light."""
    height, width = window.size_hw
    y, x = np.ogrid[0:height, 0:width]
    centre_x = width * (0.5 + 0.25 * light.direction_xy[0] + rng.normal(0, 0.08))
    centre_y = height * (0.5 + 0.25 * light.direction_xy[1] + rng.normal(0, 0.08))
    radius_x, radius_y = width * rng.uniform(0.04, 0.15), height * rng.uniform(0.04, 0.15)
    distance = ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2
    glow = rng.uniform(60, 220) * np.exp(-distance).astype(np.float32) * (canvas.owners[window.slices] >= object_owner)
    canvas.pixels[window.slices] += glow[..., None]
