"""Recipes of made things for the training scenes: plain shapes, tools, vessels, vehicles, furniture, buildings."""

from __future__ import annotations

import numpy as np

from .primitives import Primitive
from .shapes import box, densify, ellipse, limb, profile, rotate, simple_outline, superellipse


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
