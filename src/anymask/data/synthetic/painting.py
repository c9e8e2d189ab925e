"""Paints objects on a canvas: surfaces, shading, shadows, highlights. Only an object's own outlines make masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .canvas import Canvas, Window, coverage, grey_to_rgb, soften, window_around
from .objects.primitives import Primitive
from .textures import TextureBank

_SMOOTH_SIDE = 24  # shading and shadows are smooth: drawn at about this many pixels a side, then enlarged
_SMOOTH_MARGIN = 4
_NAMED_PARTS_SHARE = 0.5  # of the objects with parts; in the others only the whole is a mask


@dataclass(frozen=True)
class Light:
    """The light of a scene.

    Attributes:
        direction_xy: unit vector in the image plane towards the light.
        strength: how much surfaces that face it or turn away differ, 0..1.
        shadow_darkness: 0 casts no shadows, 1 black ones.
        shadow_softness: blur of shadows, as a share of the object's extent.
    """

    direction_xy: np.ndarray
    strength: float
    shadow_darkness: float
    shadow_softness: float


def paint_object(
    canvas: Canvas,
    rng: np.random.Generator,
    bank: TextureBank,
    primitives: Sequence[Primitive],
    choose_colour: Callable[[], np.ndarray],
    light: Light,
) -> None:
    """Paint an object given in pixels, its shadow first, and number its pixels.

    Args:
        primitives: outlines in pixels of the canvas, in paint order.
        choose_colour: gives the RGB (3,) in 0..255 of the next material.
    """
    fuzz = rng.uniform(0.7, 2.0) * canvas.unit if rng.random() < 0.12 else 0.0  # fur, or out of focus before the rest
    places = [window_around(primitive.outline, canvas.size_hw, margin=1 + 2 * fuzz) for primitive in primitives]
    visible = [(primitive, place) for primitive, place in zip(primitives, places, strict=True) if place is not None]
    if not visible:
        return
    _object_shadow(canvas, rng, primitives, light)
    surfaces = _Surfaces(rng, bank, visible, choose_colour)
    owners = _Owners(canvas, named_parts=rng.random() < _NAMED_PARTS_SHARE)
    shaded, creased, outlined = rng.random() < 0.75, rng.random() < 0.35, rng.random() < 0.06
    roundness = rng.uniform(0.04, 0.22)
    whole = Image.new("L", canvas.image.size)  # what the object covers so far
    for primitive, place in visible:
        extent = float(np.sqrt(place.size_hw[0] * place.size_hw[1]))
        if creased and extent > 16 and not primitive.clipped:
            darkness = 0.5 * light.shadow_darkness
            cast_shadow(
                canvas, [primitive.outline], -light.direction_xy * 0.03 * extent, 0.06 * extent, darkness=darkness
            )
        alpha = coverage(primitive.outline, primitive.holes, place)
        if fuzz:
            alpha = soften(alpha, fuzz)
        if primitive.clipped:
            alpha = ImageChops.darker(alpha, whole.crop(place.box))
        else:
            whole.paste(255, place.box, alpha)
        surface = surfaces.under(primitive, place)
        if shaded and extent > 14 and not primitive.clipped:
            surface = ImageChops.multiply(surface, grey_to_rgb(relief(primitive.outline, place, light, roundness)))
        if outlined:
            surface = ImageChops.multiply(surface, grey_to_rgb(alpha.filter(ImageFilter.MinFilter(3))))
        canvas.paint(surface, place, alpha, owners.number(primitive))
    if rng.random() < 0.15:
        _highlight(canvas, rng, whole, surfaces.window, light=light)


class _Owners:
    """The numbers of an object and of its parts; a part gets one on first sight, after the part that it lies in."""

    def __init__(self, canvas: Canvas, named_parts: bool) -> None:
        self.canvas, self.named_parts = canvas, named_parts
        self.whole = canvas.new_owner()
        self.parts = {"": self.whole}

    def number(self, primitive: Primitive) -> int:
        if not self.named_parts:
            return self.whole
        for key, parent in ((primitive.part_of, ""), (primitive.part, primitive.part_of)):
            if key not in self.parts:
                self.parts[key] = self.canvas.new_owner(self.parts[parent])
        return self.parts[primitive.part]


class _Surfaces:
    """The materials of one object; each is one surface over all the primitives that it covers."""

    def __init__(
        self,
        rng: np.random.Generator,
        bank: TextureBank,
        visible: Sequence[tuple[Primitive, Window]],
        choose_colour: Callable[[], np.ndarray],
    ) -> None:
        windows: dict[int, Window] = {}
        self.window = visible[0][1]
        for primitive, place in visible:
            windows[primitive.material] = place.union(windows.get(primitive.material, place))
            self.window = self.window.union(place)
        self.surfaces = {
            material: (window, bank.surface(rng, window.size_hw, choose_colour()))
            for material, window in windows.items()
        }

    def under(self, primitive: Primitive, place: Window) -> Image.Image:
        """The surface that a primitive shows, RGB, of the size of `place`."""
        window, surface = self.surfaces[primitive.material]
        return surface if window == place else surface.crop(place.within(window))


def _silhouette(outlines: Sequence[np.ndarray], window: Window, margin: int, value: int = 255) -> Image.Image:
    """Outlines in pixels drawn small, with a margin of that many small pixels around `window`."""
    height, width = window.size_hw
    scale = min(1.0, _SMOOTH_SIDE / max(height, width))
    small_width, small_height = max(round(width * scale), 2), max(round(height * scale), 2)
    image = Image.new("L", (small_width + 2 * margin, small_height + 2 * margin))
    draw = ImageDraw.Draw(image)
    for outline in outlines:
        points = (outline - (window.left, window.top)) * (small_width / width, small_height / height) + margin
        draw.polygon(points.ravel().tolist(), fill=value)
    return image


def relief(outline: np.ndarray, window: Window, light: Light, roundness: float) -> Image.Image:
    """Shading of a cushion-like surface under an outline: mode "L", 255 where it is fully lit.

    Args:
        roundness: how far the rounded rim reaches in, as a share of the window.
    """
    margin = _SMOOTH_MARGIN
    small = _silhouette([outline], window, margin)
    width, height = small.width - 2 * margin, small.height - 2 * margin
    depth = np.asarray(soften(small, max(1.0, roundness * max(width, height)))).astype(np.float32)
    step_x, step_y = (round((margin - 1) * float(component)) for component in light.direction_xy)
    away = depth[margin - step_y : margin - step_y + height, margin - step_x : margin - step_x + width]
    towards = depth[margin + step_y : margin + step_y + height, margin + step_x : margin + step_x + width]
    inner = depth[margin : margin + height, margin : margin + width]
    shade = 225 + light.strength * (0.75 * (away - towards) + 0.4 * (inner - 230))
    enlarged = Image.fromarray(np.clip(shade, 12, 255).astype(np.uint8))
    return enlarged.resize(window.size_hw[::-1], Image.Resampling.BILINEAR)


def cast_shadow(
    canvas: Canvas, outlines: Sequence[np.ndarray], offset_xy: np.ndarray, softness: float, darkness: float
) -> None:
    """Darken the canvas under outlines in pixels, moved by `offset_xy`; a shadow belongs to no mask.

    Args:
        softness: blur in pixels.
        darkness: 0 leaves the canvas as it is, 1 makes the core of the shadow black.
    """
    moved = [outline + offset_xy for outline in outlines]
    window = window_around(np.concatenate(moved), canvas.size_hw, margin=2 * softness)
    if window is None:
        return
    small = _silhouette(moved, window, margin=0, value=int(255 * darkness))
    soft = soften(small, softness * small.width / window.size_hw[1])
    canvas.darken(window, soft.resize(window.size_hw[::-1], Image.Resampling.BILINEAR))


def _object_shadow(canvas: Canvas, rng: np.random.Generator, primitives: Sequence[Primitive], light: Light) -> None:
    """The shadow on what lies behind: a moved copy, or one flattened onto the ground below the object."""
    if rng.random() > 0.65:
        return
    outlines = [primitive.outline for primitive in primitives if not primitive.clipped]
    points = np.concatenate(outlines)
    extent = float((points.max(axis=0) - points.min(axis=0)).max())
    offset = -light.direction_xy * extent * rng.uniform(0.02, 0.2)
    if rng.random() < 0.4:
        base, flattening = points[:, 1].max(), rng.uniform(0.1, 0.4)
        slant = -2.0 * light.direction_xy[0] * rng.uniform(0.0, 0.6)
        rises = [(base - outline[:, 1]) * flattening for outline in outlines]
        outlines = [
            np.stack([outline[:, 0] + slant * rise, base - rise], axis=1)
            for outline, rise in zip(outlines, rises, strict=True)
        ]
        offset = np.zeros(2)
    cast_shadow(canvas, outlines, offset, max(light.shadow_softness * extent, 1.0), darkness=light.shadow_darkness)


def _highlight(canvas: Canvas, rng: np.random.Generator, whole: Image.Image, window: Window, light: Light) -> None:
    """A soft bright spot on the object's side towards the light; `whole` (mode "L") is what the object covers."""
    height, width = window.size_hw
    y, x = np.linspace(0, 1, 16)[:, None], np.linspace(0, 1, 16)[None, :]
    centre_x, centre_y = 0.5 + 0.25 * light.direction_xy + rng.normal(0, 0.08, 2)
    radius_x, radius_y = rng.uniform(0.08, 0.2, 2)
    spot = np.exp(-(((x - centre_x) / radius_x) ** 2) - ((y - centre_y) / radius_y) ** 2) * rng.uniform(60, 230)
    glow = Image.fromarray(spot.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    canvas.image.paste((255, 255, 255), window.box, ImageChops.darker(glow, whole.crop(window.box)))
