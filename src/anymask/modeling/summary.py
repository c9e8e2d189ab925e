"""What a model consists of and costs, without running it: layers, parameters, arithmetic, memory.

Arithmetic is counted by `torch.utils.flop_counter`, which sees every matrix product and convolution of the code that
runs, attention included, at the model's own image size. The image encoder, nearly all of it, runs on the meta device,
which has shapes and no values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .attention import BIAS_BYTES, DEFAULT_BIAS_BYTES
from .network import SamNetwork

# How many times the tokens of one block exist at once at the encoder's peak, in the attention of a global block: its
# input and that normalised, queries, keys and values, what they attend to in parts and joined. Measured: 7.5 to 7.7.
_TOKENS_AT_ONCE = 7.6


@dataclass(frozen=True)
class PartInfo:
    """One part of a model.

    Attributes:
        name: "image encoder", "prompt encoder" or "mask decoder".
        layers: modules that contain no others.
        parameters: numbers that are learned or were, each once.
        gradients: those of them that train, i.e. require a gradient.
        gflops: 10^9 floating-point operations, a multiplication and an addition counting as two; see `ModelInfo`.
        weight_bytes: what the parameters take.
    """

    name: str
    layers: int
    parameters: int
    gradients: int
    gflops: float
    weight_bytes: int


@dataclass(frozen=True)
class ModelInfo:
    """A model's parts and what they cost; `str` makes a table.

    The image encoder's cost is that of one image, the others' that of one prompt with one point, to three masks.

    Attributes:
        image_size: side of the model's square input in pixels.
        dtype: of the weights, as in "float32".
        device: type of the device where they are, as in "cpu".
        parts: the model's parts, in the order in which they run.
        activation_bytes: estimate of the bytes that encoding one image needs at its peak, beside the weights and the
            image.

    Examples:
        >>> from anymask import SamModel, model_info
        >>> info = model_info(SamModel.from_pretrained("sam-vit-nano"))
        >>> info.image_size, [part.name for part in info.parts]
        (320, ['image encoder', 'prompt encoder', 'mask decoder'])
    """

    image_size: int
    dtype: str
    device: str
    parts: tuple[PartInfo, ...]
    activation_bytes: int

    @property
    def layers(self) -> int:
        """Modules that contain no others."""
        return sum(part.layers for part in self.parts)

    @property
    def parameters(self) -> int:
        """Numbers that are learned or were."""
        return sum(part.parameters for part in self.parts)

    @property
    def gradients(self) -> int:
        """Parameters that train."""
        return sum(part.gradients for part in self.parts)

    @property
    def gflops(self) -> float:
        """10^9 operations for one image and one prompt."""
        return sum(part.gflops for part in self.parts)

    @property
    def weight_bytes(self) -> int:
        """What the parameters take."""
        return sum(part.weight_bytes for part in self.parts)

    def __str__(self) -> str:
        total = PartInfo(
            "total", self.layers, self.parameters, self.gradients, gflops=self.gflops, weight_bytes=self.weight_bytes
        )
        lines = [f"{'part':<14} {'layers':>6} {'parameters':>11} {'gradients':>11} {'GFLOPs':>9} {'weights':>10}"]
        lines += [
            f"{part.name:<14} {part.layers:>6} {part.parameters:>11,} {part.gradients:>11,} {part.gflops:>9,.2f} "
            f"{_megabytes(part.weight_bytes):>10}"
            for part in (*self.parts, total)
        ]
        lines += [
            f"{self.dtype} on {self.device}; GFLOPs of one prompt and of one image of "
            f"{self.image_size} x {self.image_size} pixels",
            f"activations while an image is encoded: about {_megabytes(self.activation_bytes)}",
        ]
        return "\n".join(lines)


def model_info(model: SamNetwork) -> ModelInfo:
    """What a model consists of and costs; quick for any size, as nothing is computed.

    Args:
        model: on any device, in any floating type.

    Examples:
        >>> from anymask import SamModel, model_info
        >>> info = model_info(SamModel.from_pretrained("sam-vit-nano"))
        >>> info.parameters
        3088800
    """
    modules: dict[str, list[nn.Module]] = {
        "image encoder": [model.vision_encoder],
        "prompt encoder": [model.prompt_encoder, model.shared_image_embedding],
        "mask decoder": [model.mask_decoder],
    }
    gflops = _gflops(model.config)
    return ModelInfo(
        image_size=model.config.vision_config.image_size,
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        parts=tuple(_part_info(name, modules[name], gflops[name]) for name in modules),
        activation_bytes=_activation_bytes(model),
    )


def _part_info(name: str, modules: list[nn.Module], gflops: float) -> PartInfo:
    parameters = {id(parameter): parameter for module in modules for parameter in module.parameters()}.values()
    leaves = {id(leaf) for module in modules for leaf in module.modules() if not any(leaf.children())}
    return PartInfo(
        name=name,
        layers=len(leaves),
        parameters=sum(parameter.numel() for parameter in parameters),
        gradients=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        gflops=gflops,
        weight_bytes=sum(parameter.nbytes for parameter in parameters),
    )


@torch.no_grad()
def _gflops(config: Any) -> dict[str, float]:
    """10^9 operations of each part, from a model of zeros that has one block of each kind."""
    vision = config.vision_config
    blocks = set(range(vision.num_hidden_layers))
    n_global = len(blocks.intersection(vision.global_attn_indexes) if vision.window_size else blocks)
    config = copy.deepcopy(config)
    config.vision_config.num_hidden_layers, config.vision_config.global_attn_indexes = 2, [1]
    with torch.device("meta"):
        model = SamNetwork(config).eval().requires_grad_(False)
        pixel_values = torch.empty(1, vision.num_channels, vision.image_size, vision.image_size)

    encoder = _operations(lambda: model.vision_encoder(pixel_values))
    windowed, of_global = (encoder[f"VisionEncoder.layers.{block}"] for block in (0, 1))
    around = encoder["Global"] - windowed - of_global

    # One prompt is little work, and checks of prompts need values.
    for part in (model.shared_image_embedding, model.prompt_encoder, model.mask_decoder):
        for parameter in part.to_empty(device="cpu").parameters():
            parameter.zero_()
    side = vision.image_size // vision.patch_size
    embeddings = torch.zeros(1, vision.output_channels, side, side, device="cpu")
    point = torch.zeros(1, 1, 1, 2, device="cpu")
    decoding = _operations(lambda: model(image_embeddings=embeddings, input_points=point))
    operations = {
        "image encoder": around + n_global * of_global + (vision.num_hidden_layers - n_global) * windowed,
        "prompt encoder": decoding["Global"] - decoding["SamNetwork.mask_decoder"],
        "mask decoder": decoding["SamNetwork.mask_decoder"],
    }
    return {name: count / 1e9 for name, count in operations.items()}


def _operations(run: Callable[[], Any]) -> dict[str, int]:
    """Operations of each module that runs, by its name, and of all as "Global"."""
    with FlopCounterMode(display=False) as counter:
        run()
    return {name: sum(by_kind.values()) for name, by_kind in counter.get_flop_counts().items()}


def _activation_bytes(model: SamNetwork) -> int:
    """The tokens of a global block, their relative positions, and the bias made of these, as much as exists at once."""
    vision, value_bytes = model.config.vision_config, model.dtype.itemsize
    side = vision.image_size // vision.patch_size
    n_tokens = side * side
    relative = 2 * vision.num_attention_heads * n_tokens * side * value_bytes if vision.use_rel_pos else 0
    bias = vision.num_attention_heads * n_tokens**2 * value_bytes if vision.use_rel_pos else 0
    at_once = min(bias, BIAS_BYTES.get(model.device.type, DEFAULT_BIAS_BYTES))
    return int(_TOKENS_AT_ONCE * n_tokens * vision.hidden_size * value_bytes) + relative + at_once


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
