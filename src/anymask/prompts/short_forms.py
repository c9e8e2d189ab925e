"""The short forms in which `SAM.predict` takes prompts, read into `Prompt`s.

`SamProcessor` takes prompts of many images, nested in full. Here there is one image, and what may be left out follows
from that:

| argument | form                      | meaning                                                     |
|----------|---------------------------|-------------------------------------------------------------|
| `points` | `[x, y]`                  | one prompt with one point                                   |
|          | `(N, 2)`                  | N prompts with one point each                               |
|          | `(N, K, 2)`, or a list of | N prompts with several points each                          |
|          | N lists of points         |                                                             |
| `labels` | like `points` without xy  | 1 foreground, 0 background; all 1 if left out               |
| `boxes`  | `[x0, y0, x1, y1]`        | one prompt                                                  |
|          | `(N, 4)`                  | N prompts                                                   |
| `masks`  | `(H, W)`                  | one prompt                                                  |
|          | `(N, H, W)`, or a list of | N prompts; a mask is binary and as large as the image (an   |
|          | N masks                   | array, an RLE, a Pillow image, a file of one), or the       |
|          |                           | low-resolution logits of a prediction                       |

Given together they are parts of the same N prompts; `names` and `scores` are one per prompt. In lists, None stands for
what a prompt does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..geometry.coordinates import LABEL_BACKGROUND, LABEL_FOREGROUND
from .mask_prompts import IMAGE_KINDS, load_mask
from .nested import depths_of, shape_of, to_lists
from .prompt import Box, Points, Prompt

_POINT_FORMS = "[x, y], (N, 2) for N prompts with one point each, or (N, K, 2) for N prompts with K points each"
_BOX_FORMS = "[x0, y0, x1, y1] or (N, 4)"
_MASK_FORMS = "(H, W), (N, H, W) or a list of N masks"
_NEST_ONCE_MORE = "Points (N, 2) are of N prompts: nest K points of one prompt once more, as (1, K, 2)."


def read_prompts(
    points: Any = None,
    labels: Any = None,
    boxes: Any = None,
    masks: Any = None,
    names: Sequence[str | None] | None = None,
    scores: Any = None,
) -> list[Prompt] | None:
    """Read prompts in order; None where there is neither points, boxes nor masks.

    No prompts, such as boxes of shape (0, 4), are an empty list.

    Args:
        points: See the table above, as of the next three.
        labels: Of the points.
        boxes: Likewise.
        masks: Likewise.
        names: What each object is, as a detector calls it.
        scores: How sure a detector is of each.

    Raises:
        ValueError: If an argument is nested otherwise than the table above says, or arguments are of different prompts.
    """
    if labels is not None and points is None:
        raise ValueError("`labels` must come with `points`, one label per point; got labels alone.")
    given = {"points": points, "boxes": boxes, "masks": masks}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        if names is not None or scores is not None:
            raise ValueError("`names` and `scores` must come with points, boxes or masks; got them alone.")
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
            f"`points`, `boxes` and `masks` must be parts of the same prompts, one of each for each prompt, got "
            f"{shapes}. {_NEST_ONCE_MORE}"
        )
    prompts = []
    n_prompts = counts.pop()
    names, scores = _one_each("names", names, n_prompts), _one_each("scores", scores, n_prompts)
    for index in range(n_prompts):
        points_xy, point_labels = read["points"][index] if points is not None else ((), ())
        box = read["boxes"][index] if boxes is not None else None
        mask = read["masks"][index] if masks is not None else None
        score = None if scores[index] is None else float(scores[index])
        prompt = Prompt(points_xy, point_labels, box, mask, name=names[index], score=score)
        if prompt.is_empty:
            raise ValueError(f"Every prompt must have points, a box or a mask; prompt {index} has none of them.")
        prompts.append(prompt)
    _check_nesting(prompts, points)
    return prompts


def _check_nesting(prompts: Sequence[Prompt], points: Any) -> None:
    """Refuse a background point that is a prompt of its own: it was meant as one of several points of a prompt."""
    are_background = [
        prompt.labels == (LABEL_BACKGROUND,) and prompt.box_xyxy is prompt.mask is None for prompt in prompts
    ]
    if any(are_background) and len(prompts) > 1 and depths_of(to_lists("points", points)) == {2}:
        raise ValueError(
            f"A prompt must have a foreground point, a box or a mask, but prompt {are_background.index(True)} has a "
            f"background point alone. {_NEST_ONCE_MORE}"
        )


def _one_each(name: str, values: Any, n_prompts: int) -> list[Any]:
    """Names or scores as a list, None for a prompt without."""
    if values is None:
        return [None] * n_prompts
    listed = [values] if isinstance(values, str) else np.asarray(values, dtype=object).reshape(-1).tolist()
    if len(listed) != n_prompts:
        raise ValueError(f"`{name}` must be one per prompt, got {len(listed)} for {n_prompts} prompts.")
    wanted = str if name == "names" else (int, float)
    for value in listed:
        if value is not None and not isinstance(value, wanted):
            kind = "text" if name == "names" else "numbers"
            raise ValueError(f"`{name}` must be {kind}, one per prompt, got {value!r}.")
    return listed


def _read_points(points: Any, labels: Any) -> list[tuple[Points, tuple[int, ...]]]:
    nested = to_lists("points", points)
    depth = _depth("points", nested, points, levels=(1, 2, 3), forms=_POINT_FORMS)
    nested_labels = to_lists("labels", labels)
    if depth == 1 and isinstance(nested_labels, list) and len(nested_labels) == 1:
        nested_labels = nested_labels[0]  # one point, and its label in a list
    prompts = _per_prompt(nested, depth)
    # Labels lie one level above the coordinates; None stands for those of a prompt, or of all.
    fits = labels is None or (
        depths_of(nested_labels) <= {depth - 1} and isinstance(nested_labels, list) == (depth > 1)
    )
    labels_of = _per_prompt(nested_labels, depth) if labels is not None and fits else [None] * len(prompts)
    fits = fits and len(labels_of) == len(prompts)
    read = []
    for prompt_points, prompt_labels in zip(prompts, labels_of, strict=False):
        points_xy = tuple(_numbers("points", point, 2, points, forms=_POINT_FORMS) for point in prompt_points or ())
        if prompt_labels is None:
            prompt_labels = [LABEL_FOREGROUND] * len(points_xy)
        if any(label not in (LABEL_BACKGROUND, LABEL_FOREGROUND) for label in prompt_labels):
            raise ValueError(f"`labels` must be 1 (foreground) or 0 (background), got {prompt_labels}.")
        fits = fits and len(prompt_labels) == len(points_xy)
        read.append((points_xy, tuple(int(label) for label in prompt_labels)))
    if not fits:
        raise ValueError(
            f"`labels` must be nested like `points`, one label per point, got points of shape {shape_of(points)} and "
            f"labels of shape {shape_of(labels)}."
        )
    return read


def _per_prompt(nested: Any, depth: int) -> list[Any]:
    """Points, nested `depth` levels deep, or their labels, as one list per prompt; None for a prompt without any."""
    if depth == 1:
        return [[nested]]
    if depth == 2:
        return [None if member is None else [member] for member in nested]
    return nested


def _read_boxes(boxes: Any) -> list[Box | None]:
    nested = to_lists("boxes", boxes)
    if _depth("boxes", nested, boxes, levels=(1, 2), forms=_BOX_FORMS) == 1:
        nested = [nested]
    return [None if box is None else _numbers("boxes", box, 4, boxes, forms=_BOX_FORMS) for box in nested]


def _read_masks(masks: Any) -> list[Any]:
    if isinstance(masks, np.ndarray | torch.Tensor):
        if masks.ndim == 4 and masks.shape[1] == 1:
            masks = masks[:, 0]
        members = [masks] if masks.ndim == 2 else list(masks) if masks.ndim == 3 else None
    elif isinstance(masks, (Mapping, *IMAGE_KINDS)):
        members = [masks]
    else:
        members = list(masks) if isinstance(masks, list | tuple) else None
    if members is not None:
        members = [load_mask(mask) if isinstance(mask, IMAGE_KINDS) else mask for mask in members]
    if members is None or not all(_is_mask(mask) for mask in members):
        raise ValueError(
            f"`masks` must be {_MASK_FORMS}, arrays or tensors of (H, W), RLEs, Pillow images or paths of them, got "
            f"{type(masks).__name__} of shape {shape_of(masks)}."
        )
    return members


def _is_mask(mask: Any) -> bool:
    """Whether this has the form of one mask, or stands for a prompt without one."""
    if isinstance(mask, Mapping):
        return {"size", "counts"} <= mask.keys()
    return mask is None or (isinstance(mask, np.ndarray | torch.Tensor) and mask.ndim == 2)


# Nesting


def _depth(name: str, nested: Any, came: Any, levels: Sequence[int], forms: str) -> int:
    """How deep the numbers lie; for no numbers at all the depth of a list of prompts."""
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
