"""Writing a model in Meta's layout, for Meta's code and what was built on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from ..modeling.fast.int8 import check_not_quantized
from ..support.atomic_files import write_whole
from .formats.architecture import read_architecture
from .formats.key_map import TIED_KEY, hub_to_meta
from .reports import CheckpointError, group_keys

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..configuration_sam import SamConfig

# Fields that tensors do not say, and that are arguments of Meta's classes.
_ARGUMENTS_OF_META = {
    "vision_config": ("num_attention_heads", "hidden_act", "layer_norm_eps", "sides_seen"),
    "prompt_encoder_config": ("hidden_act",),
    "mask_decoder_config": ("num_attention_heads", "hidden_act"),
}
_ACTIVATIONS = {"gelu": "GELU", "relu": "ReLU"}

META_SUFFIXES = (".pth", ".pt", ".safetensors")
_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
# What a configuration carries and a model does not compute with.
_INERT = ("dtype", "initializer_range", "mlp_ratio", "scale", "transformers_version", "_name_or_path", "architectures")


def save_meta_checkpoint(model: PreTrainedModel, path: str | os.PathLike[str]) -> str | None:
    """Write the weights of a `SamModel` in Meta's layout, bit for bit, in the model's dtype.

    The file appears whole or not at all, and takes the place of one of the same name. Meta's code computes with an
    epsilon of 1e-5 in the mask decoder's layer norms, whatever the model's configuration says.

    Args:
        model: A whole SAM.
        path: Ends in .pth or .pt, or in .safetensors.

    Returns:
        None where the tensors say what the model is. Else what builds it with Meta's package, as Python;
        `from_pretrained` then needs `config=` to read the file.

    Raises:
        CheckpointError: If no model of Meta's package computes what this one does.
        ValueError: If the file's name ends otherwise, or the image encoder is quantised.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in META_SUFFIXES:
        raise ValueError(f"The file's name must end in one of {', '.join(META_SUFFIXES)}, got {str(path)!r}.")
    check_not_quantized(model)
    tensors = _meta_tensors(model)
    unsaid = _check_can_be_built(
        model.config, {name: tuple(tensor.shape) for name, tensor in _own_state(model).items()}
    )

    def write(file: BinaryIO) -> None:
        if path.suffix == ".safetensors":
            file.write(safetensors.torch.save(tensors, metadata={"format": "pt"}))
        else:
            torch.save(tensors, file)

    write_whole(path, write)
    return build_with_meta(model.config, path) if unsaid else None


def build_with_meta(config: SamConfig, path: str | os.PathLike[str]) -> str:
    """Write Python that builds a model with Meta's package and loads its weights.

    Args:
        config: Of the model.
        path: Of the file in Meta's layout.
    """
    vision, prompt, decoder = config.vision_config, config.prompt_encoder_config, config.mask_decoder_config
    grid, side = vision.image_size // vision.patch_size, vision.image_size
    ratio = vision.mlp_dim / vision.hidden_size
    if int(vision.hidden_size * ratio) != vision.mlp_dim:  # Meta's code rounds down
        ratio = (vision.mlp_dim + 0.5) / vision.hidden_size
    read = "safetensors.torch.load_file" if Path(path).suffix == ".safetensors" else "torch.load"
    return f"""\
import functools
import {read.rpartition(".")[0]}
import torch.nn
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

sam = Sam(
    ImageEncoderViT(
        img_size={side}, patch_size={vision.patch_size}, in_chans={vision.num_channels}, embed_dim={vision.hidden_size},
        depth={vision.num_hidden_layers}, num_heads={vision.num_attention_heads}, out_chans={vision.output_channels},
        mlp_ratio={ratio}, qkv_bias={vision.qkv_bias},
        norm_layer=functools.partial(torch.nn.LayerNorm, eps={vision.layer_norm_eps}),
        act_layer=torch.nn.{_ACTIVATIONS[vision.hidden_act]}, use_abs_pos={vision.use_abs_pos},
        use_rel_pos={vision.use_rel_pos}, window_size={vision.window_size},
        global_attn_indexes={[index for index in vision.global_attn_indexes if index < vision.num_hidden_layers]},
    ),
    PromptEncoder(
        embed_dim={prompt.hidden_size}, image_embedding_size=({grid}, {grid}), input_image_size=({side}, {side}),
        mask_in_chans={prompt.mask_input_channels}, activation=torch.nn.{_ACTIVATIONS[prompt.hidden_act]},
    ),
    MaskDecoder(
        transformer_dim={decoder.hidden_size}, num_multimask_outputs={decoder.num_multimask_outputs},
        iou_head_depth={decoder.iou_head_depth}, iou_head_hidden_dim={decoder.iou_head_hidden_dim},
        transformer=TwoWayTransformer(
            depth={decoder.num_hidden_layers}, embedding_dim={decoder.hidden_size}, mlp_dim={decoder.mlp_dim},
            num_heads={decoder.num_attention_heads}, activation=torch.nn.{_ACTIVATIONS[decoder.hidden_act]},
            attention_downsample_rate={decoder.attention_downsample_rate},
        ),
    ),
).eval()
sam.load_state_dict({read}({os.fspath(path)!r}))
"""


def _meta_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    state = _own_state(model)
    names = hub_to_meta(state)
    unknown = [name for name in state if name not in names]
    if unknown:
        raise CheckpointError(
            f"The model must have the weights of a SAM and no others to be saved in Meta's layout, but has "
            f"{group_keys(unknown)}; merge or remove them first."
        )
    if not any(name.startswith("mask_decoder.") for name in state):
        raise CheckpointError(f"The model must be a whole SAM, got {type(model).__name__}, its image encoder alone.")
    return {names[name]: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _own_state(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name != TIED_KEY}


def _check_can_be_built(config: SamConfig, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Name the fields that `read_architecture` would take to be others, after a check that Meta's package has them.

    Raises:
        CheckpointError: If it has not.
    """
    read = read_architecture(shapes, config.mask_decoder_config.layer_norm_eps)
    unsaid, impossible = [], []
    for part in _PARTS:
        ours, theirs = _computed_with(getattr(config, part)), _computed_with(getattr(read, part))
        for name, value in ours.items():
            if name in theirs and value != theirs[name]:
                unsaid.append(f"{part}.{name}={value}")
                is_argument = name in _ARGUMENTS_OF_META.get(part, ()) and (
                    name != "hidden_act" or value in _ACTIVATIONS
                )
                if not is_argument:
                    impossible.append(f"{part}.{name}={value} ({theirs[name]} there)")
    if impossible:
        raise CheckpointError(
            f"The model must be one that Meta's package can build to be saved in Meta's layout, but it has no argument "
            f"for {', '.join(impossible)}; use save_pretrained, which writes the configuration too."
        )
    return unsaid


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
