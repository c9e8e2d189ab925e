"""What lies on top of an overlay: prompts, boxes and the names of masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ..prompts.prompt import DrawnPrompts
from .fonts import Font, load_font

FOREGROUND, BACKGROUND = (38, 166, 91), (214, 48, 49)  # of points whose mask is not known: green and red
WHITE, INK = (255, 255, 255), (24, 24, 27)
FINER = 4  # points are drawn this much larger and then reduced, for smooth edges
TAG_LIGHTNESS = 0.45  # of white in a tag's ground, on which ink is legible whatever the mask's colour
TAG_HEIGHT, SMALLEST_TEXT = 1 / 45, 10  # of text: of the picture's shorter side; pixels below which nobody reads
TAGS_SHARE = 0.15  # of the picture, that tags may take together before their text gets smaller
SAMPLES = 64  # rows and columns of the grid on which places for tags are looked at
# What a tag's place costs: per part of it that is on another tag or a prompt, on another mask, on its own.
ON_TAG, ON_MASK, ON_ITS_OWN, LATER_CHOICE = 8.0, 1.5, 1.0, 0.05

Colour = tuple[int, int, int]


def draw_boxes(picture: Image.Image, boxes_xyxy: np.ndarray, colours: np.ndarray, *, dashed: bool = False) -> None:
    """Draw boxes (B, 4) in their colours (B, 3), between dark rims, which show on any photo.

    Args:
        picture: To draw on.
        boxes_xyxy: (B, 4), corners in any order.
        colours: (B, 3).
        dashed: As prompts are, so that the box that was asked with is not taken for that of the mask.
    """
    line = max(2, round(min(picture.size) / 350))
    draw = ImageDraw.Draw(picture)
    for box, colour in zip(np.asarray(boxes_xyxy, float).round().astype(int).tolist(), colours, strict=True):
        x0, x1 = sorted((box[0], box[2]))
        y0, y1 = sorted((box[1], box[3]))
        draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=INK, width=line + 2)
        if not dashed:
            draw.rectangle((x0, y0, x1, y1), outline=_as_tuple(colour), width=line)
            continue
        for start, end in _dashes(x0, x1, line):
            for top in (y0, max(y1 - line + 1, y0)):
                draw.rectangle((start, top, end, min(top + line - 1, y1)), fill=_as_tuple(colour))
        for start, end in _dashes(y0, y1, line):
            for left in (x0, max(x1 - line + 1, x0)):
                draw.rectangle((left, start, min(left + line - 1, x1), end), fill=_as_tuple(colour))


def _dashes(start: int, end: int, line: int) -> list[tuple[int, int]]:
    """Where the dashes of a side begin and end, last pixels included: one in each corner, others evenly between."""
    dash, gap = 5 * line, 3 * line
    length = end + 1 - start
    if length < 2 * dash + gap:
        return [(start, end)]
    count = round((length - dash) / (dash + gap))
    firsts = [start + round(number * (length - dash) / count) for number in range(count + 1)]
    return [(first, first + dash - 1) for first in firsts]


def draw_prompts(picture: Image.Image, prompts: DrawnPrompts, colours: np.ndarray) -> None:
    """Draw boxes, dashed, then points, in the colours (N, 3) of the masks that they belong to."""
    owners = prompts.box_prompts
    own = [colours[owner] if owner >= 0 else np.array(WHITE) for owner in owners.tolist()]
    boxes_xyxy = np.asarray(prompts.boxes_xyxy, dtype=float).reshape(-1, 4)
    draw_boxes(picture, boxes_xyxy, np.array(own).reshape(-1, 3), dashed=True)
    radius = _point_radius(picture)
    points = np.asarray(prompts.points_xy, dtype=float).reshape(-1, 2).tolist()
    labels = np.asarray(prompts.labels).ravel().tolist()
    for (x, y), label, owner in zip(points, labels, prompts.point_prompts.tolist(), strict=True):
        if label not in (0, 1):
            continue
        unowned = FOREGROUND if label else BACKGROUND
        sign = _sign(radius, _as_tuple(colours[owner]) if owner >= 0 else unowned, is_foreground=bool(label))
        picture.paste(sign, (round(x - sign.width / 2), round(y - sign.height / 2)), sign)


def _point_radius(picture: Image.Image) -> int:
    return max(6, round(min(picture.size) / 56))


def _sign(radius: int, colour: Colour, is_foreground: bool) -> Image.Image:
    """A disc (RGBA) in a ring: a white plus on the colour, or a minus of the colour on white."""
    size, r = 2 * FINER * (radius + 1), FINER * radius
    large = Image.new("RGBA", (size, size), (*INK, 0))
    draw = ImageDraw.Draw(large)
    centre = size / 2
    ground, ring = (colour, WHITE) if is_foreground else (WHITE, colour)
    sign = INK if sum(ground) > 3 * 140 else WHITE
    for reach, fill in ((r, INK), (r - FINER, ring), (0.72 * r, ground)):
        draw.ellipse((centre - reach, centre - reach, centre + reach, centre + reach), fill=(*fill, 255))
    arm, half = 0.44 * r, 0.12 * r
    draw.rectangle((centre - arm, centre - half, centre + arm, centre + half), fill=(*sign, 255))
    if is_foreground:
        draw.rectangle((centre - half, centre - arm, centre + half, centre + arm), fill=(*sign, 255))
    return large.resize((size // FINER, size // FINER), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Tag:
    """A text and the size of its box, in pixels."""

    text: str
    font: Font
    margin: int
    width: int
    height: int


def draw_tags(
    picture: Image.Image,
    texts: Sequence[str],
    colours: np.ndarray,
    boxes_xyxy: np.ndarray,
    ranks: np.ndarray,
    topmost: np.ndarray,
    prompts: DrawnPrompts | None = None,
    font: str | os.PathLike[str] | Font | None = None,
) -> None:
    """Write a text beside what is seen of each mask: above it where there is room, and off prompts and other tags.

    Args:
        picture: to write on.
        texts: one per mask; an empty one is not written, nor is that of a mask that is covered.
        colours: (N, 3) of the masks.
        boxes_xyxy: (N, 4) of the masks, last pixels included.
        ranks: (N,) the number of each mask in `topmost`.
        topmost: (H, W) which mask is seen where, 0 for none.
        prompts: that are drawn already.
        font: a font file, or a font of Pillow's.
    """
    taken = [] if prompts is None else _places_of_points(picture, prompts)
    draw = ImageDraw.Draw(picture)
    size = _text_size(draw, picture.size, texts, font)
    # The small first: there are fewer places for them.
    for index in sorted(range(len(texts)), key=lambda index: -int(ranks[index])):
        extent = _seen_extent(topmost, int(ranks[index]), boxes_xyxy[index].tolist()) if texts[index] else None
        if extent is None:
            continue
        tag = _measure(draw, texts[index], load_font(texts[index], size, font))
        x, y = _best_place(tag, extent, taken, topmost, rank=int(ranks[index]))
        taken.append((x, y, x + tag.width, y + tag.height))
        ground = _as_tuple(255 - (255 - colours[index]) * (1 - TAG_LIGHTNESS))
        draw.rounded_rectangle(taken[-1], radius=tag.margin, fill=ground, outline=INK, width=max(1, size // 20))
        left, top, _, _ = draw.textbbox((0, 0), tag.text, font=tag.font)
        draw.text((x + tag.margin * 1.5 - left, y + tag.margin - top), tag.text, font=tag.font, fill=INK)


def _text_size(
    draw: ImageDraw.ImageDraw,
    picture_wh: tuple[int, int],
    texts: Sequence[str],
    font: str | os.PathLike[str] | Font | None,
) -> int:
    """A size in pixels that grows with the picture, and leaves it to be seen where there are many tags."""
    size = max(12, round(min(picture_wh) * TAG_HEIGHT))
    tags = [_measure(draw, text, load_font(text, size, font)) for text in texts if text]
    share = sum(tag.width * tag.height for tag in tags) / (picture_wh[0] * picture_wh[1])
    return size if share <= TAGS_SHARE else max(SMALLEST_TEXT, round(size * (TAGS_SHARE / share) ** 0.5))


def _measure(draw: ImageDraw.ImageDraw, text: str, font: Font) -> _Tag:
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = max(2, round(font.size / 5))
    return _Tag(text, font, margin, round(right - left) + 3 * margin, height=round(bottom - top) + 2 * margin)


_Box = tuple[int, int, int, int]


def _places_of_points(picture: Image.Image, prompts: DrawnPrompts) -> list[_Box]:
    reach = _point_radius(picture)
    centres = np.asarray(prompts.points_xy, dtype=float).reshape(-1, 2).round().astype(int).tolist()
    return [(x - reach, y - reach, x + reach, y + reach) for x, y in centres]


@dataclass(frozen=True)
class _Extent:
    """Where what is seen of a mask begins and ends, as pixels (x, y), and a pixel in its middle."""

    top: tuple[int, int]
    bottom: tuple[int, int]
    left: tuple[int, int]
    right: tuple[int, int]
    middle: tuple[int, int]


def _seen_extent(topmost: np.ndarray, rank: int, box_xyxy: list[int]) -> _Extent | None:
    """The extent of what is seen of a mask, or None where it is covered."""
    x0, y0, x1, y1 = box_xyxy
    step = max(1, max(x1 + 1 - x0, y1 + 1 - y0) // SAMPLES)  # nobody sees the difference
    rows, columns = np.nonzero(topmost[y0 : y1 + 1 : step, x0 : x1 + 1 : step] == rank)
    if len(rows) == 0:
        return None

    def pixel(chosen: np.ndarray) -> tuple[int, int]:
        return x0 + step * int(np.median(columns[chosen])), y0 + step * int(np.median(rows[chosen]))

    return _Extent(
        top=pixel(rows == rows.min()),
        bottom=pixel(rows == rows.max()),
        left=pixel(columns == columns.min()),
        right=pixel(columns == columns.max()),
        middle=pixel(rows >= 0),
    )


def _best_place(tag: _Tag, extent: _Extent, taken: list[_Box], topmost: np.ndarray, rank: int) -> tuple[int, int]:
    """The upper left corner of the place that covers least of what matters; of equal ones the first."""
    height, width = topmost.shape
    gap = max(2, tag.margin // 2)
    half_width, half_height = tag.width // 2, tag.height // 2
    candidates = (
        (extent.top[0] - half_width, extent.top[1] - tag.height - gap),
        (extent.bottom[0] - half_width, extent.bottom[1] + gap),
        (extent.right[0] + gap, extent.right[1] - half_height),
        (extent.left[0] - tag.width - gap, extent.left[1] - half_height),
        (extent.top[0] - half_width, extent.top[1] + gap),
        (extent.bottom[0] - half_width, extent.bottom[1] - tag.height - gap),
        (extent.middle[0] - half_width, extent.middle[1] - half_height),
    )
    inside = [
        (min(max(x, 0), max(width - tag.width - 1, 0)), min(max(y, 0), max(height - tag.height - 1, 0)))
        for x, y in candidates
    ]
    costs = []
    for choice, (x, y) in enumerate(inside):
        box = (x, y, x + tag.width, y + tag.height)
        under = topmost[y : box[3] : max(1, tag.height // 8), x : box[2] : max(1, tag.width // 16)]
        own, others = (under == rank).mean(), ((under != rank) & (under > 0)).mean()
        on_taken = sum(_common_area(box, other) for other in taken) / (tag.width * tag.height)
        costs.append(ON_TAG * on_taken + ON_MASK * others + ON_ITS_OWN * own + LATER_CHOICE * choice)
    return inside[int(np.argmin(costs))]


def _common_area(box: _Box, other: _Box) -> int:
    return max(0, min(box[2], other[2]) - max(box[0], other[0])) * max(0, min(box[3], other[3]) - max(box[1], other[1]))


def _as_tuple(colour: np.ndarray) -> Colour:
    red, green, blue = np.asarray(colour).round().astype(int).tolist()
    return red, green, blue
