"""Objects of the training scenes: recipes that put outlines together into one thing of several materials, and name its parts.

An object is a list of `Primitive` in paint order. All of them together are the object; those that carry a `part` also make up a
mask of their own (an eye, a wheel, a lid). A `clipped` primitive is painted only where the object already is: eyes, windows, prints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .shapes import (
    Bend,
    blob,
    box,
    densify,
    ellipse,
    limb,
    profile,
    random_polygon,
    rotate,
    roughen,
    star,
    superellipse,
)

Recipe = Callable[[np.random.Generator], list["Primitive"]]


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
            next(pieces), old.material, old.part, old.part_of, old.clipped, tuple(next(pieces) for _ in old.holes)
        )
        for old in primitives
    ]


def simple_outline(rng: np.random.Generator) -> np.ndarray:
    """One outline of a random family, about -1..1."""
    family = rng.random()
    if family < 0.35:
        return blob(rng, rng.uniform(0.05, 0.4))
    if family < 0.5:
        return ellipse((0, 0), (1.0, rng.uniform(0.3, 1.0)), rng.uniform(0, np.pi))
    if family < 0.7:
        return superellipse((0, 0), (1.0, rng.uniform(0.25, 1.0)), rng.uniform(3, 12), rng.normal(0, 0.5))
    if family < 0.85:
        return random_polygon(rng)
    if family < 0.9:
        return star(rng)
    return roughen(rng, blob(rng, 0.25), rng.uniform(0.02, 0.12))


def single(rng: np.random.Generator) -> list[Primitive]:
    """One outline, perhaps with a hole, perhaps with a smaller shape on it that is a part."""
    outline = simple_outline(rng)
    holes = (outline * rng.uniform(0.3, 0.7) + rng.uniform(-0.1, 0.1, 2),) if rng.random() < 0.08 else ()
    parts = [Primitive(outline, holes=holes)]
    for index in range(int(rng.integers(0, 3)) if rng.random() < 0.4 else 0):
        patch = simple_outline(rng) * rng.uniform(0.15, 0.5) + rng.uniform(-0.4, 0.4, 2)
        parts.append(Primitive(patch, index + 1, f"patch{index}", clipped=True))
    return parts


def thin(rng: np.random.Generator) -> list[Primitive]:
    """A rod, rope, blade or branch."""
    count = int(rng.integers(2, 5))
    points = np.stack([np.linspace(-1, 1, count), rng.normal(0, 0.3, count) * (rng.random() < 0.6)], axis=1)
    widths = rng.uniform(0.03, 0.14) * rng.uniform(0.5, 1.5, count)
    shape = limb(points, widths)
    parts = [Primitive(rotate(shape, angle)) for angle in (rng.uniform(0, np.pi),)]
    if rng.random() < 0.3:  # a handle or a head at one end
        end = rotate(ellipse((1.0, points[-1, 1]), (rng.uniform(0.15, 0.35), rng.uniform(0.12, 0.25))), 0.0)
        turn = rng.uniform(0, np.pi)
        parts = [Primitive(rotate(shape, turn)), Primitive(rotate(end, turn), 1, "end")]
    return parts


def cluster(rng: np.random.Generator) -> list[Primitive]:
    """Two to six random outlines grown onto each other: a thing of no known kind."""
    parts: list[Primitive] = []
    centre, reach = np.zeros(2), 1.0
    for index in range(int(rng.integers(2, 7))):
        size = 1.0 if index == 0 else rng.uniform(0.25, 0.8)
        outline = simple_outline(rng) * size
        if index:
            direction = rng.normal(0, 1, 2)
            centre = centre * rng.random() + direction / np.linalg.norm(direction) * reach * rng.uniform(0.5, 1.0)
        reach = size
        key = f"piece{index}" if rng.random() < 0.5 else ""
        parts.append(Primitive(outline + centre, int(rng.integers(0, 4)), key if index else ""))
    return parts if rng.random() < 0.5 else parts[::-1]


def animal(rng: np.random.Generator) -> list[Primitive]:
    """A body with legs, neck, head, ears and tail, seen from the side."""
    body_height, leg, leg_width = rng.uniform(0.25, 0.5), rng.uniform(0.3, 0.9), rng.uniform(0.04, 0.12)
    parts = [
        Primitive(
            limb(
                np.array([[-0.8, -0.1], [-1.1, rng.uniform(-0.7, 0.3)], [-1.3, rng.uniform(-0.8, 0.6)]]),
                rng.uniform(0.03, 0.1),
            ),
            0,
            "tail",
        )
    ]
    for index, x in enumerate((-0.65, 0.6, -0.5, 0.75)):
        knee = x + rng.normal(0, 0.12)
        path = np.array([[x, 0.0], [knee, body_height + leg / 2], [x + rng.normal(0, 0.2), body_height + leg]])
        parts.append(Primitive(limb(path, leg_width * np.array([2.2, 1.1, 1.0])), 1 if index < 2 else 0, f"leg{index}"))
    body = superellipse((0, 0), (1.0, body_height), 2.4) + blob(rng, 0.2)[::2] * 0.08
    parts.append(Primitive(roughen(rng, body, 0.012) if rng.random() < 0.5 else body))
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.4 else 0):
        parts.append(
            Primitive(blob(rng, 0.3) * rng.uniform(0.1, 0.35) + rng.uniform((-0.8, -0.3), (0.8, 0.3)), 2, clipped=True)
        )
    head = np.array([rng.uniform(0.95, 1.4), rng.uniform(-0.9, -0.1)])
    size = rng.uniform(0.22, 0.42)
    parts.append(Primitive(limb(np.array([[0.75, -0.1], head]), np.array([body_height * 0.7, size * 0.7]))))
    for side in (-1, 1):
        ear = np.array(
            [[side * 0.2 - 0.25, -0.6], [side * 0.3 + 0.25, -0.6], [side * 0.5, -0.9 - rng.uniform(0.2, 1.0)]]
        )
        parts.append(Primitive(densify(ear, 6) * size + head, 1, f"ear{side}", "head"))
    skull = ellipse(tuple(head), (size, size * rng.uniform(0.7, 1.0)), rng.normal(0, 0.3))
    parts += [
        Primitive(skull, 0, "head"),
        Primitive(ellipse(tuple(head + (size * 0.8, size * 0.3)), (size * 0.6, size * 0.4)), 3, "head"),
    ]
    parts.append(
        Primitive(
            ellipse(tuple(head + (size * 0.2, -size * 0.2)), (size * 0.15, size * 0.15)), 4, "eye", "head", clipped=True
        )
    )
    return parts


def person(rng: np.random.Generator) -> list[Primitive]:
    """A standing figure with clothes: skin, hair, shirt, trousers and shoes are materials 0 to 4."""
    hip, lean = rng.uniform(0.0, 0.15), rng.normal(0, 0.1)
    parts = []
    for side in (-1, 1):
        foot = np.array([side * rng.uniform(0.1, 0.35), rng.uniform(0.85, 1.05)])
        parts.append(Primitive(ellipse(tuple(foot + (0.05, 0.0)), (0.12, 0.06)), 4, f"shoe{side}"))
        path = np.array([[side * 0.1, hip], [side * rng.uniform(0.08, 0.25), (hip + foot[1]) / 2], foot])
        parts.append(Primitive(limb(path, np.array([0.14, 0.11, 0.08])), 3, "trousers"))
    shoulder = np.array([lean, -0.52])
    torso = np.array(
        [[-0.26, -0.5], [-0.1, -0.6], [0.1, -0.6], [0.26, -0.5], [0.2, hip + 0.05], [-0.2, hip + 0.05]]
    ) + (lean, 0)
    hands, arms = [], []
    for side in (-1, 1):
        elbow = shoulder + (side * rng.uniform(0.25, 0.45), rng.uniform(0.1, 0.35))
        hand = elbow + (rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.35))
        hands.append(Primitive(ellipse(tuple(hand), (0.07, 0.07)), 0, f"hand{side}"))
        arms.append(
            Primitive(
                limb(np.stack([shoulder + (side * 0.2, 0), elbow, hand]), np.array([0.09, 0.08, 0.06])), 2, "shirt"
            )
        )
    front = int(rng.integers(0, 3))
    parts += hands[:front] + arms[:front] + [Primitive(densify(torso, 5), 2, "shirt")] + hands[front:] + arms[front:]
    if rng.random() < 0.4:
        parts.append(Primitive(simple_outline(rng) * 0.1 + shoulder + (0, 0.25), 5, clipped=True))
    head = shoulder + (rng.normal(0, 0.03), -0.27)
    parts.append(Primitive(limb(np.stack([shoulder, head]), 0.07), 0))
    parts.append(Primitive(ellipse(tuple(head + (0, -0.05)), (0.16, 0.19)), 1, "head"))
    parts.append(Primitive(ellipse(tuple(head + (rng.normal(0, 0.04), 0.02)), (0.125, 0.165)), 0, "face", "head"))
    for side in (-1, 1):
        parts.append(Primitive(ellipse(tuple(head + (side * 0.05, 0.0)), (0.022, 0.014)), 6, clipped=True))
    return parts


def portrait(rng: np.random.Generator) -> list[Primitive]:
    """Head and shoulders."""
    shoulders = superellipse((0, 1.0), (rng.uniform(0.7, 1.1), rng.uniform(0.5, 0.8)), 2.6)
    hair = roughen(rng, ellipse((0, -0.4), (rng.uniform(0.4, 0.55), rng.uniform(0.5, 0.8))), rng.uniform(0.0, 0.06))
    face = ellipse((rng.normal(0, 0.05), -0.25), (0.34, 0.45))
    parts = [
        Primitive(hair, 1, "hair", "head"),
        Primitive(box(-0.16, -0.1, 0.16, 0.6), 0),
        Primitive(shoulders, 2, "clothes"),
    ]
    parts.append(
        Primitive(densify(np.array([[-0.2, 0.5], [0.2, 0.5], [0.0, 0.95]])), int(rng.integers(0, 6)), clipped=True)
    )
    parts += [Primitive(ellipse((0, -0.2), (0.36, 0.46)), 0, "head"), Primitive(face, 0, "face", "head")]
    for side in (-1, 1):
        parts.append(Primitive(ellipse((side * 0.14, -0.3), (0.06, 0.035)), 6, f"eye{side}", "face", clipped=True))
        parts.append(Primitive(ellipse((side * 0.14, -0.41), (0.09, 0.018)), 1, clipped=True))
    parts.append(Primitive(ellipse((0, -0.02), (0.1, 0.03)), 5, "mouth", "face", clipped=True))
    if rng.random() < 0.7:
        parts.append(Primitive(ellipse((0, -0.6), (0.38, rng.uniform(0.12, 0.22))), 1, "hair", "head"))
    return parts


def vessel(rng: np.random.Generator) -> list[Primitive]:
    """A cup, bowl, bottle, vase or lamp: a turned profile with an opening or lid, a label, a handle."""
    widths = np.clip(rng.uniform(0.25, 0.8) + np.cumsum(rng.normal(0, 0.15, int(rng.integers(2, 6)))), 0.12, 1.1)
    body = profile(widths)
    rim, opening = widths[0], rng.uniform(0.0, 0.35)
    parts = []
    if rng.random() < 0.45:
        handle = ellipse(
            (widths.mean() + 0.1, rng.uniform(-0.3, 0.2)), (rng.uniform(0.25, 0.45), rng.uniform(0.3, 0.5))
        )
        centre = handle.mean(axis=0)
        parts.append(Primitive(handle, 0, "handle", holes=(centre + (handle - centre) * rng.uniform(0.5, 0.75),)))
    parts += [Primitive(ellipse((0, 1.0), (widths[-1], widths[-1] * opening))), Primitive(body)]
    if rng.random() < 0.4:
        top = rng.uniform(-0.5, 0.2)
        parts.append(
            Primitive(box(-1.2, top, rng.uniform(0.3, 1.2), top + rng.uniform(0.2, 0.6)), 1, "label", clipped=True)
        )
    parts.append(Primitive(ellipse((0, -1.0), (rim, rim * opening)), int(rng.integers(0, 3)), "opening"))
    if opening > 0.12 and rng.random() < 0.6:
        parts.append(
            Primitive(ellipse((0, -0.98), (rim * 0.88, rim * opening * 0.8)), 3, "content", "opening", clipped=True)
        )
    if rng.random() < 0.25:
        parts.append(Primitive(profile(np.array([rim * 0.5, rim * 1.05]), -1.3, -0.95), 2, "lid"))
    return parts


def vehicle(rng: np.random.Generator) -> list[Primitive]:
    """A body on wheels with a cabin and windows."""
    height, wheel = rng.uniform(0.2, 0.45), rng.uniform(0.16, 0.26)
    left, right = rng.uniform(-0.8, -0.3), rng.uniform(0.1, 0.8)
    cabin = box(left, -height - rng.uniform(0.25, 0.5), right, -height + 0.1, taper=rng.uniform(-0.5, 0.05))
    parts = [Primitive(cabin, 0), Primitive(superellipse((0, 0), (1.05, height + 0.05), rng.uniform(3, 9)))]
    windows = int(rng.integers(1, 4))
    centre = cabin.mean(axis=0)
    for index in range(windows):
        pane = (
            (cabin - centre) * (0.8 / windows, 0.62)
            + centre
            + ((index - (windows - 1) / 2) * (right - left) / windows, -0.02)
        )
        parts.append(Primitive(pane, 1, f"window{index}", clipped=True))
    if rng.random() < 0.6:
        parts.append(Primitive(box(-1.1, height * 0.5, 1.1, height), 4, clipped=True))
    for index, x in enumerate(np.sort(rng.uniform(-0.8, 0.8, 2)) if rng.random() < 0.3 else (-0.62, 0.62)):
        parts.append(Primitive(ellipse((x, height), (wheel, wheel)), 2, f"wheel{index}"))
        parts.append(
            Primitive(
                ellipse((x, height), (wheel * 0.55, wheel * 0.55)), 3, f"hub{index}", f"wheel{index}", clipped=True
            )
        )
    parts.append(Primitive(ellipse((1.0, -height * 0.2), (0.09, 0.07)), 5, "lamp", clipped=True))
    return parts


def plant(rng: np.random.Generator) -> list[Primitive]:
    """A tree, bush or flower: a stem with foliage or petals."""
    lean = rng.normal(0, 0.15)
    stem = Primitive(
        limb(np.array([[0, 1.0], [lean, 0.3], [lean, -0.3]]), rng.uniform(0.03, 0.16) * np.array([1.4, 1.0, 0.7])),
        0,
        "stem",
    )
    parts = [stem]
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 5))):
            crown = roughen(rng, blob(rng, 0.2) * rng.uniform(0.4, 0.8), rng.uniform(0.03, 0.12)) + (
                lean + rng.normal(0, 0.3),
                -0.5 + rng.normal(0, 0.2),
            )
            parts.append(Primitive(crown, 1, "crown"))
        return parts
    petals, length = int(rng.integers(4, 13)), rng.uniform(0.3, 0.6)
    for index in range(petals):
        petal = ellipse((length * 0.7, 0), (length * 0.65, length * rng.uniform(0.15, 0.4)))
        parts.append(
            Primitive(rotate(petal, 2 * np.pi * index / petals + rng.normal(0, 0.1)) + (lean, -0.5), 1, "flower")
        )
    parts.append(Primitive(ellipse((lean, -0.5), (length * 0.35, length * 0.3)), 2, "heart", "flower"))
    for side in (-1, 1):
        leaf = rotate(ellipse((0.3, 0), (0.32, 0.1)), -np.pi / 2 + side * rng.uniform(0.5, 1.3))
        parts.append(Primitive(leaf + (lean * 0.7, rng.uniform(0.3, 0.8)), 3, f"leaf{side}"))
    return parts


def solid(rng: np.random.Generator) -> list[Primitive]:
    """A box or a cylinder in perspective: faces of one material in different light are one object."""
    if rng.random() < 0.4:
        radius, depth, height = rng.uniform(0.3, 1.0), rng.uniform(0.1, 0.4), rng.uniform(0.2, 1.2)
        side = np.concatenate([box(-radius, -height, radius, height), ellipse((0, height), (radius, radius * depth))])
        parts = [Primitive(ellipse((0, height), (radius, radius * depth))), Primitive(side[:32])]
        return [*parts, Primitive(ellipse((0, -height), (radius, radius * depth)), 1, "top")]
    corner = np.array([rng.uniform(-0.4, 0.4), rng.uniform(-0.2, 0.3)])
    left, right = (
        np.array([-rng.uniform(0.4, 1.0), -rng.uniform(0.05, 0.5)]),
        np.array([rng.uniform(0.4, 1.0), -rng.uniform(0.05, 0.5)]),
    )
    down = np.array([0.0, rng.uniform(0.3, 1.3)])
    faces = (
        [corner, corner + left, corner + left + down, corner + down],
        [corner, corner + right, corner + right + down, corner + down],
    )
    parts = [Primitive(densify(np.array(face)), index, ("left", "right")[index]) for index, face in enumerate(faces)]
    parts.append(Primitive(densify(np.array([corner, corner + left, corner + left + right, corner + right])), 2, "top"))
    if rng.random() < 0.5:  # a door, screen or print on one face
        face = densify(np.array(faces[1]))
        parts.append(
            Primitive(
                (face - face.mean(axis=0)) * rng.uniform(0.3, 0.8, 2) + face.mean(axis=0),
                3,
                "panel",
                "right",
                clipped=True,
            )
        )
    return parts


def furniture(rng: np.random.Generator) -> list[Primitive]:
    """A table, chair or shelf: boards on legs."""
    width, top = rng.uniform(0.5, 1.0), rng.uniform(-0.4, 0.3)
    leg = rng.uniform(0.03, 0.08)
    parts = [
        Primitive(box(x - leg, top, x + leg, 1.0), 0, f"leg{i}")
        for i, x in enumerate((-width * 0.9, width * 0.9, -width * 0.55, width * 0.55))
    ]
    if rng.random() < 0.5:
        parts.append(Primitive(superellipse((0, top - 0.55), (width * 0.95, 0.5), 6), 1, "back"))
    depth = rng.uniform(0.05, 0.35)
    board = densify(
        np.array([[-width * 0.8, top - depth], [width * 0.8, top - depth], [width, top + 0.05], [-width, top + 0.05]])
    )
    return [
        *parts,
        Primitive(board, 2, "seat"),
        Primitive(box(-width, top + 0.04, width, top + rng.uniform(0.1, 0.3)), 0),
    ]


def building(rng: np.random.Generator) -> list[Primitive]:
    """A front with rows of windows, perhaps a roof and a door."""
    width, top = rng.uniform(0.4, 1.0), rng.uniform(-1.0, -0.2)
    parts = [Primitive(box(-width, top, width, 1.0))]
    if rng.random() < 0.6:
        peak = rng.uniform(0.2, 0.7)
        parts.append(
            Primitive(
                densify(
                    np.array(
                        [
                            [-width * 1.1, top],
                            [width * 1.1, top],
                            [width * rng.uniform(0, 0.9), top - peak],
                            [-width * rng.uniform(0, 0.9), top - peak],
                        ]
                    )
                ),
                1,
                "roof",
            )
        )
    rows, columns = rng.integers(1, 4, 2)
    for row in range(rows):
        for column in range(columns):
            x, y = width * (2 * (column + 0.5) / columns - 1), top + (0.75 - top) * (row + 0.5) / (rows + 0.3)
            pane = superellipse((x, y), (width * 0.55 / columns, (1 - top) * 0.26 / rows), 12)
            parts.append(Primitive(pane, 2, f"window{row}{column}", clipped=True))
    return [*parts, Primitive(box(-0.12, 0.55, 0.12, 1.0), 3, "door", clipped=True)]


def fish(rng: np.random.Generator) -> list[Primitive]:
    """A fish or bird: a spindle with fins or wings and a tail."""
    thickness = rng.uniform(0.2, 0.5)
    tail = densify(np.array([[-0.7, 0.0], [-1.3, -rng.uniform(0.2, 0.6)], [-1.1, 0.0], [-1.3, rng.uniform(0.1, 0.6)]]))
    parts = [Primitive(tail, 1, "tail")]
    for side in (-1, 1):
        fin = np.array(
            [
                [-0.3, side * 0.1],
                [0.35, side * 0.1],
                [rng.uniform(-0.6, 0.2), side * (thickness + rng.uniform(0.1, 0.9))],
            ]
        )
        parts.append(Primitive(densify(fin), 1, f"fin{side}"))
    parts.append(
        Primitive(
            limb(
                np.array([[-0.95, 0], [-0.2, rng.normal(0, 0.08)], [0.5, 0], [0.95, 0.05]]),
                thickness * np.array([0.15, 0.9, 1.0, 0.35]),
            )
        )
    )
    parts.append(Primitive(ellipse((0.65, -0.05), (0.07, 0.07)), 3, "eye", clipped=True))
    return parts


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
