"""Checkpoints on the hub: what to do when one cannot be had, or came down damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huggingface_hub import errors as hub_errors
from huggingface_hub import try_to_load_from_cache

from ..weights.hub import how_to_get
from .folders import check_folder, files_of_weights

_NOT_FOUND = (
    hub_errors.LocalEntryNotFoundError,
    hub_errors.OfflineModeIsEnabled,
    hub_errors.HFValidationError,  # a path that does not exist and cannot be a hub id
)
_NO_PROCESSOR = "Can't load image processor"  # transformers raises this one without its cause


@contextmanager
def explained_errors(name_or_path: Any) -> Iterator[None]:
    """Say how to get a checkpoint that is neither on this machine nor to be reached.

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


def check_cached(hub_id: Any, config_class: Any, options: Mapping[str, Any]) -> None:
    """Look at what the hub client has brought, as at a local folder; what it has not brought passes.

    Args:
        hub_id: The id.
        config_class: Of the model that is loaded.
        options: Those of `from_pretrained`.

    Raises:
        CheckpointError: As `check_folder`.
    """
    where = {name: options.get(name) for name in ("cache_dir", "revision")}
    name = "/".join(part for part in (options.get("subfolder"), "config.json") if part)
    try:
        config = try_to_load_from_cache(os.fspath(hub_id), name, **where)
    except (TypeError, hub_errors.HFValidationError):
        return
    if isinstance(config, str):
        variant, use_safetensors = options.get("variant"), options.get("use_safetensors")
        check_folder(os.path.dirname(config), config_class, variant, use_safetensors)


def _hint(name_or_path: Any, error: BaseException) -> str | None:
    """What to do about an error of the hub client, or None if its own words say it."""
    if os.path.isdir(name_or_path):
        if os.path.exists(os.path.join(name_or_path, "config.json")):
            return None
        weights = [name for name in files_of_weights(name_or_path) if not name.startswith("adapter_model")]
        if not weights:
            return None
        return (
            f"{name_or_path} must hold config.json to be loaded as a folder, and has only {', '.join(weights)}; pass "
            f"the file itself, as in from_pretrained({os.path.join(name_or_path, weights[0])!r})."
        )
    if not _was_not_found(error):
        return None
    return how_to_get(name_or_path)


def _was_not_found(error: BaseException) -> bool:
    if str(error).startswith(_NO_PROCESSOR):
        return True
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, _NOT_FOUND):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
