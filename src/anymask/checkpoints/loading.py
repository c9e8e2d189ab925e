"""From a name or a path to a model: what `from_pretrained` does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from ..configuration_sam import SamVisionConfig
from ..geometry.coordinates import MASK_PIXELS_PER_PATCH
from ..weights.hub import options_for_hub
from ..weights.names import resolve_checkpoint
from .adapters import adapter_folder, load_adapter, load_part
from .folders import check_folder
from .formats.files import WEIGHT_SUFFIXES
from .formats.key_map import HUB_PARTS, TIED_KEY
from .formats.other_models import recognise_relative
from .hub import check_cached, explained_errors
from .reading import Checkpoint, read_checkpoint
from .reports import CheckpointError, find_misshapen, key_problems


def is_checkpoint_file(name_or_path: Any) -> bool:
    """Whether this stands for a file of weights: a file, a broken link, or a missing file with a name like one."""
    if not isinstance(name_or_path, str | os.PathLike) or os.path.isdir(name_or_path):
        return False
    suffix = os.path.splitext(name_or_path)[1].lower()
    return suffix in WEIGHT_SUFFIXES or (os.path.lexists(name_or_path) and suffix != ".json")


def load_pretrained(
    model_class: Any, load: Callable[..., Any], name_or_path: Any, *model_args: Any, **kwargs: Any
) -> Any:
    """Load a model from a file, a folder or the hub, and refuse weights that are not all of a SAM's.

    Args:
        model_class: `SamModel`, `SamVisionModel` or a subclass.
        load: `from_pretrained` of transformers, for this class.
        name_or_path: As `from_pretrained` takes it, or a file.
        *model_args: For the model's constructor.
        **kwargs: As `from_pretrained` takes them; for a file, those about the hub have no effect. And `base`: the whole
            SAM that a file with a part of one, or an adapter of peft, is put onto.

    Returns:
        What `load` returns.

    Raises:
        ImportError: If the checkpoint is an adapter and peft is not installed.
        OSError: If the checkpoint is not to be had.
        CheckpointError: If it is not this model's.
    """
    base = kwargs.pop("base", None)
    if name_or_path is None:  # a configuration and a state dict in place of a name
        return load(name_or_path, *model_args, **kwargs)

    def load_base(base: Any) -> Any:
        return load_pretrained(model_class, load, resolve_checkpoint(base), *model_args, **kwargs)

    adapter = adapter_folder(name_or_path)
    if adapter is not None:
        return load_adapter(load_base, adapter, base)
    if is_checkpoint_file(name_or_path):
        if base is not None:
            return load_part(load_base, os.fspath(name_or_path), base)
        return _load_file(model_class, load, name_or_path, *model_args, **kwargs)
    if base is not None:
        raise ValueError(
            f"`base` must come with a file that holds a part of a SAM, or with an adapter of peft, but {name_or_path} "
            f"is neither; leave it out to load a whole SAM."
        )
    return _load_folder(model_class, load, name_or_path, *model_args, **kwargs)


def check_nothing_is_offloaded(device_map: Mapping[str, Any]) -> None:
    """Refuse a map under which accelerate brings weights in only while the module that holds them runs.

    The parts of SAM also read weights of the modules inside them, and would find none.

    Args:
        device_map: What accelerate made of the argument: devices by the name of a module.

    Raises:
        ValueError: If a module is on disk, or on the CPU while others are on an accelerator.
    """
    devices = {str(device) for device in device_map.values()}
    idle = {"disk"} if devices <= {"cpu", "disk"} else {"cpu", "disk"}
    offloaded = sorted(name or "the model" for name, device in device_map.items() if str(device) in idle)
    if offloaded:
        raise ValueError(
            f"`device_map` must keep every part of SAM on a device that computes, but offloads {', '.join(offloaded)}; "
            f"load it on one device, such as device_map='cpu' or 'cuda', or with half the bytes by dtype='bfloat16'."
        )


def processor_options(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Options of the image processor for a file of weights: SAM's own, at the size that the file's model takes.

    Those that lie beside a file in the hub's layout are taken instead. MedSAM's files have the shapes of SAM's, so that
    its preprocessing must be asked for.
    """
    checkpoint = read_checkpoint(path)
    beside = Path(path).with_name("preprocessor_config.json")
    if checkpoint.layout == "hub" and beside.is_file():
        return json.loads(beside.read_text(encoding="utf-8"))
    vision = checkpoint.config.vision_config
    return default_processor_options(vision.image_size, vision.patch_size)


def default_processor_options(image_size: int, patch_size: int) -> dict[str, Any]:
    """Options of the image processor with which SAM was trained, for an input of another side, both in pixels."""
    masks = MASK_PIXELS_PER_PATCH * (image_size // patch_size)
    return dict(
        size={"longest_edge": image_size},
        pad_size={"height": image_size, "width": image_size},
        mask_size={"longest_edge": masks},
        mask_pad_size={"height": masks, "width": masks},
    )


def _load_folder(model_class: Any, load: Callable[..., Any], name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
    """Load a folder or the hub's, which is looked at before where it is here, and after where it must be fetched."""
    config_class = model_class.config_class if kwargs.get("config") is None else None
    is_local = os.path.isdir(name_or_path)
    if is_local:
        folder = os.path.join(name_or_path, kwargs.get("subfolder") or "")
        check_folder(folder, config_class, kwargs.get("variant"), kwargs.get("use_safetensors"))
    wants_info = kwargs.pop("output_loading_info", False)
    allow_misshapen = kwargs.pop("ignore_mismatched_sizes", False)
    kwargs = options_for_hub(name_or_path, kwargs)
    try:
        with explained_errors(name_or_path):
            model, info = load(
                name_or_path, *model_args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
            )
    except Exception:
        if not is_local:
            check_cached(name_or_path, config_class, kwargs)  # in our words, where the files are at fault
        raise
    _check_loaded(name_or_path, info, {name for name, _ in model.named_children()}, allow_misshapen)
    if not is_local:
        check_cached(name_or_path, config_class, kwargs)
    return (model, info) if wants_info else model


def _load_file(
    model_class: Any, load: Callable[..., Any], path: str | os.PathLike[str], *model_args: Any, **kwargs: Any
) -> Any:
    checkpoint = read_checkpoint(path)
    config = _model_config(model_class, checkpoint, kwargs.pop("config", None))
    with torch.device("meta"):
        skeleton = model_class(config, *model_args)
    expected = {name: tensor.shape for name, tensor in skeleton.state_dict().items() if name != TIED_KEY}
    tensors = _fitting_tensors(checkpoint, expected, kwargs.pop("ignore_mismatched_sizes", False))
    for name in ("dtype", "torch_dtype"):
        if kwargs.get(name) in (None, "auto"):
            kwargs.pop(name, None)
    if not kwargs.keys() & {"dtype", "torch_dtype"}:
        kwargs["dtype"] = checkpoint.dtype
    # Copied, so that the model does not hang on a file that may change.
    loaded = load(None, *model_args, config=config, state_dict={k: v.clone() for k, v in tensors.items()}, **kwargs)
    model = loaded[0] if isinstance(loaded, tuple) else loaded
    model.config.name_or_path = model.name_or_path = os.fspath(path)
    return loaded


def _model_config(model_class: Any, checkpoint: Checkpoint, given: Any) -> PreTrainedConfig:
    if given is None:
        is_vision = issubclass(model_class.config_class, SamVisionConfig)
        return checkpoint.config.vision_config if is_vision else checkpoint.config
    return given if isinstance(given, PreTrainedConfig) else model_class.config_class.from_pretrained(given)


def _fitting_tensors(
    checkpoint: Checkpoint, expected: Mapping[str, torch.Size], allow_misshapen: bool
) -> dict[str, Tensor]:
    """The tensors that the model has, after a check that they are all of its parts of a SAM.

    Raises:
        CheckpointError: If keys are missing, unexpected or misshapen.
    """
    parts = tuple(part for part in HUB_PARTS if any(name.startswith(part) for name in expected))
    other_parts = tuple(set(HUB_PARTS) - set(parts))
    tensors = {name: tensor for name, tensor in checkpoint.tensors.items() if not name.startswith(other_parts)}
    missing = [name for name in expected if name not in tensors and name.startswith(HUB_PARTS)]
    unexpected = [name for name in tensors if name not in expected]
    misshapen = find_misshapen(tensors, expected)
    shown = dict(zip(misshapen, checkpoint.names_in_file(list(misshapen)), strict=True))
    problems = key_problems(
        checkpoint.names_in_file(missing),
        checkpoint.names_in_file(unexpected),
        {} if allow_misshapen else {shown[name]: shapes for name, shapes in misshapen.items()},
    )
    if problems:
        onto = " Where it is a part of a SAM, pass the whole as base=..." if len(missing) > len(tensors) // 2 else ""
        raise CheckpointError(
            f"{checkpoint.path} must have all weights of this model and no others, but {problems}. "
            f"It looks like {checkpoint.describe()}.{onto}"
        )
    return {name: tensor for name, tensor in tensors.items() if name not in misshapen}


def _check_loaded(name_or_path: Any, info: Mapping[str, Any], parts: Collection[str], allow_misshapen: bool) -> None:
    """Refuse weights from a folder or the hub that leave parts of a SAM at random.

    What a subclass has beyond SAM may be missing: that is how a new head is trained.

    Args:
        name_or_path: For the message.
        info: Of transformers' loading: missing, unexpected and mismatched keys.
        parts: Names of the model's own modules; what else belongs to a SAM may be there.
        allow_misshapen: Whether the caller asked to ignore shapes (`ignore_mismatched_sizes=True`).

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
