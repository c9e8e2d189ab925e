"""Low-rank adapters through peft: a few thousand numbers learn, the checkpoint stays as it is.

    adapted = add_adapter(model, "encoder_qv")
    ...                                        # train `adapted` as a model
    merge_adapter(adapted).save_pretrained("mine")    # an ordinary checkpoint, which Transformers loads too

SAM's image encoder has one layer for query, key and value. "encoder_qv" leaves the keys alone by keeping their rows of
the adapter at 0, where they begin; "encoder_qkv" gives each of the three ranks of its own by a block-diagonal adapter.
Which presets exist, and where their numbers are from: docs/fine-tuning.md.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..modeling_sam import SamModel
from ..support.unknown_names import check_known_name

if TYPE_CHECKING:
    from peft import PeftModel

_QKV = r"vision_encoder\.layers\.\d+\.attn\.qkv"
_DECODER = r"mask_decoder\.transformer\..*\.(q_proj|k_proj|v_proj|out_proj)"


@dataclass(frozen=True)
class Preset:
    """Which layers of a model have an adapter, and of what kind.

    Attributes:
        targets: pattern that names of layers match whole, made for a number of encoder blocks.
        rank: unless another is asked for.
        freezes_keys: whether the rows of the keys stay 0.
        is_block_diagonal: whether query, key and value have ranks of their own.
    """

    targets: Callable[[int], str]
    rank: int = 8
    freezes_keys: bool = False
    is_block_diagonal: bool = False


def _late_blocks(count: int) -> str:
    """Attention and MLP of the last half of the blocks."""
    blocks = "|".join(map(str, range(count - count // 2, count)))
    return rf"vision_encoder\.layers\.({blocks})\.(attn\.qkv|mlp\.lin1|mlp\.lin2)"


PRESETS: dict[str, Preset] = {
    "encoder_qv": Preset(lambda _: _QKV, freezes_keys=True),  # SAMed, micro-sam
    "encoder_qkv": Preset(lambda _: _QKV, is_block_diagonal=True),
    "encoder_late": Preset(_late_blocks, rank=32),  # peft-sam (arXiv 2502.00418): the best trade
    "decoder": Preset(lambda _: _DECODER),
    "both": Preset(lambda _: f"{_QKV}|{_DECODER}", freezes_keys=True),  # arXiv 2404.09957: best of 18
}


def add_adapter(model: SamModel, preset: str = "encoder_qv", rank: int | None = None, **lora: Any) -> PeftModel:
    """Freeze a model and put adapters on some of its layers.

    Args:
        model: is changed: its layers are wrapped.
        preset: a name of `PRESETS`.
        rank: of each adapter; by default the preset's.
        **lora: further options of `peft.LoraConfig`; `lora_alpha` is the rank unless given.

    Returns:
        A `peft.PeftModel`, to be trained, saved (the adapter alone) and loaded as peft does.

    Raises:
        ImportError: If peft is not installed.
        ValueError: If there is no such preset.
    """
    check_known_name(preset, PRESETS, "The preset of adapters must be one of anymask's")
    peft = _import_peft()
    chosen = PRESETS[preset]
    rank = chosen.rank if rank is None else rank
    options: dict[str, Any] = {"r": rank, "lora_alpha": rank, **lora}
    if chosen.is_block_diagonal:
        options |= {"r": 3 * options["r"], "lora_alpha": 3 * options["lora_alpha"]}
        options["use_bdlora"] = peft.BdLoraConfig(target_modules_bd_b=["qkv"], nblocks=3)
    blocks = model.config.vision_config.num_hidden_layers
    config = peft.LoraConfig(target_modules=chosen.targets(blocks), **options)
    with warnings.catch_warnings():
        # peft 0.21 asks Transformers by a name that has been replaced.
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        adapted = peft.get_peft_model(model, config)
    if chosen.freezes_keys:
        freeze_keys(adapted)
    return adapted


def freeze_keys(adapted: nn.Module) -> None:
    """Keep the keys' rows of adapters on fused layers as they are: their gradients are 0.

    Call it again after an adapter is loaded to be trained further: the file does not say it.
    """
    for name, parameter in adapted.named_parameters():
        if re.search(r"attn\.qkv\.lora_B\.[^.]+\.weight$", name) and parameter.requires_grad:
            parameter.register_hook(_without_keys)


def merge_adapter(adapted: PeftModel) -> SamModel:
    """The model with the adapters added into its weights: an ordinary one, all of it trainable again."""
    model = adapted.merge_and_unload()
    frozen = model.shared_image_embedding.positional_embedding
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is not frozen)
    return model


def count_trainable(model: nn.Module) -> tuple[int, int]:
    """Numbers that learn, and all of them."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(count for count, learns in counts if learns), sum(count for count, _ in counts)


def _without_keys(gradient: Tensor) -> Tensor:
    query, _, value = gradient.chunk(3)  # rows of a fused layer: queries, keys, values
    return torch.cat([query, torch.zeros_like(query), value])


def _import_peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ImportError("Adapters need peft: pip install 'anymask[adapters]'.") from error
    return peft
