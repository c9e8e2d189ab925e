"""The short forms in which `SAM.predict` takes prompts, read into one `Prompt` per object.

`SamProcessor` takes prompts of many images, nested in full. Here there is one image, and what may be left out follows
from that:

| argument | form                      | meaning                                                     |
|----------|---------------------------|-------------------------------------------------------------|
| `points` | `[x, y]`                  | one object with one point                                   |
|          | `(N, 2)`                  | N objects with one point each                               |
|          | `(N, K, 2)`, or a list of | N objects with several points each                          |
|          | N lists of points         |                                                             |
| `labels` | like `points` without xy  | 1 foreground, 0 background; all 1 if left out               |
| `boxes`  | `[x0, y0, x1, y1]`        | one object                                                  |
|          | `(N, 4)`                  | N objects                                                   |
| `masks`  | `(H, W)`                  | one object                                                  |
|          | `(N, H, W)`, or a list of | N objects; a mask is binary and as large as the image, or   |
|          | N masks                   | an RLE of one, or the low-resolution logits of a prediction |

Given together they are prompts of the same N objects. In lists, None stands for what an object does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..geometry.coordinates import LABEL_BACKGROUND, LABEL_FOREGROUND
from ..masks.rle import rle_to_mask
from .nested import depths_of, shape_of, to_lists
from .tensors import OVERSHOOT

_POINT_FORMS = "[x, y], (N, 2) for N objects with one point each, or (N, K, 2) for N objects with K points each"
_BOX_FORMS = "[x0, y0, x1, y1] or (N, 4)"
_MASK_FORMS = "(H, W), (N, H, W) or a list of N masks"
_NEST_ONCE_MORE = "Points (N, 2) are of N objects: nest K points of one object once more, as (1, K, 2)."

Points = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DrawnPrompts:
    """Prompts to be drawn over a photo, in its pixels, x right and y down.

    Attributes:
        points_xy: (P, 2) float.
        labels: (P,) int: 1 foreground, 0 background; other points are not drawn.
        boxes_xyxy: (B, 4) float.
    """

    points_xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    boxes_xyxy: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))


@dataclass(frozen=True, eq=False)  # masks are arrays, which have no single truth value
class Prompt:
    """The prompts of one object, in pixels of the original image, x right and y down.

    Attributes:
        points_xy: x and y of each point.
        labels: one per point, 1 foreground, 0 background.
        box_xyxy: left, top, right, bottom, or None.
        mask: (H, W), binary of the image's size or logits of the model's, an array or a tensor; or None.
    """

    points_xy: Points = ()
    labels: tuple[int, ...] = ()
    box_xyxy: Box | None = None
    mask: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said about the object."""
        return not self.points_xy and self.box_xyxy is None and self.mask is None


def read_prompts(points: Any = None, labels: Any = None, boxes: Any = None, masks: Any = None) -> list[Prompt] | None:
    """One prompt per object, in order, or None where no argument is given.

    No objects, such as boxes of shape (0, 4), are an empty list.

    Raises:
        ValueError: an argument is nested otherwise than the table above says, or arguments are of different objects.
    """
    if labels is not None and points is None:
        raise ValueError("`labels` must come with `points`, one label per point; got labels alone.")
    given = {"points": points, "boxes": boxes, "masks": masks}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    read: dict[str, list[Any]] = {
        "points": [] if points is None else _read_points(points, labels),
        "boxes": [] if boxes is None else _read_boxes(boxes),
        "masks": [] if masks is None else _read_masks(masks),
    }
    counts = {len(read[name]) for name in given}
    if len(counts) > 1:
        shapes = ", ".join(f"`{name}` of shape {shape_of(value)}" for name, value in given.items())
        raise ValueError(
            f"`points`, `boxes` and `masks` must be prompts of the same objects, one of each for each object, got "
            f"{shapes}. {_NEST_ONCE_MORE}"
        )
    prompts = []
    for index in range(counts.pop()):
        points_xy, point_labels = read["points"][index] if points is not None else ((), ())
        box = read["boxes"][index] if boxes is not None else None
        mask = read["masks"][index] if masks is not None else None
        prompt = Prompt(points_xy, point_labels, box, mask)
        if prompt.is_empty:
            raise ValueError(f"Every object must have points, a box or a mask; object {index} has none of them.")
        prompts.append(prompt)
    is_background = [
        prompt.labels == (LABEL_BACKGROUND,) and prompt.box_xyxy is prompt.mask is None for prompt in prompts
    ]
    if any(is_background) and len(prompts) > 1 and depths_of(to_lists("points", points)) == {2}:
        raise ValueError(
            f"An object must have a foreground point, a box or a mask, but object {is_background.index(True)} has a "
            f"background point alone. {_NEST_ONCE_MORE}"
        )
    return prompts


def check_inside(prompt: Prompt, size_hw: Sequence[int], where: str = "") -> None:
    """Raises ValueError for a point or a box that leaves its image by more than a pixel; less is clipped later.

    Args:
        prompt: of one object.
        size_hw: height and width of the image.
        where: which object it is, for the message, e.g. " of object 3".
    """
    height, width = size_hw
    corners = () if prompt.box_xyxy is None else (prompt.box_xyxy[:2], prompt.box_xyxy[2:])
    for what, places in (("Points", prompt.points_xy), ("The box", corners)):
        # Written so that NaN, which compares false with everything, is outside.
        outside = [
            (x, y)
            for x, y in places
            if not (-OVERSHOOT <= x <= width + OVERSHOOT and -OVERSHOOT <= y <= height + OVERSHOOT)
        ]
        if outside:
            raise ValueError(
                f"{what}{where} must lie in the image, x in [0, {width}] and y in [0, {height}] pixels, got "
                f"{', '.join(f'({x:g}, {y:g})' for x, y in outside)}. x comes first; clip overshoots of more "
                f"than {OVERSHOOT:g} pixel."
            )
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = prompt.box_xyxy
        if x0 >= x1 or y0 >= y1:
            raise ValueError(
                f"The box{where} must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got "
                f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}]. A box given as x, y, width, height needs x1 = x + width."
            )


def drawn_prompts(prompts: Sequence[Prompt]) -> DrawnPrompts:
    """Points and boxes of all objects, to be drawn over the image."""
    return DrawnPrompts(
        points_xy=np.array([point for prompt in prompts for point in prompt.points_xy], dtype=float).reshape(-1, 2),
        labels=np.array([label for prompt in prompts for label in prompt.labels], dtype=np.int64),
        boxes_xyxy=np.array([prompt.box_xyxy for prompt in prompts if prompt.box_xyxy is not None]).reshape(-1, 4),
    )


def _read_points(points: Any, labels: Any) -> list[tuple[Points, tuple[int, ...]]]:
    nested = to_lists("points", points)
    depth = _depth("points", nested, points, levels=(1, 2, 3), forms=_POINT_FORMS)
    nested_labels = to_lists("labels", labels)
    if depth == 1 and isinstance(nested_labels, list) and len(nested_labels) == 1:
        nested_labels = nested_labels[0]  # one point, and its label in a list
    objects = _per_object(nested, depth)
    # Labels lie one level above the coordinates; None stands for those of an object, or of all.
    fits = labels is None or (
        depths_of(nested_labels) <= {depth - 1} and isinstance(nested_labels, list) == (depth > 1)
    )
    labels_of = _per_object(nested_labels, depth) if labels is not None and fits else [None] * len(objects)
    fits = fits and len(labels_of) == len(objects)
    read = []
    for object_points, object_labels in zip(objects, labels_of, strict=False):
        points_xy = tuple(_numbers("points", point, 2, points, _POINT_FORMS) for point in object_points or ())
        if object_labels is None:
            object_labels = [LABEL_FOREGROUND] * len(points_xy)
        if any(label not in (LABEL_BACKGROUND, LABEL_FOREGROUND) for label in object_labels):
            raise ValueError(f"`labels` must be 1 (foreground) or 0 (background), got {object_labels}.")
        fits = fits and len(object_labels) == len(points_xy)
        read.append((points_xy, tuple(int(label) for label in object_labels)))
    if not fits:
        raise ValueError(
            f"`labels` must be nested like `points`, one label per point, got points of shape {shape_of(points)} and "
            f"labels of shape {shape_of(labels)}."
        )
    return read


def _per_object(nested: Any, depth: int) -> list[Any]:
    """Points, nested `depth` levels deep, or their labels, as one list per object; None for an object without any."""
    if depth == 1:
        return [[nested]]
    if depth == 2:
        return [None if member is None else [member] for member in nested]
    return nested


def _read_boxes(boxes: Any) -> list[Box | None]:
    nested = to_lists("boxes", boxes)
    if _depth("boxes", nested, boxes, levels=(1, 2), forms=_BOX_FORMS) == 1:
        nested = [nested]
    return [None if box is None else _numbers("boxes", box, 4, boxes, _BOX_FORMS) for box in nested]


def _read_masks(masks: Any) -> list[Any]:
    if isinstance(masks, np.ndarray | torch.Tensor):
        if masks.ndim == 4 and masks.shape[1] == 1:
            masks = masks[:, 0]
        members = [masks] if masks.ndim == 2 else list(masks) if masks.ndim == 3 else None
    elif isinstance(masks, Mapping):
        members = [masks]
    else:
        members = list(masks) if isinstance(masks, list | tuple) else None
    if members is not None:
        members = [rle_to_mask(dict(mask)) if isinstance(mask, Mapping) else mask for mask in members]
    if members is None or any(mask is not None and getattr(mask, "ndim", None) != 2 for mask in members):
        raise ValueError(
            f"`masks` must be {_MASK_FORMS}, arrays or tensors of (H, W) or RLEs, got "
            f"{type(masks).__name__} of shape {shape_of(masks)}."
        )
    return members


# Nesting


def _depth(name: str, nested: Any, came: Any, levels: Sequence[int], forms: str) -> int:
    """How deep the numbers lie; for no numbers at all the depth of a list of objects."""
    depths = depths_of(nested)
    if not depths and isinstance(nested, list):
        return max(levels)
    if len(depths) != 1 or min(depths) not in levels:
        raise ValueError(f"`{name}` must be {forms}, got shape {shape_of(came)}.")
    return depths.pop()


def _numbers(name: str, values: Any, length: int, came: Any, forms: str) -> Any:
    if not isinstance(values, list) or len(values) != length or None in values:
        raise ValueError(f"`{name}` must be {forms}, got shape {shape_of(came)}.")
    return tuple(float(value) for value in values)
