"""Folders in the hub's layout: looked at before Transformers loads them, so that what is wrong is said in one sentence.

The folder of a checkpoint is `config.json` and the weights: one file, or shards with an index that says which tensor
lies in which. Every file is read as one that is passed alone, by `files.py`, without running anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from .formats.files import WEIGHT_SUFFIXES, read_tensors
from .reports import CheckpointError, check_tensors

_MODEL_TYPES = ("sam", "sam_vision_model")


def check_folder(
    folder: str | os.PathLike[str],
    config_class: Any,
    variant: str | None = None,
    use_safetensors: bool | None = None,
) -> None:
    """Refuse a folder whose configuration or weights cannot be a SAM's.

    What is missing altogether is left to Transformers, which knows where else to look.

    Args:
        folder: The folder that holds `config.json`.
        config_class: Of the model to be loaded; None leaves the configuration alone.
        variant: As in `from_pretrained`: "fp16" stands for `model.fp16.safetensors`.
        use_safetensors: As in `from_pretrained`.

    Raises:
        CheckpointError: If the configuration, the index or a file of weights is damaged, unsafe or another model's.
        OSError: If a shard is missing.
    """
    if config_class is not None and os.path.isfile(os.path.join(folder, "config.json")):
        check_model_type(folder, config_class.model_type)
        try:
            config_class.from_pretrained(folder)
        except (TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{folder} must have a config.json that describes a SAM, but: {error}") from error
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(Path(folder), variant, use_safetensors):
        content = read_tensors(os.fspath(path))
        if not isinstance(content, dict):
            raise CheckpointError(f"{path} must hold a dictionary of tensors, got {type(content).__name__}.")
        tensors.update((name, tensor) for name, tensor in content.items() if isinstance(tensor, Tensor))
    check_tensors(os.fspath(folder), tensors)


def check_model_type(folder: str | os.PathLike[str], own_type: str) -> None:
    """Refuse a local folder whose `config.json` names another model; on the hub, the weights' names tell.

    Raises:
        CheckpointError: If it is another model's.
    """
    path = os.path.join(folder, "config.json")
    if not os.path.isfile(path):
        return
    try:
        model_type = json.loads(Path(path).read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError, RecursionError):
        return  # the configuration's own reader reports it
    if model_type not in (None, "", own_type, *_MODEL_TYPES):
        raise CheckpointError(
            f"{folder} must hold a SAM, but its config.json says model_type {model_type!r}; load it with the "
            f"library that it was made for, transformers.AutoModel perhaps."
        )


def files_of_weights(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the files in a folder that end as files of weights do."""
    return sorted(name for name in os.listdir(folder) if os.path.splitext(name)[1] in WEIGHT_SUFFIXES)


def _weight_files(folder: Path, variant: str | None, use_safetensors: bool | None) -> Iterator[Path]:
    """The files that Transformers would load from a folder: the first kind of four that is there."""
    kinds = []
    if use_safetensors is not False:
        kinds.append(("model", ".safetensors"))
    if not use_safetensors:
        kinds.append(("pytorch_model", ".bin"))
    middle = f".{variant}" if variant else ""
    for stem, suffix in kinds:
        # Transformers calls an index model.safetensors.index.fp16.json
        whole, index = folder / f"{stem}{middle}{suffix}", folder / f"{stem}{suffix}.index{middle}.json"
        if whole.is_file():
            yield whole
            return
        if index.is_file():
            yield from _shards(index)
            return


def _shards(index: Path) -> list[Path]:
    """The shards that an index names, which must lie beside it.

    Raises:
        CheckpointError: If it is no index, or names files elsewhere.
        OSError: If a shard is missing.
    """
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError("its 'weight_map' holds no names of files")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{index} must say under 'weight_map' which tensor lies in which file, but it is damaged "
            f"({type(error).__name__}: {error}); take the index that came with the weights."
        ) from error
    outside = sorted(name for name in names if name in ("", ".", "..") or "/" in name or "\\" in name)
    if outside:
        raise CheckpointError(
            f"{index} must name files beside it, but names {outside[0]!r}; do not load this folder: such an index is "
            f"damaged, or meant to lead elsewhere."
        )
    missing = sorted(name for name in names if not (index.parent / name).is_file())
    if missing:
        raise FileNotFoundError(
            f"{index.parent} must hold all {len(names)} files that {index.name} names, but lacks {', '.join(missing)}; "
            f"download them again."
        )
    return [index.parent / name for name in sorted(names)]
