"""Which objects the training scenes hold, how often, and how each is bent, turned and mirrored.

`things` and `creatures` hold the recipes; a new recipe is a function there and a line in `RECIPES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .creatures import animal, fish, person, plant, portrait
from .primitives import Primitive, move_all
from .shapes import Bend, rotate
from .things import building, cluster, furniture, single, solid, thin, vehicle, vessel

Recipe = Callable[[np.random.Generator], list[Primitive]]

RECIPES: tuple[tuple[Recipe, float], ...] = (
    *((single, 5.0), (cluster, 3.0), (thin, 1.2), (solid, 1.6), (vessel, 1.8), (animal, 2.2), (person, 1.8)),
    *((portrait, 1.0), (vehicle, 1.2), (plant, 1.4), (furniture, 0.7), (building, 0.6), (fish, 0.9)),
)
_WEIGHTS = np.array([weight for _, weight in RECIPES])
_UPRIGHT = {person, portrait, vessel, vehicle, plant, furniture, building, solid}


def draw_object(rng: np.random.Generator, recipe: Recipe | None = None) -> list[Primitive]:
    """A random object, bent, turned and mirrored as one, scaled to fit -1..1 on its longer side and centred.

    Args:
        recipe: the kind of object; None draws one by the weights of `RECIPES`.
    """
    chosen = RECIPES[int(rng.choice(len(RECIPES), p=_WEIGHTS / _WEIGHTS.sum()))][0] if recipe is None else recipe
    parts = chosen(rng)
    bend = Bend(rng, rng.uniform(0.0, 0.12))
    turn = rng.normal(0, 0.12) if chosen in _UPRIGHT and rng.random() < 0.85 else rng.normal(0, 0.6)
    stretch = np.exp(rng.normal(0, 0.18, 2)) * (rng.choice((-1.0, 1.0)), 1.0)
    parts = move_all(parts, lambda points: rotate(bend(points) * stretch, turn))
    corners = np.concatenate([part.outline for part in parts if not part.clipped])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return move_all(parts, lambda points: (points - (low + high) / 2) * (2 / (high - low).max()))
