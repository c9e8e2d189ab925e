"""Training checkpoints hold more than weights: taking a SAM's tensors out of them.

A SAM may be the file's own dictionary, as Meta's are, or a nested one under any name, such as MedSAM's `"model"`,
micro-sam's `"model_state"` or Lightning's `"state_dict"`. DistributedDataParallel, torch.compile and enclosing modules
put prefixes before its names, and one part saved alone has none.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..reports import CheckpointError, group_keys

logger = logging.getLogger(__name__)

# Where a file holds several SAMs, the one under the first of these names is the model that was trained.
_USUAL_NAMES = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "sam")
_INSERTED = re.compile(r"(?:(?<=^)|(?<=\.))(?:module|_orig_mod)\.")  # by DistributedDataParallel and torch.compile
_PART = re.compile(
    r"^(?P<prefix>(?:[^.]+\.)*?)(?:image_encoder|vision_encoder|prompt_encoder|mask_decoder|shared_image_embedding)\."
)
# A tensor that tells a part which was saved alone, and the prefix that it has in a whole.
_PARTS_ALONE = {
    "neck.0.weight": "image_encoder.",
    "neck.conv1.weight": "vision_encoder.",
    "no_mask_embed.weight": "prompt_encoder.",
    "iou_token.weight": "mask_decoder.",
}
_PREPROCESSING = ("pixel_mean", "pixel_std")  # buffers of Meta's model, which belong to the processor here


def unwrap(content: Any, path: str) -> dict[str, Tensor]:
    """The tensors of a model out of what a file holds, under names without what training loops put around them.

    Args:
        content: What was read from the file.
        path: The file, for messages.

    Raises:
        CheckpointError: If there are no named tensors, or several models.
    """
    tensors = _without_insertions(_find_tensors(content, path))
    prefixes = sorted({match["prefix"] for match in map(_PART.match, tensors) if match})
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{path} must hold one SAM, but has parts of several, under the prefixes {prefixes}; save the one to load "
            f"in a file of its own."
        )
    if not prefixes:
        part = _part_alone(tensors) or ""
        return {part + name: tensor for name, tensor in tensors.items()}
    prefix = prefixes[0]
    others = [name for name in tensors if not name.startswith(prefix)]
    if others:
        logger.warning("%s: left out what is not under %r: %s.", path, prefix, group_keys(others))
    unprefixed = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {name: tensor for name, tensor in unprefixed.items() if name not in _PREPROCESSING}


def _find_tensors(content: Any, path: str) -> Mapping[str, Tensor]:
    """The one dictionary, at any depth, that holds a SAM or a part of one; without any, the one with most tensors."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} must hold a dictionary of tensors, got {type(content).__name__}; save `model.state_dict()`."
        )
    found = _dictionaries_of_tensors(content)
    if not found:
        keys = ", ".join(map(repr, list(content)[:10])) or "nothing"
        raise CheckpointError(
            f"{path} must hold a dictionary of tensors, by itself or in others, but it holds {keys} and no tensor "
            f"among them; save `model.state_dict()`."
        )
    sams = {where: tensors for where, tensors in found.items() if _is_sam(tensors)}
    if len(sams) <= 1:
        return next(iter(sams.values()), max(found.values(), key=len))
    chosen = min(sams, key=lambda where: [_rank(name) for name in where])
    others = ", ".join(repr("/".join(where)) for where in sams if where != chosen)
    if any(name not in _USUAL_NAMES for name in chosen):
        raise CheckpointError(
            f"{path} must hold one SAM, but holds several, under {'/'.join(chosen)!r} and {others}; save the one to "
            f"load in a file of its own."
        )
    logger.warning("%s: took the SAM under %r and left out those under %s.", path, "/".join(chosen), others)
    return sams[chosen]


def _dictionaries_of_tensors(content: Mapping) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """Every dictionary that has tensors, by the names that lead to it; one that holds itself is met once."""
    found: dict[tuple[str, ...], dict[str, Tensor]] = {}
    met: set[int] = set()
    waiting: deque[tuple[tuple[str, ...], Mapping]] = deque([((), content)])
    while waiting:
        where, mapping = waiting.popleft()
        if id(mapping) in met:
            continue
        met.add(id(mapping))
        tensors = {str(name): value for name, value in mapping.items() if isinstance(value, Tensor)}
        if tensors:
            found[where] = tensors
        waiting.extend(((*where, str(name)), value) for name, value in mapping.items() if isinstance(value, Mapping))
    return found


def _is_sam(tensors: Mapping[str, Tensor]) -> bool:
    return any(map(_PART.match, tensors)) or _part_alone(_without_insertions(tensors)) is not None


def _part_alone(tensors: Mapping[str, Tensor]) -> str | None:
    """The prefix of the part whose names these are, without the prefix; None where they are not of exactly one."""
    parts = [part for name, part in _PARTS_ALONE.items() if name in tensors]
    return parts[0] if len(parts) == 1 else None


def _rank(name: str) -> int:
    return _USUAL_NAMES.index(name) if name in _USUAL_NAMES else len(_USUAL_NAMES)


def _without_insertions(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_INSERTED.sub("", name): tensor for name, tensor in tensors.items()}
