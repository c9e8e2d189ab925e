"""What requests say, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..geometry.coordinates import LABEL_BACKGROUND, LABEL_FOREGROUND
from ..prompts.prompt import Prompt
from ..support.unknown_names import check_known_options
from .errors import RequestError

MOST_POINTS = 256


@dataclass(frozen=True)
class Question:
    """What `predict` is asked.

    Attributes:
        prompt: In pixels of the original image, without a mask.
        multimask: Whether several candidates are wanted.
        mask: Token of an earlier answer, or None.
        max_side: Of the masks that are sent, in pixels, or None for the picture's own size.
    """

    prompt: Prompt
    multimask: bool = True
    mask: str | None = None
    max_side: int | None = None


def read_json(body: bytes, known: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object with nothing but known names; an empty body is an empty object.

    Raises:
        RequestError: If it is none.
    """
    document = read_any_json(body)
    try:
        check_known_options(document, known, "The request")
    except TypeError as error:
        raise RequestError(422, str(error)) from error
    return document


def read_any_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object; an empty body is an empty object.

    Raises:
        RequestError: If it is none.
    """
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"The body must be JSON, but: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(422, f"The body must be a JSON object, got {type(document).__name__}.")
    return document


def read_question(body: bytes) -> Question:
    """Read the body of a `predict`.

    Raises:
        RequestError: If it says what cannot be; whether prompts lie in the picture is seen later.
    """
    said = read_json(body, ("points", "labels", "box", "multimask", "mask", "max_side"))
    points = said.get("points") or []
    labels = said.get("labels")
    if not isinstance(points, list) or len(points) > MOST_POINTS or not all(is_numbers(point, 2) for point in points):
        raise RequestError(422, f"`points` must be a list of at most {MOST_POINTS} pairs [x, y] of numbers.")
    if labels is None:
        labels = [LABEL_FOREGROUND] * len(points)
    is_labels = isinstance(labels, list) and all(
        type(label) is int and label in (LABEL_FOREGROUND, LABEL_BACKGROUND) for label in labels
    )
    if not is_labels or len(labels) != len(points):
        raise RequestError(422, "`labels` must be a list with 1 (the object) or 0 (not of it) for each point.")
    box, mask, multimask = said.get("box"), said.get("mask"), said.get("multimask", True)
    if box is not None and not is_numbers(box, 4):
        raise RequestError(422, "`box` must be null or [x0, y0, x1, y1], four numbers.")
    if mask is not None and not isinstance(mask, str):
        raise RequestError(422, "`mask` must be null or a token of an earlier answer.")
    if not isinstance(multimask, bool):
        raise RequestError(422, "`multimask` must be true or false.")
    if not points and box is None and mask is None:
        raise RequestError(422, "There must be a point, a box or a mask, got none.")
    return Question(
        Prompt(
            points_xy=tuple((float(x), float(y)) for x, y in points),
            labels=tuple(labels),
            box_xyxy=None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        ),
        multimask,
        mask,
        read_max_side(said),
    )


def read_max_side(said: Mapping[str, Any]) -> int | None:
    """Read the longest side of the masks that are wanted.

    Raises:
        RequestError: If it is no whole number of at least 1.
    """
    max_side = said.get("max_side")
    if max_side is not None and (type(max_side) is not int or max_side < 1):
        raise RequestError(422, "`max_side` must be null or a whole number of pixels of at least 1.")
    return max_side


def is_numbers(value: Any, count: int) -> bool:
    """Whether a value of JSON is a list of so many finite numbers."""
    if not isinstance(value, list) or len(value) != count:
        return False
    # Written with abs and a bound: an integer of JSON may be too large for a float.
    return all(type(number) in (int, float) and abs(number) < 1e9 and math.isfinite(number) for number in value)
