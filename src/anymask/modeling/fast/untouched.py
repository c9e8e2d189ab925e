"""Whether a decoder is what its weights say: the fast way reads weights where the plain one calls layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..layers import LayerNorm2d, Mlp
from ..mask_decoder import FeedForward, MaskDecoder
from ..two_way_transformer import DecoderAttention, TwoWayAttentionBlock, TwoWayTransformer

_PARTS = {MaskDecoder, TwoWayTransformer, TwoWayAttentionBlock, DecoderAttention, FeedForward, Mlp, nn.ModuleList}
_LAYERS = {nn.Linear, nn.LayerNorm, LayerNorm2d, nn.ConvTranspose2d, nn.Embedding}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_untouched(decoder: nn.Module) -> bool:
    """Whether every module of a mask decoder computes from its weights what its class does, and nothing else.

    Not where one was adapted (LoRA), pruned, parametrised, quantised, sharded, compiled, offloaded or replaced, has no
    bias, or has a hook that waits to be called: then modules must be called, and their weights say little.
    """
    # Hooks for all modules of the program, as profilers set them.
    if torch.nn.modules.module._has_any_global_hook():
        return False
    return all(_is_untouched(module) for module in decoder.modules())


def _is_untouched(module: nn.Module) -> bool:
    attributes = vars(module)
    if "forward" in attributes or attributes.get("_compiled_call_impl") is not None:  # accelerate's, module.compile()
        return False
    if any(attributes[name] for name in _HOOKS):
        return False
    kind, weights = type(module), attributes["_parameters"]
    if kind in _LAYERS:
        # Weights of a type of their own have products of their own (torchao, DTensor).
        return all(type(weight) in (nn.Parameter, Tensor) for weight in weights.values())
    return kind in _PARTS or not (weights or attributes["_modules"])  # activations, which are called
