"""Parts of a SAM onto a whole one: files of a decoder or an encoder, and adapters of peft, merged into the weights."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..weights.names import PACKAGED_CHECKPOINTS, resolve_checkpoint
from .formats.files import read_tensors
from .reading import read_named_tensors
from .reports import CheckpointError, find_misshapen, group_keys, key_problems

_CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def adapter_folder(name_or_path: Any) -> Path | None:
    """The folder of an adapter that peft saved, where this is one, or the file of weights in one."""
    if not isinstance(name_or_path, str | os.PathLike):
        return None
    path = Path(name_or_path)
    folder = path.parent if path.name in _WEIGHTS else path
    return folder if (folder / _CONFIG).is_file() and not (folder / "model.safetensors").exists() else None


def processor_source(name_or_path: Any) -> Any:
    """Where a checkpoint's processor is: for an adapter without one of its own, with the model that it is for."""
    folder = adapter_folder(name_or_path)
    if folder is None or (folder / "preprocessor_config.json").is_file():
        return name_or_path
    return resolve_checkpoint(_base_of(folder))


def load_adapter(load_base: Callable[[Any], Any], folder: Path, base: Any = None) -> Any:
    """Load the model that an adapter is for, and merge the adapter into its weights.

    Args:
        load_base: Called with the base; returns the model.
        folder: Of the adapter.
        base: The model that it is for; None takes the one that the adapter names.

    Raises:
        ImportError: If peft is not installed.
        CheckpointError: If the adapter is damaged, names no base, or belongs to another model.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            read_tensors(os.fspath(folder / name))  # refuses what is damaged or would run code
            break
    else:
        raise CheckpointError(f"{folder} must hold an adapter's weights, {' or '.join(_WEIGHTS)}, but has neither.")
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ImportError(f"{folder} holds an adapter, which needs peft to be loaded: pip install peft") from error
    model = load_base(_base_of(folder) if base is None else base)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks Transformers by names that have been replaced
            # It warns of weights that it lacks, and goes on with random ones.
            warnings.filterwarnings("error", "Found missing adapter keys")
            merged = PeftModel.from_pretrained(model, os.fspath(folder)).merge_and_unload()
    except Exception as error:  # whatever a foreign adapter leads peft to
        first_line = str(error).strip().partition("\n")[0][:300]
        raise CheckpointError(
            f"{folder} must hold an adapter for this model, but peft cannot apply it ({first_line}); pass the model "
            f"that it was made for as base=..."
        ) from error
    return merged.eval()


def load_part(load_base: Callable[[Any], Any], path: str, base: Any) -> Any:
    """Load a whole SAM and replace those weights that a file holds.

    Args:
        load_base: Called with the base; returns the model.
        path: A file with some of a SAM's tensors, in Meta's layout or the hub's.
        base: The whole.

    Raises:
        OSError: If there is no readable file.
        CheckpointError: If it has tensors that the model has not, or of other shapes.
    """
    _, tensors = read_named_tensors(path)
    model = load_base(base)
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    unexpected = [name for name in tensors if name not in own]
    problems = key_problems([], unexpected, find_misshapen(tensors, own))
    if problems:
        raise CheckpointError(
            f"{path} must hold weights of {base}, but {problems}. It has {group_keys(tensors)}; pass the base that it "
            f"was trained on."
        )
    model.load_state_dict(tensors, strict=False)
    return model


def _base_of(folder: Path) -> str:
    """The model that an adapter is for."""
    try:
        base = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
        if not base or not isinstance(base, str):
            raise ValueError(f"base_model_name_or_path is {base!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{folder / _CONFIG} must name the model that the adapter is for, but does not ({error}); pass it as "
            f"from_pretrained({os.fspath(folder)!r}, base='sam-vit-nano'), say."
        ) from error
    packaged = os.path.basename(base)  # which peft knows by the folder where it lay
    return packaged if packaged in PACKAGED_CHECKPOINTS and not os.path.isdir(base) else base
