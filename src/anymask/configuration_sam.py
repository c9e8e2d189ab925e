"""Configurations of SAM: image encoder, prompt encoder, mask decoder, and the three together.

Field names and defaults are those of the hub's `config.json` files (facebook/sam-vit-base, -large, -huge,
wanglab/medsam-vit-base, SlimSAM), which load unchanged. Sizes that do not fit together are refused on construction.
Next in reading order: `modeling/network.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedConfig

from .support.unknown_names import did_you_mean
from .support.values import Rule, check_values, is_number, is_whole
from .weights.hub import how_to_get, options_for_hub
from .weights.names import resolve_checkpoint


def _square_size(name: str, value: int | Sequence[int]) -> int:
    """A side length in pixels, given as one number or as two equal ones."""
    sides = list(value) if isinstance(value, Sequence) else [value]
    if not sides or not all(is_whole(side, 1, _MAX_SIZE) for side in sides) or len(set(sides)) != 1:
        raise ValueError(
            f"{name} must be one positive number of pixels (or two equal ones), got {value!r}; "
            f"for rectangular images keep it square and pass interpolate_pos_encoding=True to the model."
        )
    return sides[0]


def _require_multiple(name: str, value: int, of_name: str, of: int) -> None:
    if of <= 0 or value <= 0 or value % of:
        raise ValueError(f"{name} must be a positive multiple of {of_name}, got {name}={value} and {of_name}={of}.")


def _is_activation(name: Any) -> bool:
    if name in ("gelu", "relu"):
        return True
    from transformers.activations import ACT2FN  # takes a second to import

    return isinstance(name, str) and name in ACT2FN


def _is_dtype(value: Any) -> bool:
    dtype = getattr(torch, value.removeprefix("torch."), None) if isinstance(value, str) else value
    return value is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)


_MAX_BLOCKS, _MAX_SIZE = 1024, 2**16  # far beyond any SAM: what is larger is a damaged file, and would take for ever
_SIZE: Rule = (f"a whole number from 1 to {_MAX_SIZE}", lambda value: is_whole(value, 1, _MAX_SIZE))
_DICT: Rule = ("a dictionary", lambda value: value is None or isinstance(value, dict))
_DTYPE: Rule = ("a floating dtype of torch, its name, or None", _is_dtype)
_YES_OR_NO: Rule = ("true or false", lambda value: isinstance(value, bool))

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("hidden_size", "output_channels", "num_attention_heads", "num_channels", "num_pos_feats"), _SIZE),
    **dict.fromkeys(("mlp_dim", "mask_input_channels", "attention_downsample_rate", "num_multimask_outputs"), _SIZE),
    "iou_head_hidden_dim": _SIZE,
    "num_hidden_layers": (f"a whole number from 1 to {_MAX_BLOCKS}", lambda value: is_whole(value, 1, _MAX_BLOCKS)),
    "num_point_embeddings": ("4: background, foreground and two box corners", lambda value: is_whole(value, 4, 4)),
    "iou_head_depth": (
        f"a whole number from 2 (input and output layer) to {_MAX_BLOCKS}",
        lambda value: is_whole(value, 2, _MAX_BLOCKS),
    ),
    "window_size": ("a number of patches, or 0 for global attention", lambda value: is_whole(value, 0, _MAX_SIZE)),
    "global_attn_indexes": (
        "a list of blocks, counted from 0",
        lambda value: isinstance(value, list) and all(is_whole(index, 0) for index in value),
    ),
    "hidden_act": ("the name of an activation that Transformers knows, such as 'gelu'", _is_activation),
    "layer_norm_eps": ("a number above 0, up to 1", lambda value: is_number(value, 0, 1) and value > 0),
    "attention_dropout": ("a number from 0 to 1", lambda value: is_number(value, 0, 1)),
    "mlp_ratio": (f"a number above 0, up to {_MAX_SIZE}", lambda value: is_number(value, 0, _MAX_SIZE) and value > 0),
    "initializer_range": ("a number of at least 0", lambda value: is_number(value, 0)),
    **dict.fromkeys(("qkv_bias", "use_abs_pos", "use_rel_pos", "tie_word_embeddings"), _YES_OR_NO),
    **dict.fromkeys(("dtype", "torch_dtype"), _DTYPE),
    **dict.fromkeys(("label2id", "mask_generation", "prompted_masks"), _DICT),
    "id2label": (
        "a dictionary of names by whole number",
        lambda value: value is None or (isinstance(value, dict) and all(str(key).isdecimal() for key in value)),
    ),
}
"""What fields of the configurations must be, besides sizes that must divide each other."""


class _SamBaseConfig(PreTrainedConfig):
    """What the configurations share: rules for fields, and names of packaged checkpoints in `from_pretrained`."""

    def __init__(self, **kwargs: Any):
        kwargs.pop("model_type", None)  # the class says it; files of 2023 have an empty one in each part
        check_values(kwargs, _RULES)
        try:
            super().__init__(**kwargs)
        except (AttributeError, TypeError) as error:  # what Transformers' fields of other kinds lead to
            raise ValueError(f"{type(self).__name__} must have fields as Transformers writes them: {error}.") from error

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read `config.json`; see `PreTrainedConfig.get_config_dict`.

        A part that names no dtype gets that of the whole, which is the one of the weights.

        Raises:
            OSError: If there is no such file.
            ValueError: If it holds no JSON object.
        """
        name_or_path = resolve_checkpoint(pretrained_model_name_or_path)
        options = options_for_hub(name_or_path, kwargs)
        try:
            fields, rest = super().get_config_dict(name_or_path, **options)
            fields = {**fields}
        except TypeError as error:  # what JSON that is no object leads to
            raise ValueError(
                f"The config.json of {pretrained_model_name_or_path} must hold a JSON object with a configuration's "
                f"fields, but: {error}; take the file that came with the weights."
            ) from error
        except OSError as error:
            if options.get("local_files_only") and not kwargs.get("local_files_only"):
                raise OSError(how_to_get(name_or_path)) from error
            raise
        part = fields.get(cls.base_config_key) if cls.base_config_key else None
        whole_dtype = fields.get("dtype") or fields.get("torch_dtype")
        if isinstance(part, dict) and whole_dtype and not (part.get("dtype") or part.get("torch_dtype")):
            fields[cls.base_config_key] = {**part, "dtype": whole_dtype}
        return fields, rest


class SamVisionConfig(_SamBaseConfig):
    """The image encoder: a ViT with windowed and a few global attention blocks, and a convolutional neck.

    Args:
        hidden_size: Channels of the transformer.
        output_channels: Channels of the image embedding, after the neck.
        num_hidden_layers: Number of transformer blocks.
        num_attention_heads: Heads of each block.
        num_channels: Channels of `pixel_values`.
        image_size: Side of the square input, in pixels. Other sizes go through `interpolate_pos_encoding=True`.
        patch_size: Side of a patch, in pixels.
        hidden_act: Activation of the MLP.
        layer_norm_eps: Epsilon of the blocks' layer norms.
        attention_dropout: Dropout of attention weights in training, 0 to 1.
        initializer_range: Kept from the hub's files and not used: with their 1e-10 no signal passes a fresh model.
        qkv_bias: Whether query, key and value projections have a bias.
        mlp_ratio: Width of the MLP over `hidden_size`, where `mlp_dim` is not given.
        use_abs_pos: Whether a learned position is added to each patch.
        use_rel_pos: Whether attention has decomposed relative positions (MViTv2, section 4.1).
        window_size: Side of an attention window, in patches; 0 makes every block global.
        global_attn_indexes: Which blocks attend globally; numbers beyond the last block mean none.
        num_pos_feats: Half the channels of the positional encoding shared by prompts and image.
        mlp_dim: Width of the MLP (pruned models such as SlimSAM set it).
        **kwargs: Fields that every configuration has.

    Raises:
        ValueError: If a field is of another kind, or sizes do not divide as they must.

    Examples:
        >>> from anymask import SamConfig, SamVisionConfig
        >>> vision = SamVisionConfig(hidden_size=384, mlp_dim=1536)  # as in SlimSAM
        >>> SamConfig(vision_config=vision).vision_config.mlp_dim
        1536
    """

    model_type = "sam_vision_model"
    base_config_key = "vision_config"

    def __init__(
        self,
        hidden_size: int = 768,
        output_channels: int = 256,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        num_channels: int = 3,
        image_size: int | Sequence[int] = 1024,
        patch_size: int | Sequence[int] = 16,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-6,
        attention_dropout: float = 0.0,
        initializer_range: float = 1e-10,
        qkv_bias: bool = True,
        mlp_ratio: float = 4.0,
        use_abs_pos: bool = True,
        use_rel_pos: bool = True,
        window_size: int = 14,
        global_attn_indexes: Sequence[int] = (2, 5, 8, 11),
        num_pos_feats: int = 128,
        mlp_dim: int | None = None,
        **kwargs: Any,
    ):
        self.hidden_size = hidden_size
        self.output_channels = output_channels
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_channels = num_channels
        self.image_size = _square_size("image_size", image_size)
        self.patch_size = _square_size("patch_size", patch_size)
        self.hidden_act = hidden_act
        self.layer_norm_eps = layer_norm_eps
        self.attention_dropout = attention_dropout
        self.initializer_range = initializer_range
        self.qkv_bias = qkv_bias
        self.mlp_ratio = mlp_ratio
        self.use_abs_pos = use_abs_pos
        self.use_rel_pos = use_rel_pos
        self.window_size = window_size
        self.global_attn_indexes = (
            list(global_attn_indexes) if isinstance(global_attn_indexes, Sequence) else global_attn_indexes
        )
        self.num_pos_feats = num_pos_feats
        check_values(vars(self), _RULES)
        self.mlp_dim = int(hidden_size * mlp_ratio) if mlp_dim is None else mlp_dim
        check_values({"mlp_dim": self.mlp_dim}, _RULES)
        _require_multiple("image_size", self.image_size, "patch_size", self.patch_size)
        _require_multiple("hidden_size", hidden_size, "num_attention_heads", num_attention_heads)
        super().__init__(**kwargs)
        self.scale = hidden_size // 2  # derived; the hub's files carry it


class SamPromptEncoderConfig(_SamBaseConfig):
    """The prompt encoder: points, boxes and masks.

    Args:
        hidden_size: Channels of a prompt token and of the image embedding.
        image_size: Side of the square input that prompt coordinates refer to, in pixels.
        patch_size: Side of a patch, in pixels.
        mask_input_channels: Channels inside the mask prompt's convolutions.
        num_point_embeddings: Kinds of points: background, foreground, and two box corners.
        hidden_act: Activation between the mask prompt's convolutions.
        layer_norm_eps: Epsilon of their layer norms.
        **kwargs: Fields that every configuration has.

    Raises:
        ValueError: If a field is of another kind, or sizes do not divide as they must.

    Examples:
        >>> from anymask import SamPromptEncoderConfig
        >>> SamPromptEncoderConfig(image_size=512).image_embedding_size
        32
    """

    model_type = "sam_prompt_encoder"
    base_config_key = "prompt_encoder_config"

    def __init__(
        self,
        hidden_size: int = 256,
        image_size: int | Sequence[int] = 1024,
        patch_size: int | Sequence[int] = 16,
        mask_input_channels: int = 16,
        num_point_embeddings: int = 4,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-6,
        **kwargs: Any,
    ):
        self.hidden_size = hidden_size
        self.image_size = _square_size("image_size", image_size)
        self.patch_size = _square_size("patch_size", patch_size)
        self.mask_input_channels = mask_input_channels
        self.num_point_embeddings = num_point_embeddings
        self.hidden_act = hidden_act
        self.layer_norm_eps = layer_norm_eps
        _require_multiple("image_size", self.image_size, "patch_size", self.patch_size)
        check_values(vars(self), _RULES)
        _require_multiple("mask_input_channels", mask_input_channels, "4", 4)
        super().__init__(**kwargs)
        self.image_embedding_size = self.image_size // self.patch_size  # derived, in patches


class SamMaskDecoderConfig(_SamBaseConfig):
    """The mask decoder: a two-way transformer, upscaling, hypernetworks and the predicted IoU.

    Args:
        hidden_size: Channels of tokens and image embedding.
        hidden_act: Activation of the transformer's MLP.
        mlp_dim: Width of that MLP.
        num_hidden_layers: Two-way blocks.
        num_attention_heads: Heads of each attention.
        attention_downsample_rate: Factor by which cross attention narrows its channels.
        num_multimask_outputs: Masks for an ambiguous prompt (whole, part, subpart); one more serves clear prompts.
        iou_head_depth: Linear layers of the IoU head.
        iou_head_hidden_dim: Its width.
        layer_norm_eps: Epsilon of the two-way blocks' layer norms. The hub's files say 1e-6; Meta's code computes
            with 1e-5, which `SamConfig.from_preset` and checkpoints in Meta's format use.
        **kwargs: Fields that every configuration has.

    Raises:
        ValueError: If a field is of another kind, or sizes do not divide as they must.

    Examples:
        >>> from anymask import SamMaskDecoderConfig
        >>> SamMaskDecoderConfig(num_multimask_outputs=5).num_multimask_outputs
        5
    """

    model_type = "sam_mask_decoder"
    base_config_key = "mask_decoder_config"

    def __init__(
        self,
        hidden_size: int = 256,
        hidden_act: str = "relu",
        mlp_dim: int = 2048,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 8,
        attention_downsample_rate: int = 2,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
        layer_norm_eps: float = 1e-6,
        **kwargs: Any,
    ):
        self.hidden_size = hidden_size
        self.hidden_act = hidden_act
        self.mlp_dim = mlp_dim
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.attention_downsample_rate = attention_downsample_rate
        self.num_multimask_outputs = num_multimask_outputs
        self.iou_head_depth = iou_head_depth
        self.iou_head_hidden_dim = iou_head_hidden_dim
        self.layer_norm_eps = layer_norm_eps
        check_values(vars(self), _RULES)
        _require_multiple("hidden_size", hidden_size, "8", 8)
        _require_multiple("hidden_size", hidden_size, "attention_downsample_rate", attention_downsample_rate)
        inner = hidden_size // attention_downsample_rate
        _require_multiple("hidden_size // attention_downsample_rate", inner, "num_attention_heads", num_attention_heads)
        super().__init__(**kwargs)


class SamConfig(_SamBaseConfig):
    """A whole SAM. Sub-configurations are given as objects, as dictionaries, or left out for ViT-B's defaults.

    Args:
        vision_config: The image encoder.
        prompt_encoder_config: The prompt encoder.
        mask_decoder_config: The mask decoder.
        initializer_range: Kept from the hub's files and not used: fresh weights are drawn as PyTorch draws them.
        tie_word_embeddings: Kept from the hub's files: the positional encoding of image and prompts is one.
        loss: What `SamModel` minimises with `labels`: a name of `anymask.modeling.losses.LOSSES` or fields of its
            `LossOptions`, such as {"type": "focal_dice", "iou": 0}. None is the SAM paper's.
        **kwargs: Fields that every configuration has; and `mask_generation`, a dictionary of options that suit the
            checkpoint and become the defaults of `SamMaskGenerator`. Meta's thresholds suit Meta's checkpoints. And
            `prompted_masks`, how `SAM` cleans up masks of prompts: holes and islands smaller than "hole_share" and
            "island_share" of the mask go. By default none do.

    Raises:
        ValueError: If a field is of another kind, or the three do not fit together (image size, patch size, channels).

    Examples:
        >>> from anymask import SamConfig
        >>> config = SamConfig.from_preset("vit_b")
        >>> config.vision_config.hidden_size, config.mask_decoder_config.layer_norm_eps
        (768, 1e-05)
    """

    model_type = "sam"
    keys_to_ignore_at_inference = ["loss_parts", "vision_hidden_states", "vision_attentions", "mask_decoder_attentions"]
    sub_configs = {
        "vision_config": SamVisionConfig,
        "prompt_encoder_config": SamPromptEncoderConfig,
        "mask_decoder_config": SamMaskDecoderConfig,
    }

    def __init__(
        self,
        vision_config: dict | SamVisionConfig | None = None,
        prompt_encoder_config: dict | SamPromptEncoderConfig | None = None,
        mask_decoder_config: dict | SamMaskDecoderConfig | None = None,
        initializer_range: float = 0.02,
        tie_word_embeddings: bool = True,
        loss: dict[str, Any] | str | None = None,
        **kwargs: Any,
    ):
        self.vision_config = _as_config(SamVisionConfig, vision_config)
        self.prompt_encoder_config = _as_config(SamPromptEncoderConfig, prompt_encoder_config)
        self.mask_decoder_config = _as_config(SamMaskDecoderConfig, mask_decoder_config)
        self.initializer_range = initializer_range
        check_values({"initializer_range": initializer_range, "tie_word_embeddings": tie_word_embeddings}, _RULES)
        if loss is not None:
            self.loss = loss
        self._check_parts_fit()
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)

    @classmethod
    def from_preset(cls, name: str, image_size: int = 1024, **kwargs: Any) -> SamConfig:
        """The configuration of Meta's `vit_b`, `vit_l` or `vit_h`, with the epsilons that Meta's code computes with.

        Args:
            name: "vit_b", "vit_l" or "vit_h".
            image_size: Side of the square input, in pixels.
            **kwargs: Further fields of `SamConfig`.

        Raises:
            ValueError: If there is no such preset.
        """
        if name not in VISION_PRESETS:
            hint = did_you_mean(name, VISION_PRESETS, otherwise="Meta has no other sizes.")
            raise ValueError(f"The preset must be one of {sorted(VISION_PRESETS)}, got {name!r}; {hint}")
        return cls(
            vision_config=SamVisionConfig(image_size=image_size, **VISION_PRESETS[name]),
            prompt_encoder_config=SamPromptEncoderConfig(image_size=image_size),
            mask_decoder_config=SamMaskDecoderConfig(layer_norm_eps=META_DECODER_LAYER_NORM_EPS),
            **kwargs,
        )

    def _check_parts_fit(self) -> None:
        vision, prompt, decoder = self.vision_config, self.prompt_encoder_config, self.mask_decoder_config
        channels = ("prompt_encoder_config.hidden_size", prompt.hidden_size)
        must_be_equal = [
            (("vision_config.image_size", vision.image_size), ("prompt_encoder_config.image_size", prompt.image_size)),
            (("vision_config.patch_size", vision.patch_size), ("prompt_encoder_config.patch_size", prompt.patch_size)),
            (("vision_config.output_channels", vision.output_channels), channels),
            (("mask_decoder_config.hidden_size", decoder.hidden_size), channels),
            (("2 * vision_config.num_pos_feats", 2 * vision.num_pos_feats), channels),
        ]
        wrong = [f"{a}={x} but {b}={y}" for (a, x), (b, y) in must_be_equal if x != y]
        if wrong:
            raise ValueError(
                f"The parts of a SamConfig must agree on image size, patch size and channels, got {'; '.join(wrong)}. "
                f"Give every part the same sizes."
            )


VISION_PRESETS: dict[str, dict[str, Any]] = {
    "vit_b": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, global_attn_indexes=(2, 5, 8, 11)),
    "vit_l": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, global_attn_indexes=(5, 11, 17, 23)),
    "vit_h": dict(hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, global_attn_indexes=(7, 15, 23, 31)),
}
"""Image encoders of Meta's three checkpoints (Segment Anything, appendix A)."""

META_DECODER_LAYER_NORM_EPS = 1e-5
"""Epsilon of the two-way blocks in Meta's code, where the hub's `config.json` files say 1e-6."""


def _as_config(config_class: type[_SamBaseConfig], value: Any) -> Any:
    if value is None:
        return config_class()
    if isinstance(value, dict):
        return config_class(**value)
    if isinstance(value, config_class):
        return value
    if isinstance(value, PreTrainedConfig) and value.model_type == config_class.model_type:
        return config_class(**value.to_dict())
    raise TypeError(f"A {config_class.__name__} or a dict of its fields must be given, got {type(value).__name__}.")
