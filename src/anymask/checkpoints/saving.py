"""Writing a model in Meta's layout, for Meta's code and what was built on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from ..modeling.fast.int8 import check_not_quantized
from ..support.atomic_files import write_whole
from .architecture import read_architecture
from .key_map import TIED_KEY, hub_to_meta
from .reports import CheckpointError, group_keys

if TYPE_CHECKING:
    from transformers import PreTrainedModel

META_SUFFIXES = (".pth", ".pt", ".safetensors")
_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
# What a configuration carries and a model does not compute with.
_INERT = ("dtype", "initializer_range", "mlp_ratio", "scale", "transformers_version", "_name_or_path", "architectures")


def save_meta_checkpoint(model: PreTrainedModel, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a `SamModel` in Meta's layout, bit for bit, in the model's dtype.

    The file appears whole or not at all, and takes the place of one of the same name. Meta's code computes with an
    epsilon of 1e-5 in the mask decoder's layer norms, whatever the model's configuration says.

    Args:
        model: a whole SAM.
        path: ends in .pth or .pt, or in .safetensors.

    Raises:
        CheckpointError: If Meta's layout cannot say what the model is: reading it back would give another one.
        ValueError: If the file's name ends otherwise, or the image encoder is quantised.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in META_SUFFIXES:
        raise ValueError(f"The file's name must end in one of {', '.join(META_SUFFIXES)}, got {str(path)!r}.")
    check_not_quantized(model)
    tensors = _meta_tensors(model)

    def write(file: BinaryIO) -> None:
        if path.suffix == ".safetensors":
            file.write(safetensors.torch.save(tensors, metadata={"format": "pt"}))
        else:
            torch.save(tensors, file)

    write_whole(path, write)


def _meta_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    state = {name: tensor for name, tensor in model.state_dict().items() if name != TIED_KEY}
    names = hub_to_meta(state)
    unknown = [name for name in state if name not in names]
    if unknown:
        raise CheckpointError(
            f"The model must have the weights of a SAM and no others to be saved in Meta's layout, but has "
            f"{group_keys(unknown)}; merge or remove them first."
        )
    if not any(name.startswith("mask_decoder.") for name in state):
        raise CheckpointError(f"The model must be a whole SAM, got {type(model).__name__}, its image encoder alone.")
    _check_survives(model.config, state)
    return {names[name]: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _check_survives(config: Any, state: dict[str, Tensor]) -> None:
    """Refuses a model that `read_architecture` would read back as another one."""
    read = read_architecture(
        {name: tuple(tensor.shape) for name, tensor in state.items()}, config.mask_decoder_config.layer_norm_eps
    )
    differences = []
    for part in _PARTS:
        ours, theirs = _computed_with(getattr(config, part)), _computed_with(getattr(read, part))
        differences += [
            f"{part}.{name}={value} (would be read as {theirs[name]})"
            for name, value in ours.items()
            if name in theirs and value != theirs[name]
        ]
    if differences:
        raise CheckpointError(
            f"The model must be one that tensors alone describe to be saved in Meta's layout, but they do not say "
            f"{', '.join(differences)}; use save_pretrained, which writes the configuration too."
        )


def _computed_with(config: Any) -> dict[str, Any]:
    """The fields that change what a model computes; windows as the side that each block of the image encoder sees."""
    fields = {name: value for name, value in config.to_dict().items() if name not in _INERT}
    if "window_size" in fields:
        window, global_blocks = fields.pop("window_size"), fields.pop("global_attn_indexes")
        grid = config.image_size // config.patch_size
        fields["sides_seen"] = [
            grid if index in global_blocks or not window else window for index in range(config.num_hidden_layers)
        ]
    return fields
