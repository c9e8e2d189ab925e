"""From a file of weights to a SAM's tensors under the hub's names, checked, and what model they make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from ..configuration_sam import META_DECODER_LAYER_NORM_EPS, SamConfig, SamVisionConfig
from ..support.unknown_names import did_you_mean
from ..weights.names import recognise_file_name
from .folders import check_model_type
from .formats.architecture import OTHER_KEYS, VISION_KEYS, read_architecture
from .formats.containers import unwrap
from .formats.files import WEIGHT_SUFFIXES, read_tensors
from .formats.key_map import HUB_PARTS, META_PARTS, TIED_KEY, TIED_TO, hub_to_meta, meta_to_hub
from .formats.other_models import recognise_relative
from .reports import CheckpointError, check_tensors, group_keys

_HUB_DECODER_LAYER_NORM_EPS = 1e-6


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors and what they are.

    Attributes:
        path: The file.
        layout: "Meta" or "hub", whose names the file uses.
        tensors: Under the hub's names; names that SAM does not have are as in the file. Backed by the file.
        config: Of the whole SAM, read from shapes; for the hub's layout, from a `config.json` beside the file.
        dtype: The widest among the tensors.
    """

    path: str
    layout: str
    tensors: Mapping[str, Tensor]
    config: SamConfig
    dtype: torch.dtype

    def describe(self) -> str:
        """Say in words what the file looks like."""
        vision = self.config.vision_config
        return (
            f"a SAM in {self.layout}'s layout whose image encoder has {vision.num_hidden_layers} blocks of width "
            f"{vision.hidden_size} for {vision.image_size} x {vision.image_size} pixels ({len(self.tensors)} tensors)"
        )

    def names_in_file(self, names: list[str]) -> list[str]:
        """The file's own names for the hub's."""
        in_meta = hub_to_meta([*self.tensors, *names]) if self.layout == "Meta" else {}
        return [in_meta.get(name, name) for name in names]


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a file of weights in Meta's layout or the hub's, wrapped or not, and what model they make.

    Raises:
        OSError: If there is no readable file.
        CheckpointError: If it does not hold a SAM.
    """
    path = os.fspath(path)
    layout, tensors = read_named_tensors(path)
    _check_tells_what_it_is(path, layout, tensors)
    config = _config_beside(path) if layout == "hub" else None
    if config is None:
        eps = META_DECODER_LAYER_NORM_EPS if layout == "Meta" else _HUB_DECODER_LAYER_NORM_EPS
        try:
            config = read_architecture({name: tuple(tensor.shape) for name, tensor in tensors.items()}, eps)
        except CheckpointError as error:
            raise CheckpointError(f"{path} must hold a SAM, but {error}.") from error
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors.values()))
    return Checkpoint(path, layout, tensors, config, dtype=dtype)


def read_named_tensors(path: str) -> tuple[str, dict[str, Tensor]]:
    """Read a file that holds a SAM or parts of one.

    Args:
        path: The file.

    Returns:
        The layout, "Meta" or "hub", and the tensors under the hub's names, checked and without the tied one.

    Raises:
        OSError: If there is no readable file.
        CheckpointError: If it holds nothing of a SAM, another model, or tensors that no model computes with.
    """
    if not os.path.lexists(path):
        raise FileNotFoundError(_not_found(path))
    tensors = unwrap(read_tensors(path), path)
    relative = recognise_relative(tensors)
    if relative:
        raise CheckpointError(
            f"{path} must hold a SAM, but it looks like {relative}, which is another model ({group_keys(tensors)}); "
            f"load it with the code that it was made for."
        )
    if not any(name.startswith((*META_PARTS, *HUB_PARTS)) for name in tensors):
        raise CheckpointError(f"{path} must hold a SAM, but it holds other tensors: {group_keys(tensors)}.")
    check_tensors(path, tensors)
    from_meta, is_hub = meta_to_hub(tensors), hub_to_meta(tensors)
    if len(from_meta) >= len(is_hub):  # the layouts share some names; who knows more of them is right
        return "Meta", {from_meta.get(name, name): tensor for name, tensor in tensors.items()}
    renamed = {name: tensor for name, tensor in tensors.items() if name != TIED_KEY}
    if TIED_KEY in tensors:
        renamed.setdefault(TIED_TO, tensors[TIED_KEY])
    return "hub", renamed


def _check_tells_what_it_is(path: str, layout: str, tensors: Mapping[str, Tensor]) -> None:
    needed = [*VISION_KEYS, *(OTHER_KEYS if any(key in tensors for key in OTHER_KEYS) else ())]
    missing = [name for name in needed if name not in tensors]
    if missing:
        in_file = hub_to_meta(missing) if layout == "Meta" else {}
        found = sorted({_part_in_file(name, layout) for name in tensors})
        raise CheckpointError(
            f"{path} must hold a whole SAM, but lacks {group_keys(in_file.get(name, name) for name in missing)}; it "
            f"has {len(tensors)} tensors, of {', '.join(found)}. Where it is a part of one, pass the whole that it "
            f"belongs to, as in from_pretrained({path!r}, base='facebook/sam-vit-base')."
        )


def _part_in_file(name: str, layout: str) -> str:
    """The part of a model that a tensor under the hub's name belongs to, as the file's layout calls it."""
    part = name.split(".")[0]
    is_renamed = layout == "Meta" and part == "vision_encoder"
    return "image_encoder" if is_renamed else part


def _config_beside(path: str) -> SamConfig | None:
    """The configuration that lies with a file in the hub's layout, as `save_pretrained` leaves them."""
    beside = Path(path).with_name("config.json")
    if not beside.is_file():
        return None
    check_model_type(beside.parent, SamConfig.model_type)
    fields = PreTrainedConfig.get_config_dict(beside.parent)[0]
    if fields.get("model_type") == SamVisionConfig.model_type:
        return None  # the image encoder alone, whose shapes say enough
    try:
        return SamConfig.from_dict(fields)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{beside}, beside the file, must be a SAM's configuration, but: {error}") from error


def _not_found(path: str) -> str:
    relative = recognise_file_name(path)
    if relative:
        return (
            f"{path!r} must be a file of weights, but there is none; and by its name it is one of {relative}, another "
            f"model, which anymask does not load."
        )
    folder, name = os.path.split(path)
    siblings = os.listdir(folder or os.curdir) if os.path.isdir(folder or os.curdir) else []
    weights = [sibling for sibling in siblings if os.path.splitext(sibling)[1].lower() in WEIGHT_SUFFIXES]
    elsewhere = (
        "Meta's files come from https://github.com/facebookresearch/segment-anything; the hub has the same weights as "
        "'facebook/sam-vit-base', '-large' and '-huge'; 'sam-vit-nano' is in this package and needs no network."
    )
    return f"{path!r} must be a file of weights, but there is none; {did_you_mean(name, weights, otherwise=elsewhere)}"
