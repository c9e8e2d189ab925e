"""`Prompt`: what a user says about one object. Every way of saying it becomes this, and every check of it is here.

Short forms (`short_forms.py`), nested ones (`nested.py`) and the command line's text are read into `Prompt`s, which
`tensors.py` brings to what the model takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..geometry.coordinates import LABEL_MEANINGS, LABELS, LABELS_WITHOUT_PLACE

OVERSHOOT = 1.0
"""Pixels by which points and boxes may leave their image and are clipped: what detectors and rounding leave."""

Points = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)  # masks are arrays, which have no single truth value
class Prompt:
    """What is said about one object, in pixels of the original image, x to the right and y down.

    Attributes:
        points_xy: x and y of each point.
        labels: One code of `coordinates.LABELS` per point: 1 foreground, 0 background.
        box_xyxy: Left, top, right, bottom, or None.
        mask: Binary and as large as the image: (H, W), an array or a tensor, or its RLE. Or the model's low-resolution
            logits (h, w). Or None.
        name: What the object is, where somebody knows: it becomes the record's "label".
        score: How sure a detector was of it: it becomes the record's "score".

    Examples:
        >>> from anymask import SAM, Prompt
        >>> cup = Prompt(points_xy=((300, 200),), labels=(1,), box_xyxy=(80, 20, 480, 390), name="cup")
        >>> [result] = SAM("sam-vit-nano").predict("photo.jpg", prompts=[cup])
        >>> result[0]["label"]
        'cup'
    """

    points_xy: Points = ()
    labels: tuple[int, ...] = ()
    box_xyxy: Box | None = None
    mask: Any = None
    name: str | None = None
    score: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing about where the object is."""
        return not self.points_xy and self.box_xyxy is None and self.mask is None


@dataclass(frozen=True)
class DrawnPrompts:
    """Prompts to be drawn over a photo, in its pixels, x right and y down.

    Attributes:
        points_xy: (P, 2) float.
        labels: (P,) int: 1 foreground, 0 background; other points are not drawn.
        boxes_xyxy: (B, 4) float.
        point_prompts: (P,) int, which prompt a point is of; -1 where that is not known.
        box_prompts: (B,) int, the same of boxes.
    """

    points_xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    boxes_xyxy: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    point_prompts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    box_prompts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        """Check that arrays are of one length; left out, what a point or a box belongs to is not known."""
        for name, of in (("point_prompts", self.points_xy), ("box_prompts", self.boxes_xyxy)):
            if len(getattr(self, name)) != len(of):
                if len(getattr(self, name)):
                    raise ValueError(f"`{name}` must be one per row, got {len(getattr(self, name))} for {len(of)}.")
                object.__setattr__(self, name, np.full(len(of), -1))

    def renumbered(self, numbers: Mapping[int, int]) -> DrawnPrompts:
        """Return those prompts that have a new number, and those whose prompt is not known, with the new numbers."""
        points, boxes = (
            np.array([numbers.get(number, -2) if number >= 0 else -1 for number in of.tolist()], dtype=np.int64)
            for of in (self.point_prompts, self.box_prompts)
        )
        return DrawnPrompts(
            points_xy=self.points_xy[points > -2],
            labels=self.labels[points > -2],
            boxes_xyxy=self.boxes_xyxy[boxes > -2],
            point_prompts=points[points > -2],
            box_prompts=boxes[boxes > -2],
        )


def drawn_prompts(prompts: Sequence[Prompt]) -> DrawnPrompts:
    """Collect points and boxes of all prompts, to be drawn over the image."""
    with_box = [index for index, prompt in enumerate(prompts) if prompt.box_xyxy is not None]
    return DrawnPrompts(
        points_xy=np.array([point for prompt in prompts for point in prompt.points_xy], dtype=float).reshape(-1, 2),
        labels=np.array([label for prompt in prompts for label in prompt.labels], dtype=np.int64),
        boxes_xyxy=np.array([prompts[index].box_xyxy for index in with_box]).reshape(-1, 4),
        point_prompts=np.repeat(np.arange(len(prompts)), [len(prompt.points_xy) for prompt in prompts]),
        box_prompts=np.array(with_box, dtype=np.int64),
    )


def join_prompts(first: DrawnPrompts | None, second: DrawnPrompts | None, offset: int) -> DrawnPrompts | None:
    """Put prompts of one image together; `offset` is added to the numbers of the second's."""
    if first is None and second is None:
        return None
    first, second = first or DrawnPrompts(), second or DrawnPrompts()
    owners = [np.where(of >= 0, of + offset, -1) for of in (second.point_prompts, second.box_prompts)]
    return DrawnPrompts(
        points_xy=np.concatenate([first.points_xy, second.points_xy]),
        labels=np.concatenate([first.labels, second.labels]),
        boxes_xyxy=np.concatenate([first.boxes_xyxy, second.boxes_xyxy]),
        point_prompts=np.concatenate([first.point_prompts, owners[0]]),
        box_prompts=np.concatenate([first.box_prompts, owners[1]]),
    )


def check_prompt(prompt: Prompt, size_hw: Sequence[int], where: str = "") -> None:
    """Refuse a prompt that cannot be one of an image of this size.

    Masks are checked where they are brought to logits, see `mask_prompts.py`.

    Args:
        prompt: Of one object.
        size_hw: Height and width of the image in pixels.
        where: Which prompt it is, for the message, e.g. " of prompt 3".

    Raises:
        ValueError: If labels are no codes or not one per point, if a point or a box leaves the image by more than
            `OVERSHOOT`, or if a box's corners are swapped.
    """
    if len(prompt.labels) != len(prompt.points_xy):
        raise ValueError(
            f"There must be one label per point; the labels{where} are {len(prompt.labels)} for "
            f"{len(prompt.points_xy)} points."
        )
    unknown = sorted({label for label in prompt.labels if label not in LABELS})
    if unknown:
        raise ValueError(f"Labels{where} must be {LABEL_MEANINGS}, got {unknown}.")
    _check_inside("Points", _placed_xy(prompt), size_hw, where)
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = prompt.box_xyxy
        _check_inside("The box", [(x0, y0), (x1, y1)], size_hw, where)
        if x0 > x1 or y0 > y1:
            raise ValueError(
                f"The box{where} must be [x0, y0, x1, y1] with x0 <= x1 and y0 <= y1 in pixels, got "
                f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}]. A box given as x, y, width, height needs x1 = x + width and "
                "y1 = y + height."
            )


def clip_prompt(prompt: Prompt, size_hw: Sequence[int], where: str = "") -> Prompt:
    """Move points and box corners that lie outside of an image to its edge.

    Raises:
        ValueError: If a box and the image have no pixel in common, or a coordinate is not finite.
    """
    height, width = size_hw
    box = prompt.box_xyxy
    if box is not None and not (box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0):
        raise ValueError(
            f"The box{where} must show a part of the image of {width} x {height} pixels (width x height) to be "
            f"clipped, got {list(box)}."
        )
    points_xy = np.array(prompt.points_xy, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points_xy).all():
        raise ValueError(f"Points{where} must be finite, got {points_xy.tolist()}.")
    is_place = np.isin(prompt.labels, LABELS_WITHOUT_PLACE, invert=True)
    points_xy[is_place] = points_xy[is_place].clip(0, (width, height))
    clipped_box = None if box is None else tuple(np.clip(box, 0, (width, height, width, height)).tolist())
    return replace(prompt, points_xy=tuple((x, y) for x, y in points_xy.tolist()), box_xyxy=clipped_box)


def _placed_xy(prompt: Prompt) -> list[tuple[float, float]]:
    """The points whose labels are of a place."""
    labelled = zip(prompt.points_xy, prompt.labels, strict=True)
    return [point for point, label in labelled if label not in LABELS_WITHOUT_PLACE]


def _check_inside(what: str, places_xy: Iterable[tuple[float, float]], size_hw: Sequence[int], where: str) -> None:
    height, width = size_hw
    # Written so that NaN, which compares false with everything, is outside.
    outside = [
        (x, y)
        for x, y in places_xy
        if not (-OVERSHOOT <= x <= width + OVERSHOOT and -OVERSHOOT <= y <= height + OVERSHOOT)
    ]
    if outside:
        raise ValueError(
            f"{what}{where} must lie in the image, x in [0, {width}] and y in [0, {height}] pixels, got "
            f"{', '.join(f'({x:g}, {y:g})' for x, y in outside)}. Coordinates are those of the original image, x "
            f"first; clip overshoots of more than {OVERSHOOT:g} pixel."
        )
