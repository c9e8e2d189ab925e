"""`--point` and `--box`: each option is one prompt, and what belongs to one prompt stands in one option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..prompts.prompt import Prompt

_POINT_FORM = (
    "--point must be X,Y in pixels, or X,Y,0 for background; points of one object go into one option, as in "
    "--point '450,600 500,620 300,100,0'"
)
_BOX_FORM = (
    "--box must be X0,Y0,X1,Y1 in pixels; points of the same object may follow, as in --box '10,20,300,400 150,90,0'"
)


def read_prompts(points: Sequence[str], boxes: Sequence[str]) -> list[Prompt]:
    """Read the prompts of the command line: one per option, those of `--point` first.

    Args:
        points: "X,Y" or "X,Y,0" or "X,Y,1", several of them with spaces or semicolons between, for each prompt.
        boxes: "X0,Y0,X1,Y1", with points behind it or not, for each prompt.

    Raises:
        ValueError: If an option is written otherwise, or a prompt has nothing but background.
    """
    read: list[tuple[list[tuple[float, float]], list[int], list[float] | None]] = []
    for text in points:
        points_xy, labels = _read_points(_words(text), text, _POINT_FORM)
        if 1 not in labels:
            raise ValueError(f"an object must have a foreground point or a box, got {text!r}; {_POINT_FORM}")
        read.append((points_xy, labels, None))
    for text in boxes:
        first, *others = _words(text) or [""]
        box = _numbers(first)
        if len(box) != 4:
            raise ValueError(f"{_BOX_FORM}, got {text!r}")
        read.append((*_read_points(others, text, _BOX_FORM), box))
    from ..prompts.prompt import Prompt  # it brings torch, which --help can do without

    return [
        Prompt(tuple(points_xy), tuple(labels), None if box is None else (box[0], box[1], box[2], box[3]))
        for points_xy, labels, box in read
    ]


def read_values(value_range: str | None, window: str | None) -> dict[str, Any]:
    """Read `--value-range` and `--window` as arguments of `SAM.predict`.

    Args:
        value_range: "BLACK,WHITE" or "min_max"; None where it was not given.
        window: "LEVEL,WIDTH" or the name of a CT window; None likewise.

    Raises:
        ValueError: If one is written otherwise, or both are given.
    """
    if value_range is not None and window is not None:
        raise ValueError("--value-range and --window must not come together: they say the same")
    given: dict[str, Any] = {}
    if value_range is not None:
        black_white = _numbers(value_range)
        if value_range not in ("min_max", "auto") and not (len(black_white) == 2 and black_white[0] < black_white[1]):
            raise ValueError(f"--value-range must be BLACK,WHITE, as in 0,3000, or min_max, got {value_range!r}")
        given["value_range"] = tuple(black_white) if black_white else value_range
    if window is not None:
        from ..images.windows import CT_WINDOWS, window_range

        given["window"] = tuple(_numbers(window)) or window
        try:
            window_range(given["window"])
        except ValueError as error:
            if window.isidentifier():  # a name, and the error says which there are
                raise
            names = ", ".join(CT_WINDOWS)
            raise ValueError(
                f"--window must be LEVEL,WIDTH, as in 40,400, or one of {names}, got {window!r}"
            ) from error
    return given


def _read_points(words: Sequence[str], text: str, form: str) -> tuple[list[tuple[float, float]], list[int]]:
    points = [_numbers(word) for word in words]
    if any(len(point) not in (2, 3) or point[2:] not in ([], [0], [1]) for point in points):
        raise ValueError(f"{form}, got {text!r}")
    points_xy = [(point[0], point[1]) for point in points]
    return points_xy, [int(point[2]) if len(point) == 3 else 1 for point in points]


def _words(text: str) -> list[str]:
    return text.replace(";", " ").split()


def _numbers(word: str) -> list[float]:
    """Numbers between commas; none where something else is."""
    try:
        return [float(number) for number in word.split(",")]
    except ValueError:
        return []
