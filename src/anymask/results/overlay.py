"""A picture of masks over their photo: distinct colours, crisp outlines, the photo still bright underneath.

Each pixel shows the topmost mask only, and smaller masks lie on top of larger ones, so parts stay visible on their
wholes. Colours follow from the order of the masks alone and are the same on every run. Prompts and labels on top are
drawn in `overlay_marks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..images.load import as_rgb_uint8
from ..masks.label_maps import paint_label_map
from ..masks.rle import mask_to_rle, rle_to_runs
from ..prompts.prompt import DrawnPrompts
from .overlay_marks import draw_prompts, draw_tag

FILL_OPACITY = 0.5
OUTLINE_WHITENESS = 0.35  # an outline is its fill mixed with this much white, to stand out from it
ROWS_AT_A_TIME = 256  # bounds the float copies of a photo, whatever its size

# Hues at equal steps of OKLCH, where equal steps look equal; two shades of each. See `palette`.
HUE_COUNT = 12
SHADES = ((0.78, 0.17), (0.66, 0.21))  # (lightness, chroma)
CLEARLY_DIFFERENT = 0.16  # distance in OKLab at which two colours side by side are told apart at a glance

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def draw_overlay(
    image: Any,
    masks: Sequence[Any] | np.ndarray | torch.Tensor,
    *,
    labels: Sequence[str] | None = None,
    prompts: DrawnPrompts | None = None,
) -> Image.Image:
    """Draws masks over a photo: a translucent fill and a thin outline, the larger masks below the smaller.

    Pixels outside of every mask, label and prompt keep their exact values. The fill tints but does not darken.

    Args:
        image: The photo, in any form that `load_image` takes; H x W after loading.
        masks: Records of `SamMaskGenerator` (only "segmentation" is read), RLE dicts, compressed or not, or boolean
            masks, each (H, W); a stack (N, H, W) works too. The order decides the colours.
        labels: A text for each mask, written where its visible part is widest; an empty one is not written.
        prompts: Points and boxes to draw on top: foreground points carry a plus, background points a minus.

    Returns:
        An RGB picture of the photo's size.

    Raises:
        ValueError: If a mask has another size than the photo, or labels are not one per mask.
    """
    pixels = as_rgb_uint8(image)
    layers = [_runs(mask, index, pixels.shape[:2]) for index, mask in enumerate(masks)]
    if labels is not None and len(labels) != len(layers):
        raise ValueError(f"`labels` must hold one text per mask, got {len(labels)} for {len(layers)} masks.")
    colours = _colours([layer.box_xyxy for layer in layers])
    order = sorted(range(len(layers)), key=lambda index: -layers[index].area)
    topmost = paint_label_map(
        ((position, layers[index].starts, layers[index].ends) for position, index in enumerate(order, start=1)),
        pixels.shape[:2],
    )
    fills = np.concatenate([np.zeros((1, 3), np.float32), colours[order]])
    picture = Image.fromarray(_blend(pixels, topmost, fills))
    if prompts is not None:
        draw_prompts(picture, prompts)
    if labels is not None:
        for position, index in enumerate(order, start=1):
            place = _widest_place(topmost, position, layers[index].box_xyxy)
            if labels[index] and place is not None:
                draw_tag(picture, labels[index], place, colours[index])
    return picture


class _Runs:
    """Foreground runs of one mask in column-major pixels, with its area and box."""

    def __init__(self, starts: np.ndarray, ends: np.ndarray, height: int):
        self.starts, self.ends = starts, ends
        self.area = int((ends - starts).sum())
        if not self.area:
            self.box_xyxy = (0, 0, 0, 0)
            return
        one_column = starts // height == (ends - 1) // height
        top = int((starts[one_column] % height).min()) if one_column.all() else 0
        bottom = int(((ends - 1) % height)[one_column].max()) + 1 if one_column.all() else height
        self.box_xyxy = (int(starts[0]) // height, top, (int(ends[-1]) - 1) // height + 1, bottom)


def _runs(mask: Any, index: int, size_hw: tuple[int, ...]) -> _Runs:
    if isinstance(mask, Mapping) and "segmentation" in mask:
        mask = mask["segmentation"]
    rle = mask if isinstance(mask, Mapping) else mask_to_rle(mask)
    if tuple(rle["size"]) != tuple(size_hw):
        raise ValueError(
            f"masks must have the size of the photo, height x width = {size_hw[0]} x {size_hw[1]}, but mask {index} is "
            f"{rle['size'][0]} x {rle['size'][1]}; pass the photo that the masks were made from."
        )
    return _Runs(*rle_to_runs(dict(rle)), size_hw[0])


def _widest_place(topmost: np.ndarray, position: int, box_xyxy: tuple[int, int, int, int]) -> tuple[int, int] | None:
    """A pixel (x, y) far from the edges of what is seen of a mask, or None where it is covered."""
    x0, y0, x1, y1 = box_xyxy
    step = max(1, max(x1 - x0, y1 - y0) // 64)  # on a coarse grid: nobody sees the difference
    visible = topmost[y0:y1:step, x0:x1:step] == position
    core = visible
    while visible.any():
        core = visible
        padded = np.pad(core, 1)
        visible = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rows, columns = np.nonzero(core)
    if len(rows) == 0:
        return None
    middle = len(rows) // 2
    return x0 + step * int(columns[middle]), y0 + step * int(rows[middle])


def _blend(pixels: np.ndarray, topmost: np.ndarray, fills: np.ndarray) -> np.ndarray:
    """The photo with each masked pixel tinted by its fill, and a lighter line on the outline."""
    outline = _outline(topmost, thickness=max(1, round(min(topmost.shape) / 500)))
    picture = pixels.copy()
    for top in range(0, len(pixels), ROWS_AT_A_TIME):
        rows = slice(top, top + ROWS_AT_A_TIME)
        masked = topmost[rows] > 0
        photo = pixels[rows][masked].astype(np.float32)
        fill = fills[topmost[rows][masked]]
        tinted = photo + FILL_OPACITY * (fill - photo)
        lost_light = np.maximum(photo @ LUMA - tinted @ LUMA, 0)
        tinted += lost_light[:, None]
        on_line = outline[rows][masked]
        tinted[on_line] = fill[on_line] + OUTLINE_WHITENESS * (255 - fill[on_line])
        picture[rows][masked] = np.clip(tinted + 0.5, 0, 255).astype(np.uint8)
    return picture


def _outline(topmost: np.ndarray, thickness: int) -> np.ndarray:
    """Pixels within `thickness` of a layer below: where two masks meet, the upper one carries the line, once."""
    lowest = topmost
    for _ in range(thickness):
        padded = np.pad(lowest, 1, mode="edge")  # the frame of the photo is no outline
        vertical = np.minimum(padded[:-2, 1:-1], padded[2:, 1:-1])
        horizontal = np.minimum(padded[1:-1, :-2], padded[1:-1, 2:])
        lowest = np.minimum(lowest, np.minimum(vertical, horizontal))
    return lowest < topmost


def _colours(boxes_xyxy: Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    """One colour per mask, (N, 3) float32 in 0..255, clearly different from those of earlier masks that it touches.

    Each mask looks for its colour from its own place in the palette on, so that without conflicts the sequence is
    simply the palette's.
    """
    palette_lab, palette_rgb = palette()
    boxes = np.asarray(boxes_xyxy, dtype=np.int64).reshape(-1, 4)
    chosen = np.zeros(len(boxes), dtype=np.int64)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        before = boxes[:index]
        touching = (before[:, 0] <= x1) & (before[:, 2] >= x0) & (before[:, 1] <= y1) & (before[:, 3] >= y0)
        candidates = np.roll(np.arange(len(palette_lab)), -index)
        if touching.any():
            difference = palette_lab[candidates, None] - palette_lab[chosen[:index][touching]][None]
            nearest = np.linalg.norm(difference, axis=-1).min(axis=1)
            candidates = candidates[[int(np.argmax(np.minimum(nearest, CLEARLY_DIFFERENT)))]]
        chosen[index] = candidates[0]
    return palette_rgb[chosen]


def palette() -> tuple[np.ndarray, np.ndarray]:
    """Colours as OKLab (24, 3) and as sRGB (24, 3) in 0..255, in an order in which successors lie far apart in hue.

    Source: Björn Ottosson, "A perceptual color space for image processing" (2020), for the matrices.
    """
    # 5 steps of 12 visit every hue, and each step is five twelfths of the circle.
    hues = np.arange(HUE_COUNT) * 5 % HUE_COUNT * (2 * np.pi / HUE_COUNT)
    lab = np.array([[light, chroma * np.cos(h), chroma * np.sin(h)] for light, chroma in SHADES for h in hues])
    to_cone_roots = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip((lab @ to_cone_roots.T) ** 3 @ to_linear_rgb.T, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return lab, (255 * rgb).astype(np.float32)
