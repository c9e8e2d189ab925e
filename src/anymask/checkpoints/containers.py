"""Training checkpoints hold more than weights: taking a SAM's tensors out of them.

Known are Meta's plain dictionary, MedSAM's `{"model": ...}`, micro-sam's `{"model_state": ...}`, Lightning's
`{"state_dict": ...}`, and the prefixes that DistributedDataParallel, torch.compile and enclosing modules add.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .reports import CheckpointError, group_keys

logger = logging.getLogger(__name__)

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "sam")
_INSERTED = re.compile(r"(?:(?<=^)|(?<=\.))(?:module|_orig_mod)\.")  # by DistributedDataParallel and torch.compile
_PART = re.compile(
    r"^(?P<prefix>(?:[^.]+\.)*?)(?:image_encoder|vision_encoder|prompt_encoder|mask_decoder|shared_image_embedding)\."
)
_PREPROCESSING = ("pixel_mean", "pixel_std")  # buffers of Meta's model, which belong to the processor here


def unwrap(content: Any, path: str) -> dict[str, Tensor]:
    """The tensors of a model out of what a file holds, under names without what training loops put around them.

    Args:
        content: what was read from the file.
        path: the file, for messages.

    Raises:
        CheckpointError: If there are no named tensors, or several models.
    """
    tensors = _find_tensors(content, path)
    tensors = {_INSERTED.sub("", name): tensor for name, tensor in tensors.items()}
    prefixes = sorted({match["prefix"] for match in map(_PART.match, tensors) if match})
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{path} must hold one SAM, but has parts of several, under the prefixes {prefixes}; save the one to load "
            f"in a file of its own."
        )
    prefix = prefixes[0] if prefixes else ""
    others = [name for name in tensors if not name.startswith(prefix)]
    if others:
        logger.warning("%s: left out what is not under %r: %s.", path, prefix, group_keys(others))
    unprefixed = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {name: tensor for name, tensor in unprefixed.items() if name not in _PREPROCESSING}


def _find_tensors(content: Any, path: str) -> Mapping[str, Tensor]:
    """The dictionary of tensors in nested dictionaries."""
    found = content
    while isinstance(found, Mapping):
        tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
        if any(_PART.match(str(name)) for name in tensors):
            break
        inner = next((found[name] for name in _WRAPPERS if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{path} must hold a dictionary of tensors, got {type(content).__name__}; save `model.state_dict()`."
        )
    if not tensors:
        keys = ", ".join(map(repr, list(found)[:10])) or "nothing"
        raise CheckpointError(
            f"{path} must hold a dictionary of tensors, by itself or under {', '.join(map(repr, _WRAPPERS))}, but it "
            f"holds {keys} and no tensor among them; save `model.state_dict()`."
        )
    return {str(name): tensor for name, tensor in tensors.items()}
