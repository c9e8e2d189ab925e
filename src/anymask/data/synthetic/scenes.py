"""Synthetic scenes: pictures drawn by a procedure, with the exact visible mask of every object and part.

START HERE for the data that `sam-vit-nano` is trained on. `draw_scene` composes a scene (this file); `backgrounds` and
`objects` say what is in it, `painting` covers it with `textures`, light and shadow, `canvas` keeps the masks, and
`photo_effects` makes a photograph of it. What is meant to carry over to photographs the model never saw: a thing of
several materials is one object, shadows and patterns bound nothing, neighbours may look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .backgrounds import paint_background
from .canvas import Canvas
from .objects.creatures import person, plant
from .objects.primitives import Primitive, move_all
from .objects.recipes import draw_object
from .objects.things import single, thin, vessel
from .painting import Light, paint_object
from .photo_effects import photograph
from .textures import TextureBank, natural_colour

_LAYOUTS = (("scatter", 0.35), ("ground", 0.22), ("hero", 0.28), ("crowd", 0.15))


@dataclass(frozen=True)
class Scene:
    """A drawn picture with its masks.

    Attributes:
        image: uint8 (H, W, 3).
        masks: bool (N, H, W), what is visible of each object or part; a part's mask lies inside its parent's, two
            masks of one parent never overlap.
        parent: int64 (N,), index of the mask that this one is a part of, -1 for objects.
    """

    image: np.ndarray
    masks: np.ndarray
    parent: np.ndarray


def draw_scene(
    seed: int | np.random.SeedSequence,
    size_hw: tuple[int, int] = (256, 256),
    photos: Sequence[np.ndarray] | None = None,
) -> Scene:
    """Draw a scene; the same arguments give the same scene.

    Args:
        seed: another seed, another scene.
        size_hw: height and width in pixels, each at least 32.
        photos: photographs for textures, uint8 (H, W) or (H, W, 3); None takes those bundled with scikit-image, an
            empty sequence none.

    Raises:
        ImportError: If `photos` is None and scikit-image is not installed.
        ValueError: If `size_hw` is too small.
    """
    if min(size_hw) < 32:
        raise ValueError(f"size_hw must be at least 32 pixels each way, got {tuple(size_hw)}: draw larger and downsize")
    rng = np.random.default_rng(seed)
    bank = TextureBank(photos)
    while True:  # a scene without any mask is possible (everything under one object) but rare: draw on
        canvas = _compose(rng, bank, (int(size_hw[0]), int(size_hw[1])))
        masks, parent = canvas.visible_masks()
        if len(masks):
            return Scene(photograph(rng, canvas.image, bank), masks, parent)


def _compose(rng: np.random.Generator, bank: TextureBank, size_hw: tuple[int, int]) -> Canvas:
    """Background, then objects from the far one to the near one."""
    canvas = Canvas(size_hw)
    palette = [natural_colour(rng) for _ in range(4)]
    angle = rng.normal(-np.pi / 2, 0.8)
    light = Light(
        np.array([np.cos(angle), np.sin(angle)]),
        rng.uniform(0.1, 0.9),
        rng.uniform(0.15, 0.75),
        np.exp(rng.uniform(np.log(0.01), np.log(0.15))),
    )
    paint_background(canvas, rng, bank, palette, numbered=rng.random() < 0.35)
    layout = str(rng.choice([name for name, _ in _LAYOUTS], p=[share for _, share in _LAYOUTS]))
    things = {"scatter": _scatter, "ground": _ground, "hero": _hero, "crowd": _crowd}[layout](rng, size_hw)
    focus = int(rng.integers(1, len(things) + 1)) if rng.random() < 0.25 else 0
    for index, thing in enumerate(things):
        if focus and index == focus:
            canvas.defocus(rng.uniform(0.8, 3.0))
        paint_object(canvas, rng, bank, thing, choose_colour=_colour_scheme(rng, palette), light=light)
    return canvas


def _colour_scheme(rng: np.random.Generator, palette: list[np.ndarray]) -> Callable[[], np.ndarray]:
    """How one object's materials get their colours: freely, from the scene's palette (camouflage), or all alike."""
    scheme = rng.random()
    own = natural_colour(rng)
    if scheme < 0.25:
        return lambda: palette[int(rng.integers(len(palette)))] * rng.uniform(0.7, 1.3)
    if scheme < 0.5:
        return lambda: own * rng.uniform(0.75, 1.25)
    return lambda: natural_colour(rng)


def _place(primitives: list[Primitive], centre_xy: np.ndarray, scale: float) -> list[Primitive]:
    """Bring an object from its unit frame to pixels; `scale` is half its longer side."""
    return move_all(primitives, lambda points: points * scale + centre_xy)


def _half_side(
    rng: np.random.Generator, size_hw: tuple[int, int], smallest: float = 0.012, largest: float = 0.5
) -> float:
    """Half the side of an object whose area is log-uniform between two shares of the image."""
    share = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    square = share * size_hw[0] * size_hw[1] / 0.5  # an object fills about half of the square around it
    return float(np.sqrt(square) / 2)


def _anywhere(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    return rng.uniform((0, 0), (size_hw[1], size_hw[0]))


def _scatter(rng: np.random.Generator, size_hw: tuple[int, int]) -> list[list[Primitive]]:
    """Unrelated objects of all sizes anywhere, mostly the large ones behind."""
    sizes = [_half_side(rng, size_hw) for _ in range(int(rng.integers(4, 12)))]
    if rng.random() < 0.7:
        sizes.sort(reverse=True)
    return [_place(draw_object(rng), _anywhere(rng, size_hw), size) for size in sizes]


def _ground(rng: np.random.Generator, size_hw: tuple[int, int]) -> list[list[Primitive]]:
    """Objects that stand on the ground: the lower their foot in the picture, the nearer and larger they are."""
    height, width = size_hw
    near = _half_side(rng, size_hw, 0.03, 0.5)
    things = []
    for foot in np.sort(rng.uniform(0.35, 1.15, int(rng.integers(4, 11)))):
        size = near * (0.25 + 0.75 * (foot - 0.3) / 0.85) * np.exp(rng.normal(0, 0.3))
        things.append(_place(draw_object(rng), np.array([rng.uniform(0, width), foot * height - size]), size))
    return things


def _hero(rng: np.random.Generator, size_hw: tuple[int, int]) -> list[list[Primitive]]:
    """One large object about the middle, small ones behind it and before it."""
    height, width = size_hw
    centre = np.array([width, height]) * rng.uniform(0.3, 0.7, 2)
    hero = _place(draw_object(rng), centre, _half_side(rng, size_hw, 0.15, 0.6))
    small = [
        _place(draw_object(rng), _anywhere(rng, size_hw), _half_side(rng, size_hw, 0.005, 0.08))
        for _ in range(int(rng.integers(2, 8)))
    ]
    behind = int(rng.integers(0, len(small) + 1))
    return [*small[:behind], hero, *small[behind:]]


def _crowd(rng: np.random.Generator, size_hw: tuple[int, int]) -> list[list[Primitive]]:
    """Many of one kind, touching or in rows: fruit, people, jars; and a few other things."""
    recipe = (single, vessel, person, plant, thin, None)[int(rng.integers(6))]
    size = _half_side(rng, size_hw, 0.008, 0.05)
    middle, spread = _anywhere(rng, size_hw), rng.uniform(0.8, 2.5) * size
    in_row = rng.random() < 0.4
    template = draw_object(rng, recipe)
    crowd = []
    for index in range(int(rng.integers(4, 13))):
        thing = template if recipe is single or rng.random() < 0.5 else draw_object(rng, recipe)
        step = np.array([(index - 5) * 1.7 * size, rng.normal(0, 0.1) * size]) if in_row else rng.normal(0, spread, 2)
        crowd.append(_place(thing, middle + step, size * np.exp(rng.normal(0, 0.12))))
    others = [
        _place(draw_object(rng), _anywhere(rng, size_hw), _half_side(rng, size_hw, 0.02, 0.3))
        for _ in range(int(rng.integers(0, 4)))
    ]
    return [*others, *crowd]
