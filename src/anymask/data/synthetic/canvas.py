"""The canvas of a training scene: pixels, and for every pixel the number of the object or part that is seen there.

Painting later hides what was painted before, in the pixels and in the numbers alike, so visible masks need no geometry.
A number's parent says what it is a part of; the mask of an object is its own number with all numbers below it.
`painting` puts objects on a canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

MAX_MASKS = 30
MIN_AREA_SHARE = 40 / 256**2  # smaller masks are less than a patch
MIN_PART_AREA_SHARE = 120 / 256**2  # people outline whole objects: an eye of a small figure is no target
MAX_PART_SHARE = 0.9  # a part that is more of its parent than this says nothing new
_SUPERSAMPLING = 2
_SMALL_IMAGE = 64 * 64


class Canvas:
    """Pixels and numbers of one scene; both are Pillow images, whose `paste` is much faster than array arithmetic.

    Attributes:
        image: RGB.
        owners: mode "I", the number of the object or part on top of each pixel; 0 where nothing is.
        parents: parent number of each number; 0 for objects. Entry 0 is a placeholder.
    """

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw
        self.image = Image.new("RGB", size_hw[::-1])
        self.owners = Image.new("I", size_hw[::-1])
        self.parents = [0]

    @property
    def unit(self) -> float:
        """Length in pixels of what is one pixel in a scene of 256 x 256."""
        return float(np.sqrt(self.size_hw[0] * self.size_hw[1])) / 256

    def new_owner(self, parent: int = 0) -> int:
        """Register an object (parent 0) or a part; the number to paint it with."""
        self.parents.append(parent)
        return len(self.parents) - 1

    def paint(self, surface: Image.Image, window: Window, alpha: Image.Image, owner: int | None) -> None:
        """Put a surface into a window through `alpha` (mode "L"); half covered pixels go to `owner`, if given."""
        self.image.paste(surface, window.box, alpha)
        if owner is not None:
            self.owners.paste(owner, window.box, alpha.convert("1", dither=Image.Dither.NONE))

    def darken(self, window: Window, shadow: Image.Image) -> None:
        """Take light away where `shadow` (mode "L", 255 takes all) lies."""
        self.image.paste(0, window.box, shadow)

    def defocus(self, sigma: float) -> None:
        """Blur what has been painted so far; `sigma` in pixels of a scene of 256 x 256."""
        self.image = soften(self.image, sigma * self.unit)

    def visible_masks(self) -> tuple[np.ndarray, np.ndarray]:
        """The masks of everything numbered.

        Dropped: objects under `MIN_AREA_SHARE` of the image, parts under `MIN_PART_AREA_SHARE` or nearly all of what is
        visible of their parent, and the smallest beyond `MAX_MASKS`; parts of what was dropped move up to its parent.

        Returns:
            masks bool (N, H, W), and parent int64 (N,), index of the mask that each is a part of, -1 for objects.
        """
        parents, owners = self.parents, np.asarray(self.owners)  # a parent's number is smaller than its parts'
        areas = np.bincount(owners.ravel(), minlength=len(parents))
        for number in range(len(parents) - 1, 0, -1):
            if parents[number]:
                areas[parents[number]] += areas[number]
        smallest = [owners.size * (MIN_PART_AREA_SHARE if above else MIN_AREA_SHARE) for above in parents]
        kept = [number for number in range(1, len(parents)) if areas[number] >= smallest[number]]
        kept = [n for n in kept if not parents[n] or areas[n] < MAX_PART_SHARE * areas[parents[n]]]
        kept = sorted(sorted(kept, key=lambda number: -areas[number])[:MAX_MASKS])
        index_of = {number: index for index, number in enumerate(kept)}
        member = np.zeros((len(kept), len(parents)), dtype=bool)
        parent = np.full(len(kept), -1, dtype=np.int64)
        for number in range(1, len(parents)):
            above = self._kept_above(number, index_of)
            member[above, number] = True
            if number in index_of and len(above) > 1:
                parent[index_of[number]] = above[1]
        return np.take(member, owners, axis=1), parent

    def _kept_above(self, number: int, index_of: dict[int, int]) -> list[int]:
        """Indices of the kept masks that a number belongs to, its own first, then its parent's, and so on up."""
        above = []
        while number:
            if number in index_of:
                above.append(index_of[number])
            number = self.parents[number]
        return above


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
    def box(self) -> tuple[int, int, int, int]:
        """The rectangle as Pillow names it: left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    def within(self, outer: Window) -> tuple[int, int, int, int]:
        """This rectangle in an image that covers `outer`, as Pillow names it."""
        return self.left - outer.left, self.top - outer.top, self.right - outer.left, self.bottom - outer.top

    def union(self, other: Window) -> Window:
        """The smallest rectangle around both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Window(top, max(self.bottom, other.bottom), left, max(self.right, other.right))


def window_around(points: np.ndarray, size_hw: tuple[int, int], margin: float = 1.0) -> Window | None:
    """The part of a canvas that points (n, 2) in pixels, widened by `margin`, reach; None where they lie outside."""
    (left, top), (right, bottom) = points.min(axis=0) - margin, points.max(axis=0) + (margin + 1)
    left, top, right, bottom = (
        max(int(left), 0),
        max(int(top), 0),
        min(int(right), size_hw[1]),
        min(int(bottom), size_hw[0]),
    )
    return Window(top, bottom, left, right) if right - left >= 2 and bottom - top >= 2 else None


def coverage(outline: np.ndarray, holes: Sequence[np.ndarray], window: Window) -> Image.Image:
    """How much of each pixel of `window` a polygon in pixels covers: mode "L", 0..255."""
    height, width = window.size_hw
    image = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    draw = ImageDraw.Draw(image)
    for polygon, value in ((outline, 255), *((hole, 0) for hole in holes)):
        # Pillow fills every sample that an edge touches: the outline grows by half a sample, evenly on all sides.
        points = (polygon - (window.left, window.top)) * _SUPERSAMPLING
        draw.polygon(points.ravel().tolist(), fill=value)
    return image.reduce(_SUPERSAMPLING)


def soften(image: Image.Image, sigma: float) -> Image.Image:
    """About a Gaussian blur of `sigma` pixels, but faster: two box blurs, of a reduced image where `sigma` is large."""
    size = image.size
    if size[0] * size[1] < _SMALL_IMAGE:  # the calls cost more than the pixels
        return image.filter(ImageFilter.GaussianBlur(float(sigma)))
    factor = min(int(sigma / 1.5), min(size) // 4)
    if factor > 1:
        image, sigma = image.reduce(factor), sigma / factor
    box = ImageFilter.BoxBlur(_box_radius(sigma**2 / 2))
    image = image.filter(box).filter(box)
    return image.resize(size, Image.Resampling.BICUBIC) if factor > 1 else image


def _box_radius(variance: float) -> float:
    """Radius of the Pillow box blur of a given variance: whole pixels, and a fraction of one at each end."""
    whole = int((np.sqrt(1 + 12 * variance) - 1) / 2)
    spread = whole * (whole + 1) * (2 * whole + 1) / 3
    return float(whole + (variance * (2 * whole + 1) - spread) / (2 * ((whole + 1) ** 2 - variance)))


def grey_to_rgb(image: Image.Image) -> Image.Image:
    """Mode "L" to "RGB"."""
    return Image.merge("RGB", (image, image, image))
