"""Checkpoints on the hub and in folders: what to do when one cannot be had, or is not what it should be."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huggingface_hub import errors as hub_errors

from .files import WEIGHT_SUFFIXES
from .key_map import HUB_PARTS
from .other_models import recognise_relative
from .reports import CheckpointError, key_problems

_MODEL_TYPES = ("sam", "sam_vision_model")
_NOT_FOUND = (
    hub_errors.LocalEntryNotFoundError,
    hub_errors.OfflineModeIsEnabled,
    hub_errors.HFValidationError,  # a path that does not exist and cannot be a hub id
)
_NO_PROCESSOR = "Can't load image processor"  # transformers raises this one without its cause


@contextmanager
def explained_errors(name_or_path: Any) -> Iterator[None]:
    """Says how to get a checkpoint that is neither on this machine nor to be reached.

    Raises:
        OSError: In place of the hub client's error, which is its cause.
    """
    try:
        yield
    except OSError as error:
        hint = _hint(name_or_path, error)
        if hint is None:
            raise
        raise OSError(hint) from error


def _hint(name_or_path: Any, error: BaseException) -> str | None:
    """What to do about an error of the hub client, or None if its own words say it."""
    if os.path.isdir(name_or_path):
        if os.path.exists(os.path.join(name_or_path, "config.json")):
            return None
        weights = sorted(name for name in os.listdir(name_or_path) if os.path.splitext(name)[1] in WEIGHT_SUFFIXES)
        if not weights:
            return None
        return (
            f"{name_or_path} must hold config.json to be loaded as a folder, and has only {', '.join(weights)}; pass "
            f"the file itself, as in from_pretrained({os.path.join(name_or_path, weights[0])!r})."
        )
    if not _was_not_found(error):
        return None
    return (
        f"{name_or_path!r} must be a folder or file, or the id of a checkpoint on the hub, but there is no such path, "
        f"it is not in the cache, and the hub did not give it. With a network, `hf download {name_or_path}` fetches it "
        f"for later use without one; HF_ENDPOINT=https://... before the command asks a mirror; HF_HUB_OFFLINE=1, where "
        f"set, forbids it."
    )


def _was_not_found(error: BaseException) -> bool:
    if str(error).startswith(_NO_PROCESSOR):
        return True
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, _NOT_FOUND):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def check_model_type(folder: Any, own_type: str) -> None:
    """Refuses a local folder whose `config.json` names another model; on the hub, the weights' names tell.

    Raises:
        CheckpointError: If it is another model's.
    """
    path = os.path.join(folder, "config.json")
    if not os.path.isfile(path):
        return
    with open(path, encoding="utf-8") as file:
        try:
            model_type = json.load(file).get("model_type")
        except (ValueError, AttributeError):
            return  # the configuration's own reader reports it
    if model_type not in (None, own_type, *_MODEL_TYPES):
        raise CheckpointError(
            f"{folder} must hold a SAM, but its config.json says model_type {model_type!r}; load it with the "
            f"library that it was made for, transformers.AutoModel perhaps."
        )


def check_loaded(name_or_path: Any, info: Mapping[str, Any], parts: Collection[str], allow_misshapen: bool) -> None:
    """Refuses weights from a folder or the hub that leave parts of a SAM at random.

    What a subclass has beyond SAM may be missing: that is how a new head is trained.

    Args:
        name_or_path: for the message.
        info: of transformers' loading: missing, unexpected and mismatched keys.
        parts: names of the model's own modules; what else belongs to a SAM may be there.
        allow_misshapen: whether the caller asked to ignore shapes (`ignore_mismatched_sizes=True`).

    Raises:
        CheckpointError: If keys of SAM's own parts are missing, unexpected or misshapen.
    """
    own = tuple(part for part in HUB_PARTS if part.removesuffix(".") in parts)
    misshapen = {name: (file, model) for name, file, model in info["mismatched_keys"]}
    missing = [key for key in info["missing_keys"] if key.startswith(own) and key not in misshapen]
    unexpected = [key for key in info["unexpected_keys"] if key.startswith(own)]
    problems = key_problems(sorted(missing), sorted(unexpected), {} if allow_misshapen else misshapen)
    if problems:
        relative = recognise_relative(info["unexpected_keys"])
        looks = (
            f"It looks like {relative}, which is another model." if relative else "Its config.json may be another's."
        )
        raise CheckpointError(f"{name_or_path} must have all weights of a SAM and no others, but {problems}. {looks}")
