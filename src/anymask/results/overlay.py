"""A picture of masks over their photo: distinct colours, crisp outlines, the photo still bright underneath.

Each pixel shows the topmost mask only, and smaller masks lie on top of larger ones, so parts stay visible on their
wholes. Colours are chosen in `colours.py`; prompts, boxes and tags on top are drawn in `overlay_marks.py`. A photo is
worked on in bands of rows, so that besides the picture itself little memory is needed, whatever its size.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops

from ..images.load import as_rgb_uint8, load_image
from ..masks.label_maps import paint_label_map
from ..masks.record import rle_of
from ..masks.rle import as_rle, rle_to_box_xyxy, rle_to_runs
from ..prompts.prompt import DrawnPrompts
from .colours import LUMA, choose_colours, rgb_to_oklab
from .fonts import Font
from .overlay_marks import draw_boxes, draw_prompts, draw_tags

FILL_OPACITY = 0.5
OUTLINE_WHITENESS = 0.35  # an outline is its fill mixed with this much white, to stand out from it
ROWS_AT_A_TIME = 256
SAMPLES = 300  # rows and columns of the grid on which colours of the photo are looked at


def draw_overlay(
    image: Any,
    masks: Sequence[Any] | np.ndarray | torch.Tensor,
    *,
    labels: Sequence[str] | None = None,
    prompts: DrawnPrompts | None = None,
    alpha: float = FILL_OPACITY,
    boxes: bool = False,
    colors: Sequence[Any] | None = None,
    font: str | os.PathLike[str] | Font | None = None,
) -> Image.Image:
    """Draw masks over a photo: a translucent fill and a thin outline, the larger masks below the smaller.

    Pixels outside of every mask, label and prompt keep their exact values. The fill tints but does not darken.

    Args:
        image: The photo, in any form that `load_image` takes; H x W after loading.
        masks: Records of `SamMaskGenerator` (only "segmentation" is read), RLE dicts, compressed or not, or boolean
            masks, each (H, W); a stack (N, H, W) works too.
        labels: A text for each mask, written beside what is seen of it; an empty one is not written.
        prompts: Points and boxes to draw on top, in the colour of the mask whose index `point_prompts` and
            `box_prompts` give: foreground points carry a plus, background points a minus, boxes are dashed.
        alpha: How opaque the fill is, from 0 (outlines only) to 1.
        boxes: Whether the box of each mask is drawn.
        colors: Colours of the masks, in turn: names, "#rrggbb" or (red, green, blue) in 0..255; None in the place of
            one, or of all, stands for a colour chosen against the photo and the other masks.
        font: A TrueType or OpenType file for the labels, or a font of Pillow's.

    Returns:
        An RGB picture of the photo's size.

    Raises:
        OSError: If the font is not to be had.
        ValueError: If a mask has another size than the photo, labels are not one per mask, alpha is not in [0, 1], or
            a colour is none.

    Examples:
        >>> import numpy as np
        >>> from anymask import draw_overlay
        >>> photo, mask = np.zeros((40, 60, 3), dtype=np.uint8), np.eye(40, 60, dtype=bool)
        >>> draw_overlay(photo, [mask]).size
        (60, 40)
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be between 0 and 1, got {alpha!r}.")
    picture = _as_picture(image)
    size_hw = (picture.height, picture.width)
    rles = [_rle(mask, index, size_hw) for index, mask in enumerate(masks)]
    if labels is not None and len(labels) != len(rles):
        raise ValueError(f"`labels` must hold one text per mask, got {len(labels)} for {len(rles)} masks.")
    runs = [rle_to_runs(rle) for rle in rles]
    areas = np.array([int((ends - starts).sum()) for starts, ends in runs])
    boxes_xyxy = np.array([rle_to_box_xyxy(rle) for rle in rles], dtype=np.int64).reshape(-1, 4)
    bottom_to_top = np.argsort(-areas, kind="stable").tolist()
    topmost = paint_label_map(((rank, *runs[index]) for rank, index in enumerate(bottom_to_top, start=1)), size_hw)
    rank_of = np.argsort(bottom_to_top) + 1
    given = None if colors is None else [colors[index % len(colors)] for index in range(len(rles))]
    colours = choose_colours(boxes_xyxy, _photo_lab(picture, topmost, len(rles))[rank_of], given)
    _tint(picture, topmost, colours[bottom_to_top], alpha)
    if boxes:
        draw_boxes(picture, boxes_xyxy[areas > 0] + (0, 0, 1, 1), colours[areas > 0])
    if prompts is not None:
        draw_prompts(picture, prompts, colours)
    if labels is not None:
        draw_tags(picture, labels, colours, boxes_xyxy, ranks=rank_of, topmost=topmost, prompts=prompts, font=font)
    return picture


def paste_side_by_side(pictures: Sequence[Image.Image], gap: int = 8) -> Image.Image:
    """Put pictures of one size beside each other on white, with a gap of so many pixels between."""
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for place, picture in enumerate(pictures):
        row.paste(picture, (place * (width + gap), 0))
    return row


def _as_picture(image: Any) -> Image.Image:
    """A Pillow image of mode RGB that is ours to draw on."""
    loaded = load_image(image)
    if isinstance(loaded, Image.Image):
        return loaded.copy() if loaded is image else loaded
    return Image.fromarray(as_rgb_uint8(loaded))


def _rle(mask: Any, index: int, size_hw: tuple[int, int]) -> dict[str, Any]:
    rle = rle_of(mask) if isinstance(mask, Mapping) and "segmentation" in mask else as_rle(mask)
    if tuple(rle["size"]) != size_hw:
        raise ValueError(
            f"masks must have the size of the photo, height x width = {size_hw[0]} x {size_hw[1]}, but mask {index} is "
            f"{rle['size'][0]} x {rle['size'][1]}; pass the photo that the masks were made from."
        )
    return rle


def _photo_lab(picture: Image.Image, topmost: np.ndarray, count: int) -> np.ndarray:
    """Mean OKLab (count + 1, 3) of the photo under what is seen of each layer, looked at on a grid; 0 where unseen."""
    step = max(1, round(max(topmost.shape) / SAMPLES))
    rows, columns = np.arange(step // 2, topmost.shape[0], step), np.arange(step // 2, topmost.shape[1], step)
    layers = topmost[np.ix_(rows, columns)].ravel()
    # Pillow's map begins from centres of pixels, so that it takes the very pixels of the grid.
    grid = picture.transform((len(columns), len(rows)), Image.Transform.AFFINE, (step, 0, 0, 0, step, 0))
    lab = rgb_to_oklab(np.asarray(grid).reshape(-1, 3))
    pixels = np.maximum(np.bincount(layers, minlength=count + 1), 1)
    return np.stack([np.bincount(layers, lab[:, axis], minlength=count + 1) / pixels for axis in range(3)], axis=1)


def _tint(picture: Image.Image, topmost: np.ndarray, colours: np.ndarray, alpha: float) -> None:
    """Tint masked pixels with the colours (N, 3) of their layers, and draw a lighter line on outlines, in place."""
    fills = np.concatenate([np.zeros((1, 3)), colours]).round().astype(np.uint8)
    lines = np.concatenate([np.zeros((1, 3)), colours + OUTLINE_WHITENESS * (255 - colours)]).round().astype(np.uint8)
    lights = (fills @ LUMA).round().astype(np.uint8)
    # Less and less of it from one half on: an opaque fill has the colour that it was given.
    given_back = alpha * min(1.0, 2 * (1 - alpha))
    dim = [round(given_back * value) for value in range(256)]
    thickness = max(1, round(min(topmost.shape) / 500))
    for top in range(0, len(topmost), ROWS_AT_A_TIME):
        layers = topmost[top : top + ROWS_AT_A_TIME]
        if not layers.any():
            continue
        photo = picture.crop((0, top, picture.width, top + len(layers)))
        tinted = Image.blend(photo, Image.fromarray(np.take(fills, layers, axis=0)), alpha)
        # A mixture is darker than the photo by alpha times the difference: that much light is given back.
        lost = ImageChops.subtract(photo.convert("L"), Image.fromarray(np.take(lights, layers))).point(dim)
        tinted = ImageChops.add(tinted, Image.merge("RGB", (lost, lost, lost)))
        picture.paste(tinted, (0, top), _as_mask(layers > 0))
        first = max(top - thickness, 0)
        around = topmost[first : top + len(layers) + thickness]
        on_line = _outline(around, thickness)[top - first : top - first + len(layers)]
        picture.paste(Image.fromarray(np.take(lines, layers, axis=0)), (0, top), _as_mask(on_line))


def _as_mask(is_set: np.ndarray) -> Image.Image:
    return Image.fromarray(is_set.view(np.uint8) * np.uint8(255))


def _outline(topmost: np.ndarray, thickness: int) -> np.ndarray:
    """Pixels within `thickness` of a layer below: where two masks meet, the upper one carries the line, once."""
    lowest = topmost
    for step in range(thickness):
        # Two steps of five go to corners too, which makes nearly a disc: lines are as thick in every direction.
        lowest = _least_of_neighbours(lowest, corners=step % 5 in (1, 3))
    return lowest < topmost


def _least_of_neighbours(layers: np.ndarray, corners: bool) -> np.ndarray:
    """The lowest of each pixel and its neighbours; beyond the frame of the photo there are none."""
    least = layers.copy()
    np.minimum(least[1:], layers[:-1], out=least[1:])
    np.minimum(least[:-1], layers[1:], out=least[:-1])
    source = least.copy() if corners else layers
    np.minimum(least[:, 1:], source[:, :-1], out=least[:, 1:])
    np.minimum(least[:, :-1], source[:, 1:], out=least[:, :-1])
    return least
