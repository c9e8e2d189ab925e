"""What lies on top of an overlay: prompts and the names of masks."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..prompts.prompt import DrawnPrompts

FOREGROUND, BACKGROUND = (38, 166, 91), (214, 48, 49)  # green and red, told apart by their sign as well
WHITE, INK = (255, 255, 255), (24, 24, 27)
FINER = 4  # points are drawn this much larger and then reduced, for smooth edges


def draw_prompts(picture: Image.Image, prompts: DrawnPrompts) -> None:
    """Draws boxes, then points, on a picture."""
    line = max(2, round(min(picture.size) / 250))
    draw = ImageDraw.Draw(picture)
    for box in np.asarray(prompts.boxes_xyxy, dtype=float).reshape(-1, 4).round().astype(int).tolist():
        x0, x1 = sorted((box[0], box[2]))
        y0, y1 = sorted((box[1], box[3]))
        # A dark rim on both sides of a white line shows on any photo.
        draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=INK, width=line + 2)
        draw.rectangle((x0, y0, x1, y1), outline=WHITE, width=line)
    radius = max(5, round(min(picture.size) / 48))
    signs = {1: _sign(radius, FOREGROUND, plus=True), 0: _sign(radius, BACKGROUND, plus=False)}
    points = np.asarray(prompts.points_xy, dtype=float).reshape(-1, 2)
    for (x, y), label in zip(points.tolist(), np.asarray(prompts.labels).ravel().tolist(), strict=True):
        if label in signs:
            sign = signs[label]
            picture.paste(sign, (round(x - sign.width / 2), round(y - sign.height / 2)), sign)


def _sign(radius: int, colour: tuple[int, int, int], plus: bool) -> Image.Image:
    """A disc (RGBA) with a white ring around it and a white plus or minus in it."""
    size, r = 2 * FINER * (radius + 1), FINER * radius
    large = Image.new("RGBA", (size, size), (*INK, 0))
    draw = ImageDraw.Draw(large)
    centre = size / 2
    for reach, fill in ((r, INK), (r - FINER, WHITE), (0.72 * r, colour)):
        draw.ellipse((centre - reach, centre - reach, centre + reach, centre + reach), fill=(*fill, 255))
    arm, half = 0.42 * r, 0.11 * r
    draw.rectangle((centre - arm, centre - half, centre + arm, centre + half), fill=(*WHITE, 255))
    if plus:
        draw.rectangle((centre - half, centre - arm, centre + half, centre + arm), fill=(*WHITE, 255))
    return large.resize((size // FINER, size // FINER), Image.Resampling.LANCZOS)


def draw_tag(picture: Image.Image, text: str, centre_xy: tuple[int, int], colour: np.ndarray) -> None:
    """Writes a text in a small box of a mask's colour, kept inside of the picture."""
    font = ImageFont.load_default(size=max(11, round(min(picture.size) / 60)))
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = max(2, round((bottom - top) / 4))
    width, height = round(right - left) + 2 * margin, round(bottom - top) + 2 * margin
    x = int(np.clip(centre_xy[0] - width // 2, 0, max(0, picture.width - width - 1)))
    y = int(np.clip(centre_xy[1] - height // 2, 0, max(0, picture.height - height - 1)))
    light = tuple(int(value) for value in 255 - (255 - colour) * 0.55)
    draw.rounded_rectangle((x, y, x + width, y + height), radius=margin, fill=light, outline=INK)
    draw.text((x + margin - left, y + margin - top), text, font=font, fill=INK)
