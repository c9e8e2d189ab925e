"""Outlines for the training scenes: closed polygons, float64 (n, 2), x right, y down, in a unit frame of about -1..1.

Outlines are dense (tens of vertices), so that `Bend` and `roughen` can turn a plain ellipse or rectangle into
something grown or worn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 48, endpoint=False)), np.sin(np.linspace(0, 2 * np.pi, 48, endpoint=False))],
    axis=1,
)


def ellipse(
    centre_xy: Sequence[float] | np.ndarray = (0.0, 0.0), radii_xy: tuple[float, float] = (1.0, 1.0), angle: float = 0.0
) -> np.ndarray:
    """An ellipse turned by `angle` radians."""
    outline = _CIRCLE * radii_xy
    return (rotate(outline, angle) if angle else outline) + centre_xy


def superellipse(
    centre_xy: Sequence[float], radii_xy: tuple[float, float], exponent: float, angle: float = 0.0
) -> np.ndarray:
    """|x / a|^exponent + |y / b|^exponent = 1: an ellipse at 2, a rounded rectangle above, a diamond near 1."""
    outline = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** (2 / exponent) * radii_xy
    return rotate(outline, angle) + centre_xy


def rotate(outline: np.ndarray, angle: float) -> np.ndarray:
    """Turn about the origin by `angle` radians, clockwise on the screen (y is down)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return outline @ np.array([[cos, sin], [-sin, cos]])


def shift(points: np.ndarray, x: float, y: float) -> np.ndarray:
    """Move one point (2,) or many (n, 2)."""
    return points + np.array((x, y))


def densify(corners: np.ndarray, per_side: int = 8) -> np.ndarray:
    """Insert vertices along the straight sides of a polygon (n, 2)."""
    following = np.roll(corners, -1, axis=0)
    t = np.arange(per_side)[None, :, None] / per_side
    return (corners[:, None] * (1 - t) + following[:, None] * t).reshape(-1, 2)


def box(left: float, top: float, right: float, bottom: float, taper: float = 0.0) -> np.ndarray:
    """A rectangle; `taper` moves the bottom corners inwards by that share of the half width (outwards if negative)."""
    inset = taper * (right - left) / 2
    return densify(np.array([[left, top], [right, top], [right - inset, bottom], [left + inset, bottom]]))


def blob(rng: np.random.Generator, irregularity: float = 0.25) -> np.ndarray:
    """A smooth random closed curve: a circle with Fourier modes of falling amplitude on its radius."""
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    modes = np.arange(1, 8)
    amplitudes = irregularity * rng.normal(0, 1, 7) / modes**1.2
    radius = 1 + (amplitudes[:, None] * np.sin(modes[:, None] * t + rng.uniform(0, 2 * np.pi, (7, 1)))).sum(axis=0)
    radius = np.maximum(radius, 0.15)
    outline = np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1)
    return rotate(outline * (1.0, rng.uniform(0.35, 1.0)), rng.uniform(0, np.pi))


def random_polygon(rng: np.random.Generator) -> np.ndarray:
    """A polygon of 3 to 8 corners around the origin, convex or not."""
    corners = int(rng.integers(3, 9))
    angles = (np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) * (2 * np.pi / corners)
    radius = rng.uniform(0.55, 1.0, corners)
    return densify(np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1))


def star(rng: np.random.Generator) -> np.ndarray:
    """Petals or spikes around a centre."""
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    radius = 1 - rng.uniform(0.2, 0.6) * np.abs(np.sin(t * int(rng.integers(3, 9)) / 2)) ** rng.uniform(0.5, 2)
    return np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1)


def limb(points_xy: np.ndarray, half_widths: np.ndarray | float, round_end: bool = True) -> np.ndarray:
    """A strip along a smooth curve through `points_xy` (k, 2); half widths are given at the points."""
    points = np.asarray(points_xy, dtype=np.float64)
    widths = np.broadcast_to(np.asarray(half_widths, dtype=np.float64), (len(points),))
    knots = np.arange(len(points))
    t = np.linspace(0, len(points) - 1, 10 * (len(points) - 1) + 1)
    centre = _smooth(t, points)
    width = np.interp(t, knots, widths)
    along = np.empty_like(centre)
    along[1:-1], along[0], along[-1] = centre[2:] - centre[:-2], centre[1] - centre[0], centre[-1] - centre[-2]
    along /= np.sqrt((along**2).sum(axis=1, keepdims=True)) + 1e-9
    normal = along[:, ::-1] * (-1, 1) * width[:, None]
    tip = centre[-1:] + along[-1:] * width[-1] * 0.8 if round_end else centre[-1:]
    return np.concatenate([centre + normal, tip, (centre - normal)[::-1]])


def _smooth(t: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Catmull-Rom interpolation at `t` of values (k,) or (k, 2) that stand at 0, 1, ... k - 1."""
    padded = np.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    index = np.minimum(t.astype(int), len(values) - 2)
    u = (t - index).reshape(-1, *(1,) * (values.ndim - 1))
    before, start, end, after = padded[index], padded[index + 1], padded[index + 2], padded[index + 3]
    bend, twist = 2 * before - 5 * start + 4 * end - after, 3 * (start - end) + after - before
    return start + 0.5 * u * (end - before + u * (bend + u * twist))


def profile(half_widths: np.ndarray, top: float = -1.0, bottom: float = 1.0) -> np.ndarray:
    """A left-right symmetric outline with the given half widths from top to bottom: bottles, vases, lamps."""
    t = np.linspace(0, len(half_widths) - 1, 24)
    widths = np.maximum(_smooth(t, np.asarray(half_widths, dtype=np.float64)), 0.02)
    y = top + (bottom - top) * t / (len(half_widths) - 1)
    right = np.stack([widths, y], axis=1)
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def roughen(rng: np.random.Generator, outline: np.ndarray, amount: float) -> np.ndarray:
    """Move vertices along the radius by 1/f noise: fur, foliage, torn edges. `amount` is its share of the radius."""
    dense = densify(outline, 3)
    spectrum = np.fft.rfftfreq(len(dense), 1 / len(dense))
    spectrum[0] = np.inf
    noise = np.fft.irfft(spectrum**-0.8 * np.exp(1j * rng.uniform(0, 2 * np.pi, len(spectrum))), n=len(dense))
    centre = dense.mean(axis=0)
    return centre + (dense - centre) * (1 + amount * noise / (noise.std() + 1e-9))[:, None]


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


class Bend:
    """A smooth random deformation of the unit frame, the same for all outlines of one object.

    Args:
        strength: standard deviation of the displacement, in units of the frame.
    """

    def __init__(self, rng: np.random.Generator, strength: float) -> None:
        self.frequencies = rng.normal(0, 1.6, (3, 2))
        self.phases = rng.uniform(0, 2 * np.pi, 3)
        self.displacements = rng.normal(0, strength / 1.2, (3, 2))

    def __call__(self, outline: np.ndarray) -> np.ndarray:
        """The deformed outline."""
        return outline + np.sin(outline @ self.frequencies.T + self.phases) @ self.displacements


def noise_line(rng: np.random.Generator, length: int) -> np.ndarray:
    """A 1/f random walk-like line of `length` values with standard deviation 1: horizons and ridges."""
    frequency = np.fft.rfftfreq(length, 1 / length)
    frequency[0] = np.inf
    line = np.fft.irfft(
        frequency ** -rng.uniform(1.0, 2.0) * np.exp(1j * rng.uniform(0, 2 * np.pi, len(frequency))), n=length
    )
    return line / (line.std() + 1e-9)
