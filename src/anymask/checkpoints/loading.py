"""From a file to a model: what `from_pretrained` does with a path."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from ..configuration_sam import META_DECODER_LAYER_NORM_EPS, SamConfig, SamVisionConfig
from ..geometry.coordinates import MASK_PIXELS_PER_PATCH
from ..support.unknown_names import did_you_mean
from .architecture import OTHER_KEYS, VISION_KEYS, read_architecture
from .containers import unwrap
from .files import WEIGHT_SUFFIXES, read_tensors
from .hub import check_loaded, check_model_type, explained_errors
from .key_map import HUB_PARTS, META_PARTS, TIED_KEY, TIED_TO, hub_to_meta, meta_to_hub
from .other_models import recognise_relative
from .reports import CheckpointError, group_keys, key_problems

_HUB_DECODER_LAYER_NORM_EPS = 1e-6
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors and what they are.

    Attributes:
        path: the file.
        layout: "Meta" or "hub", whose names the file uses.
        tensors: under the hub's names; names that SAM does not have are as in the file. Backed by the file.
        config: of the whole SAM, read from shapes; for the hub's layout, from a `config.json` beside the file.
        dtype: the widest among the tensors.
    """

    path: str
    layout: str
    tensors: Mapping[str, Tensor]
    config: SamConfig
    dtype: torch.dtype

    def describe(self) -> str:
        """What the file looks like, in words."""
        vision = self.config.vision_config
        return (
            f"a SAM in {self.layout}'s layout whose image encoder has {vision.num_hidden_layers} blocks of width "
            f"{vision.hidden_size} for {vision.image_size} x {vision.image_size} pixels ({len(self.tensors)} tensors)"
        )

    def names_in_file(self, names: list[str]) -> list[str]:
        """The file's own names for the hub's."""
        in_meta = hub_to_meta([*self.tensors, *names]) if self.layout == "Meta" else {}
        return [in_meta.get(name, name) for name in names]


def is_checkpoint_file(name_or_path: Any) -> bool:
    """Whether this stands for a file of weights: a file, a broken link, or a missing file with a name like one."""
    if not isinstance(name_or_path, str | os.PathLike) or os.path.isdir(name_or_path):
        return False
    suffix = os.path.splitext(name_or_path)[1].lower()
    return suffix in WEIGHT_SUFFIXES or (os.path.lexists(name_or_path) and suffix != ".json")


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a file of weights in Meta's layout or the hub's, wrapped or not, and what model they make.

    Raises:
        OSError: If there is no readable file.
        CheckpointError: If it does not hold a SAM.
    """
    path = os.fspath(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(_not_found(path))
    tensors = unwrap(read_tensors(path), path)
    layout, renamed = _to_hub_names(path, tensors)
    _check_dtypes(path, tensors)
    tensors = renamed
    config = _config_beside(path) if layout == "hub" else None
    if config is None:
        eps = META_DECODER_LAYER_NORM_EPS if layout == "Meta" else _HUB_DECODER_LAYER_NORM_EPS
        try:
            config = read_architecture({name: tuple(tensor.shape) for name, tensor in tensors.items()}, eps)
        except CheckpointError as error:
            raise CheckpointError(f"{path} must hold a SAM, but {error}.") from error
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors.values()))
    return Checkpoint(path, layout, tensors, config, dtype)


def load_pretrained(
    model_class: Any, load: Callable[..., Any], name_or_path: Any, *model_args: Any, **kwargs: Any
) -> Any:
    """Loads a model from a file, a folder or the hub, and refuses weights that are not all of a SAM's.

    Args:
        model_class: `SamModel`, `SamVisionModel` or a subclass.
        load: `from_pretrained` of transformers, for this class.
        name_or_path: as `from_pretrained` takes it, or a file.
        *model_args: for the model's constructor.
        **kwargs: as `from_pretrained` takes them; for a file, those about the hub have no effect.

    Returns:
        What `load` returns.

    Raises:
        OSError: If the checkpoint is not to be had.
        CheckpointError: If it is not this model's.
    """
    if name_or_path is None:  # a configuration and a state dict in place of a name
        return load(name_or_path, *model_args, **kwargs)
    if is_checkpoint_file(name_or_path):
        return _load_file(model_class, load, name_or_path, *model_args, **kwargs)
    check_model_type(name_or_path, model_class.config_class.model_type)
    wants_info = kwargs.pop("output_loading_info", False)
    allow_misshapen = kwargs.pop("ignore_mismatched_sizes", False)
    with explained_errors(name_or_path):
        model, info = load(name_or_path, *model_args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs)
    check_loaded(name_or_path, info, {name for name, _ in model.named_children()}, allow_misshapen)
    return (model, info) if wants_info else model


def processor_options(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Options of the image processor for a file of weights: SAM's own, at the size that the file's model takes.

    Those that lie beside a file in the hub's layout are taken instead. MedSAM's files have the shapes of SAM's, so that
    its preprocessing must be asked for.
    """
    checkpoint = read_checkpoint(path)
    beside = Path(path).with_name("preprocessor_config.json")
    if checkpoint.layout == "hub" and beside.is_file():
        return json.loads(beside.read_text(encoding="utf-8"))
    return default_processor_options(checkpoint.config.vision_config)


def default_processor_options(config: SamVisionConfig) -> dict[str, Any]:
    """Options of the image processor with which SAM was trained, at the size that this image encoder takes."""
    image, masks = config.image_size, MASK_PIXELS_PER_PATCH * (config.image_size // config.patch_size)
    return dict(
        size={"longest_edge": image},
        pad_size={"height": image, "width": image},
        mask_size={"longest_edge": masks},
        mask_pad_size={"height": masks, "width": masks},
    )


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
    misshapen = {
        name: (tuple(tensor.shape), tuple(expected[name]))
        for name, tensor in tensors.items()
        if name in expected and tensor.shape != expected[name]
    }
    shown = dict(zip(misshapen, checkpoint.names_in_file(list(misshapen)), strict=True))
    problems = key_problems(
        checkpoint.names_in_file(missing),
        checkpoint.names_in_file(unexpected),
        {} if allow_misshapen else {shown[name]: shapes for name, shapes in misshapen.items()},
    )
    if problems:
        raise CheckpointError(
            f"{checkpoint.path} must have all weights of this model and no others, but {problems}. "
            f"It looks like {checkpoint.describe()}."
        )
    return {name: tensor for name, tensor in tensors.items() if name not in misshapen}


def _to_hub_names(path: str, tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The layout, and the tensors under the hub's names, of a file that can be a SAM's.

    Raises:
        CheckpointError: If it is another model's, or lacks what tells what it is.
    """
    relative = recognise_relative(tensors)
    if relative:
        raise CheckpointError(
            f"{path} must hold a SAM, but it looks like {relative}, which is another model ({group_keys(tensors)}); "
            f"load it with the code that it was made for."
        )
    if not any(name.startswith((*META_PARTS, *HUB_PARTS)) for name in tensors):
        raise CheckpointError(f"{path} must hold a SAM, but it holds other tensors: {group_keys(tensors)}.")
    is_meta = any(name.startswith("image_encoder.") for name in tensors) or not any(
        name.startswith(("vision_encoder.", "shared_image_embedding.")) for name in tensors
    )
    if is_meta:
        names = meta_to_hub(tensors)
        renamed = {names.get(name, name): tensor for name, tensor in tensors.items()}
    else:
        renamed = {name: tensor for name, tensor in tensors.items() if name != TIED_KEY}
        if TIED_KEY in tensors:
            renamed.setdefault(TIED_TO, tensors[TIED_KEY])
    needed = [*VISION_KEYS, *(OTHER_KEYS if any(key in renamed for key in OTHER_KEYS) else ())]
    missing = [name for name in needed if name not in renamed]
    if missing:
        found = sorted({name.split(".")[0] for name in tensors})
        in_file = hub_to_meta(missing) if is_meta else {}
        raise CheckpointError(
            f"{path} must hold a SAM, but lacks {group_keys(in_file.get(name, name) for name in missing)}; it has "
            f"{len(tensors)} tensors, of {', '.join(found)}."
        )
    return ("Meta" if is_meta else "hub"), renamed


def _check_dtypes(path: str, tensors: Mapping[str, Tensor]) -> None:
    wrong = {name: tensor.dtype for name, tensor in tensors.items() if tensor.dtype not in _DTYPES}
    if wrong:
        dtypes = ", ".join(sorted({str(dtype).removeprefix("torch.") for dtype in wrong.values()}))
        raise CheckpointError(
            f"{path} must hold weights of {', '.join(str(dtype).removeprefix('torch.') for dtype in _DTYPES)}, but "
            f"{group_keys(wrong)} are {dtypes}; take the file from before it was quantised."
        )


def _config_beside(path: str) -> SamConfig | None:
    """The configuration that lies with a file in the hub's layout, as `save_pretrained` leaves them."""
    beside = Path(path).with_name("config.json")
    if not beside.is_file():
        return None
    check_model_type(beside.parent, SamConfig.model_type)
    fields = PreTrainedConfig.get_config_dict(beside.parent)[0]
    if fields.get("model_type") == SamVisionConfig.model_type:
        return None  # the image encoder alone, whose shapes say enough
    return SamConfig.from_dict(fields)


def _not_found(path: str) -> str:
    folder, name = os.path.split(path)
    siblings = os.listdir(folder or os.curdir) if os.path.isdir(folder or os.curdir) else []
    weights = [sibling for sibling in siblings if os.path.splitext(sibling)[1].lower() in WEIGHT_SUFFIXES]
    elsewhere = (
        "Meta's files come from https://github.com/facebookresearch/segment-anything; the hub has the same weights as "
        "'facebook/sam-vit-base', '-large' and '-huge'."
    )
    return f"{path!r} must be a file of weights, but there is none; {did_you_mean(name, weights, otherwise=elsewhere)}"
