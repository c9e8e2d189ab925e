"""Recipes of grown things for the training scenes: animals, people, plants. Each gives the primitives of one object."""

from __future__ import annotations

import numpy as np

from .primitives import Primitive
from .shapes import blob, box, densify, ellipse, limb, rotate, roughen, shift, simple_outline, superellipse


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
    skull = ellipse(head, (size, size * rng.uniform(0.7, 1.0)), rng.normal(0, 0.3))
    parts += [
        Primitive(skull, 0, "head"),
        Primitive(ellipse(shift(head, size * 0.8, size * 0.3), (size * 0.6, size * 0.4)), 3, "head"),
    ]
    parts.append(
        Primitive(
            ellipse(shift(head, size * 0.2, -size * 0.2), (size * 0.15, size * 0.15)), 4, "eye", "head", clipped=True
        )
    )
    return parts


def person(rng: np.random.Generator) -> list[Primitive]:
    """A standing figure with clothes: skin, hair, shirt, trousers and shoes are materials 0 to 4."""
    hip, lean = rng.uniform(0.0, 0.15), rng.normal(0, 0.1)
    parts = []
    for side in (-1, 1):
        foot = np.array([side * rng.uniform(0.1, 0.35), rng.uniform(0.85, 1.05)])
        parts.append(Primitive(ellipse(shift(foot, 0.05, 0.0), (0.12, 0.06)), 4, f"shoe{side}"))
        path = np.array([[side * 0.1, hip], [side * rng.uniform(0.08, 0.25), (hip + foot[1]) / 2], foot])
        parts.append(Primitive(limb(path, np.array([0.14, 0.11, 0.08])), 3, "trousers"))
    shoulder = np.array([lean, -0.52])
    torso = np.array([[-0.26, -0.5], [-0.1, -0.6], [0.1, -0.6], [0.26, -0.5], [0.2, hip + 0.05], [-0.2, hip + 0.05]])
    torso = shift(torso, lean, 0)
    hands, arms = [], []
    for side in (-1, 1):
        elbow = shift(shoulder, side * rng.uniform(0.25, 0.45), rng.uniform(0.1, 0.35))
        hand = shift(elbow, rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.35))
        hands.append(Primitive(ellipse(hand, (0.07, 0.07)), 0, f"hand{side}"))
        arms.append(
            Primitive(
                limb(np.stack([shift(shoulder, side * 0.2, 0), elbow, hand]), np.array([0.09, 0.08, 0.06])), 2, "shirt"
            )
        )
    front = int(rng.integers(0, 3))
    parts += hands[:front] + arms[:front] + [Primitive(densify(torso, 5), 2, "shirt")] + hands[front:] + arms[front:]
    if rng.random() < 0.4:
        parts.append(Primitive(shift(simple_outline(rng) * 0.1 + shoulder, 0, 0.25), 5, clipped=True))
    head = shift(shoulder, rng.normal(0, 0.03), -0.27)
    parts.append(Primitive(limb(np.stack([shoulder, head]), 0.07), 0))
    parts.append(Primitive(ellipse(shift(head, 0, -0.05), (0.16, 0.19)), 1, "head"))
    parts.append(Primitive(ellipse(shift(head, rng.normal(0, 0.04), 0.02), (0.125, 0.165)), 0, "face", "head"))
    for side in (-1, 1):
        parts.append(Primitive(ellipse(shift(head, side * 0.05, 0.0), (0.022, 0.014)), 6, clipped=True))
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
            crown = roughen(rng, blob(rng, 0.2) * rng.uniform(0.4, 0.8), rng.uniform(0.03, 0.12))
            crown = shift(crown, lean + rng.normal(0, 0.3), -0.5 + rng.normal(0, 0.2))
            parts.append(Primitive(crown, 1, "crown"))
        return parts
    petals, length = int(rng.integers(4, 13)), rng.uniform(0.3, 0.6)
    for index in range(petals):
        petal = ellipse((length * 0.7, 0), (length * 0.65, length * rng.uniform(0.15, 0.4)))
        parts.append(
            Primitive(shift(rotate(petal, 2 * np.pi * index / petals + rng.normal(0, 0.1)), lean, -0.5), 1, "flower")
        )
    parts.append(Primitive(ellipse((lean, -0.5), (length * 0.35, length * 0.3)), 2, "heart", "flower"))
    for side in (-1, 1):
        leaf = rotate(ellipse((0.3, 0), (0.32, 0.1)), -np.pi / 2 + side * rng.uniform(0.5, 1.3))
        parts.append(Primitive(shift(leaf, lean * 0.7, rng.uniform(0.3, 0.8)), 3, f"leaf{side}"))
    return parts
