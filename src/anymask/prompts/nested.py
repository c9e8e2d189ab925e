"""Prompts as `SamProcessor` takes them, nested by image, prompt and point, read into `Prompt`s.

Nested lists, tuples, arrays and tensors: how deep they are, what they hold, what is left out of their nesting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..geometry.coordinates import LABEL_FOREGROUND
from .prompt import Prompt

_POINT_FORMS = "[image][prompt][point][x, y] or [image][point][x, y]"
_LABEL_FORMS = "[image][prompt][point] or [image][point]"
_BOX_FORMS = "[image][prompt][x0, y0, x1, y1]"


def read_nested_prompts(input_points: Any, input_labels: Any, input_boxes: Any, n_images: int) -> list[list[Prompt]]:
    """Read points, labels and boxes into the prompts of each image; the arguments are `SamProcessor`'s.

    Raises:
        ValueError: If they are nested in another way than `SamProcessor` says, or are not of the same prompts.
    """
    if input_points is None and input_labels is not None:
        raise ValueError("`input_labels` must come with `input_points`; got labels alone.")
    points = nested_prompts("input_points", input_points, 4, 2, n_images=n_images, forms=_POINT_FORMS)
    labels = nested_prompts("input_labels", input_labels, 3, None, n_images=n_images, forms=_LABEL_FORMS)
    boxes = nested_prompts("input_boxes", input_boxes, 3, 4, n_images=n_images, forms=_BOX_FORMS)
    prompts = []
    for index in range(n_images):
        counts = {len(kind[index]) for kind in (points, labels, boxes) if kind[index]}
        if len(counts) > 1:
            raise ValueError(
                f"Points, labels and boxes of an image must be of the same prompts; image {index} has points for "
                f"{len(points[index])} prompts, labels for {len(labels[index])} and boxes for {len(boxes[index])} "
                f"(`input_points` {shape_of(input_points)}, `input_labels` {shape_of(input_labels)}, `input_boxes` "
                f"{shape_of(input_boxes)}). Use None for a prompt without one of them."
            )
        of_image = []
        for number in range(counts.pop() if counts else 0):
            parts = (kind[index][number] if kind[index] else None for kind in (points, labels, boxes))
            of_image.append(_read_prompt(f"[{index}][{number}]", *parts))
        prompts.append(of_image)
    return prompts


def _read_prompt(where: str, points: Any, labels: Any, box: Any) -> Prompt:
    if points is None and box is None:
        raise ValueError(f"Every prompt must have points or a box; prompt {where} (image, prompt) has neither.")
    if points is None and labels is not None:
        raise ValueError(f"`input_labels`{where} must come with points, got labels {labels} and no points.")
    points_xy = tuple((float(x), float(y)) for x, y in points or ())
    codes = (LABEL_FOREGROUND,) * len(points_xy) if labels is None else tuple(labels)
    if box is None:
        return Prompt(points_xy, codes)
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return Prompt(points_xy, codes, (x0, y0, x1, y1))


def nested_prompts(name: str, prompt: Any, levels: int, leaf: int | None, n_images: int, forms: str) -> list[list[Any]]:
    """A prompt at full depth: for each image a list of prompts, empty where it has none of this kind.

    Args:
        name: of the argument, for messages.
        prompt: as it came.
        levels: depth at which nothing is left out.
        leaf: length of the innermost lists; None for labels, where the number of points decides.
        n_images: how many images there are.
        forms: accepted nestings, for messages.

    Raises:
        ValueError: If it is nested otherwise, or has prompts for another number of images.
    """
    nested = to_lists(name, prompt)
    depths = depths_of(nested)
    if not depths:
        return [[] for _ in range(n_images)]
    if leaf == 4 and depths == {levels + 1}:
        # Transformers flattens what is nested one level deeper, and its notebooks write boxes so.
        nested = [[box for boxes in image or [] for box in boxes or [None]] for image in nested]
        depths = {levels}
    missing = levels - max(depths)
    if len(depths) > 1 or missing < 0 or max(depths) < (0 if leaf is None else 1):
        raise ValueError(f"`{name}` must be nested as {forms}, got shape {shape_of(prompt)}.")
    images = _add_levels(nested, missing, has_points=leaf != 4, one_image=n_images == 1)
    if len(images) != n_images:
        raise ValueError(
            f"`{name}` must have prompts for {n_images} image{'s' * (n_images > 1)}, nested as {forms}, "
            f"got shape {shape_of(prompt)}, prompts for {len(images)}."
        )
    images = [[prompts or None for prompts in image or []] for image in images]
    innermost = [prompts for image in images for prompts in image if prompts is not None]
    if leaf == 2:
        innermost = [point for prompts in innermost for point in prompts]
    if any(values is None or None in values or (leaf and len(values) != leaf) for values in innermost):
        raise ValueError(f"`{name}` must be nested as {forms}, all numbers given, got shape {shape_of(prompt)}.")
    return images


def _add_levels(nested: Any, missing: int, has_points: bool, one_image: bool) -> list[Any]:
    """Add the levels that may be left out: that of images if there is one, of prompts and points if each has one.

    Points without one level belong to one prompt per image. Without two, they are the points of one prompt in one
    image, or one point in each of several images. Boxes without one level are those of one image, or one in each of
    several images.
    """
    if missing == 0:
        return nested
    if has_points and missing == 1:
        return [[image] if image else [] for image in nested]
    if one_image:
        for _ in range(missing):
            nested = [nested]
        return nested
    if missing == (2 if has_points else 1):
        return [[[image]] if has_points else [image] for image in nested]
    return [nested]  # one prompt for several images: the caller says so


def to_lists(name: str, value: Any) -> Any:
    """Tensors, arrays and tuples as nested lists of numbers.

    Raises:
        ValueError: If something else is among them.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().tolist()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [to_lists(name, member) for member in value]
    if value is None or isinstance(value, int | float):
        return value
    raise ValueError(f"`{name}` must hold numbers in lists, tuples, arrays or tensors, got {type(value).__name__}.")


def depths_of(nested: Any) -> set[int]:
    """How deep the numbers lie; more than one depth is wrong nesting, none is an empty prompt."""
    if isinstance(nested, list):
        return {depth + 1 for member in nested for depth in depths_of(member)}
    return set() if nested is None else {0}


def shape_of(value: Any) -> str:
    """The shape of an array or of nested lists, ragged axes as ranges: "(2, 1-3, 2)"."""
    if value is None:
        return "None"
    if hasattr(value, "shape"):
        return str(tuple(value.shape))
    level, axes = [value], []
    while level := [member for member in level if isinstance(member, list | tuple) or getattr(member, "shape", None)]:
        lengths = sorted({len(member) for member in level})
        axes.append(str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]}-{lengths[-1]}")
        level = [inner for member in level for inner in member]
    if not axes:
        return "()"
    return f"({', '.join(axes)}{',' * (len(axes) == 1)})"


def flat_list(images: Any, batch_axes: int = 4) -> list[Any]:
    """One image, a nested list of images, or an array of `batch_axes` axes, images first, as a flat list."""
    if isinstance(images, np.ndarray | torch.Tensor) and images.ndim == batch_axes:
        images = list(images)
    flat = list(_flatten(images))
    if not flat:
        raise ValueError("There must be at least one image, got an empty list.")
    return flat


def _flatten(images: Any) -> Iterator[Any]:
    if isinstance(images, list | tuple):
        for member in images:
            yield from _flatten(member)
    else:
        yield images
