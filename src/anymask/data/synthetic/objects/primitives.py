"""What objects of the training scenes are made of: outlines with a material, some of them parts with a name.

An object is a list of `Primitive` in paint order. All of them together are the object; those that carry a `part` also
make up a mask of their own (an eye, a wheel, a lid). A `clipped` one is painted only where the object already is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Primitive:
    """One painted outline of an object.

    Attributes:
        outline: (n, 2) xy in the object's unit frame.
        material: which of the object's materials covers it.
        part: key of the part it belongs to, "" for none; primitives of one key share one mask.
        part_of: key of the part that this part lies in, "" for the object itself.
        clipped: paint only where the object has been painted before.
        holes: outlines (k, 2) cut out of it.
    """

    outline: np.ndarray
    material: int = 0
    part: str = ""
    part_of: str = ""
    clipped: bool = False
    holes: tuple[np.ndarray, ...] = field(default=())


def move_all(primitives: Sequence[Primitive], move: Callable[[np.ndarray], np.ndarray]) -> list[Primitive]:
    """The same primitives with all outlines and holes passed through `move`, which takes and gives points (n, 2)."""
    curves = [curve for primitive in primitives for curve in (primitive.outline, *primitive.holes)]
    ends = np.cumsum([len(curve) for curve in curves])
    pieces = iter(np.split(move(np.concatenate(curves)), ends[:-1]))
    return [
        Primitive(
            next(pieces),
            old.material,
            old.part,
            old.part_of,
            clipped=old.clipped,
            holes=tuple(next(pieces) for _ in old.holes),
        )
        for old in primitives
    ]
