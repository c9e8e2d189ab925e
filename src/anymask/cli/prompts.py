"""`--point` and `--box`: each option is one object, and what belongs to one object stands in one option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_POINT_FORM = (
    "--point must be X,Y in pixels, or X,Y,0 for background; points of one object go into one option, as in "
    "--point '450,600 500,620 300,100,0'"
)
_BOX_FORM = (
    "--box must be X0,Y0,X1,Y1 in pixels; points of the same object may follow, as in --box '10,20,300,400 150,90,0'"
)


def read_prompts(points: Sequence[str], boxes: Sequence[str]) -> dict[str, Any]:
    """Arguments of `SAM.predict` for prompts of the command line: an object per option, those of `--point` first.

    Args:
        points: "X,Y" or "X,Y,0" or "X,Y,1", several of them with spaces or semicolons between, for each object.
        boxes: "X0,Y0,X1,Y1", with points behind it or not, for each object.

    Returns:
        `points`, `labels` and `boxes` as nested lists with None where an object has none; empty without prompts.

    Raises:
        ValueError: If an option is written otherwise, or an object has nothing but background.
    """
    objects = [_read_points(_words(text), text, _POINT_FORM) for text in points]
    for text, (_, labels) in zip(points, objects, strict=True):
        if 1 not in labels:
            raise ValueError(f"an object must have a foreground point or a box, got {text!r}; {_POINT_FORM}")
    corners: list[list[float] | None] = [None] * len(objects)
    for text in boxes:
        first, *others = _words(text) or [""]
        box = _numbers(first)
        if len(box) != 4:
            raise ValueError(f"{_BOX_FORM}, got {text!r}")
        corners.append(box)
        objects.append(_read_points(others, text, _BOX_FORM))
    if not objects:
        return {}
    given: dict[str, Any] = {}
    if any(xy for xy, _ in objects):
        given["points"] = [xy or None for xy, _ in objects]
        given["labels"] = [labels or None for _, labels in objects]
    if boxes:
        given["boxes"] = corners
    return given


def _read_points(words: Sequence[str], text: str, form: str) -> tuple[list[list[float]], list[int]]:
    points = [_numbers(word) for word in words]
    if any(len(point) not in (2, 3) or point[2:] not in ([], [0], [1]) for point in points):
        raise ValueError(f"{form}, got {text!r}")
    return [point[:2] for point in points], [int(point[2]) if len(point) == 3 else 1 for point in points]


def _words(text: str) -> list[str]:
    return text.replace(";", " ").split()


def _numbers(word: str) -> list[float]:
    """Numbers between commas; none where something else is."""
    try:
        return [float(number) for number in word.split(",")]
    except ValueError:
        return []
