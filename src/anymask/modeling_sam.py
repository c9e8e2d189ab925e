"""SAM for Transformers: `SamModel`, its image encoder alone, `SamVisionModel`, and what both are there.

What SAM computes, figure 4 of the paper, is `SegmentAnything.forward` in `modeling/network.py`: START THERE. This file
puts it under `PreTrainedModel`, with loading, saving, first weights and the choice of attention, and is the only one
that knows that class.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCard
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import Self

from .checkpoints import check_nothing_is_offloaded, load_pretrained
from .checkpoints.formats.key_map import TIED_KEY, TIED_TO
from .checkpoints.model_card import CARD_FILE, write_model_card
from .checkpoints.pushing import push_model
from .configuration_sam import SamConfig, SamVisionConfig
from .modeling.attention import ATTENTION_FUNCTIONS, attention_function
from .modeling.fast.int8 import check_not_quantized
from .modeling.image_encoder import VisionAttention, VisionEncoder
from .modeling.network import SamNetwork, SegmentAnything
from .modeling.outputs import SamVisionEncoderOutput
from .modeling.prompt_encoder import PositionalEmbedding
from .weights.names import resolve_checkpoint

POSITION_STD = 0.02
"""Standard deviation of fresh absolute positions, as is usual for vision transformers."""

_OPTIONS_OF_PUSH = ("repo_id", "model_card", "commit_message", "private", "token", "revision", "create_pr", "tags")


class SamPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialising.

    Examples:
        >>> from anymask import SamModel
        >>> SamModel.from_pretrained("sam-vit-nano").save_pretrained("my-model")
        >>> SamModel.from_pretrained("my-model").config.vision_config.image_size
        320
    """

    config_class = SamConfig
    base_model_prefix = "sam"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ["VisionLayer", "PromptEncoder", "MaskDecoder"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: SamConfig | SamVisionConfig):
        super().__init__(config)
        # Transformers lets some names pass that this package does not know.
        for part in (config, *(getattr(config, name) for name in config.sub_configs)):
            attention_function(part._attn_implementation)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *model_args: Any, **kwargs: Any
    ) -> Self:
        """Load weights.

        Args:
            pretrained_model_name_or_path: A folder, an id on the Hugging Face hub, "sam-vit-nano", which is packaged,
                or a file of weights in Meta's layout or the hub's, such as "sam_vit_b_01ec64.pth".
            *model_args: Passed on to the model's constructor.
            **kwargs: As for every transformers model: `dtype` (by default the one that `config.json` names),
                `device_map`, `attn_implementation` (a key of `ATTENTION_FUNCTIONS`, "sdpa" by default), `revision`,
                `local_files_only` ...

        Raises:
            OSError: If there is no such checkpoint.
            CheckpointError: If it lacks weights, has others, or is another model's.
            ValueError: If `device_map` offloads weights to where they cannot be computed with.
        """
        name_or_path = resolve_checkpoint(pretrained_model_name_or_path)
        if isinstance(kwargs.get("device_map"), Mapping):  # accelerate fails on some of them in words of its own
            check_nothing_is_offloaded(kwargs["device_map"])
        loaded = load_pretrained(cls, super().from_pretrained, name_or_path, *model_args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # a tuple with output_loading_info=True
        check_nothing_is_offloaded(getattr(model, "hf_device_map", {}))
        for module in model.modules():
            if isinstance(module, PositionalEmbedding):
                module.requires_grad_(False)  # transformers makes every loaded parameter trainable
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write weights and configuration into a folder, and a model card where it has none.

        Args:
            save_directory: The folder, made if it is not there.
            *args: As for every transformers model.
            **kwargs: Likewise; with `push_to_hub=True` also those of `push_to_hub`, and `repo_id`, by default the
                folder's name.

        Raises:
            ValueError: If the image encoder is quantised to 8 bits.
        """
        check_not_quantized(self)
        push = kwargs.pop("push_to_hub", False)
        of_push = {name: kwargs.pop(name) for name in _OPTIONS_OF_PUSH if name in kwargs} if push else {}
        super().save_pretrained(save_directory, *args, **kwargs)
        if kwargs.get("is_main_process", True) and not (Path(save_directory) / CARD_FILE).exists():
            write_model_card(save_directory, self.config)
        if push:
            self.push_to_hub(of_push.pop("repo_id", Path(save_directory).name), **of_push)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        model_card: str | os.PathLike[str] | ModelCard | None = None,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str | None = "50GB",
        tags: list[str] | None = None,
    ) -> str:
        """Send weights and configuration to the hub, with a model card.

        Args:
            repo_id: Of the repository, such as "me/sam-cells"; made if it is not there.
            model_card: A file, such as "run/model/README.md" of `anymask train`, or a `huggingface_hub.ModelCard`. By
                default a card that is in the repository stays, and where there is none, what is known is written.
            commit_message: As for every transformers model, like all that follow.
            commit_description: Of the commit.
            private: Whether a new repository is private.
            token: For the hub; by default the one that is stored.
            revision: Branch to write to.
            create_pr: Whether to open a pull request.
            max_shard_size: Of a file of weights, in bytes or with a unit, such as "5GB".
            tags: For the hub, on the card that is written by default.

        Returns:
            The address of the commit.

        Raises:
            OSError: If the file of the card is not there, or the hub does not answer.
            ValueError: If the image encoder is quantised to 8 bits.
        """
        return push_model(
            self,
            repo_id,
            HfApi(token=token),
            model_card=model_card,
            private=private,
            revision=revision,
            tags=tags,
            max_shard_size=max_shard_size,
            commit_message=commit_message or f"Upload {type(self).__name__}",
            commit_description=commit_description,
            create_pr=create_pr,
        )

    def set_attn_implementation(self, attn_implementation: str | dict[str, str], *args: Any, **kwargs: Any) -> None:
        """Change how attention is computed.

        Args:
            attn_implementation: A key of `ATTENTION_FUNCTIONS`, or one for each part of the configuration.
            *args: Not used; what transformers takes for kernels from the hub.
            **kwargs: Not used, likewise.

        Raises:
            ValueError: If there is no such implementation.
        """
        # Transformers would look for models behind the parts' configurations, and warn that they are plain modules.
        names = attn_implementation.values() if isinstance(attn_implementation, dict) else [attn_implementation]
        for name in names:
            attention_function(name)
        self.config._attn_implementation = attn_implementation

    def get_correct_attn_implementation(self, requested_attention: str | None, *args: Any, **kwargs: Any) -> str:
        """Transformers' check of a name, which does not know those that are this package's own."""
        if requested_attention in ATTENTION_FUNCTIONS:
            return requested_attention
        return super().get_correct_attn_implementation(requested_attention, *args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own initialisation, as in Meta's code.

        `initializer_range` is not used: the hub's files carry 1e-10 for the image encoder, with which no signal passes.
        """
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding | nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, PositionalEmbedding):
            nn.init.normal_(module.positional_embedding)
        elif isinstance(module, VisionAttention) and module.config.use_rel_pos:
            nn.init.zeros_(module.rel_pos_h)
            nn.init.zeros_(module.rel_pos_w)
        elif isinstance(module, VisionEncoder) and module.pos_embed is not None:
            nn.init.trunc_normal_(module.pos_embed, std=POSITION_STD)


class SamModel(SegmentAnything, SamPreTrainedModel):
    """The Segment Anything Model: images and prompts to masks. `forward` is that of `SegmentAnything`.

    Examples:
        >>> from anymask import SamModel, SamProcessor
        >>> model = SamModel.from_pretrained("sam-vit-nano")
        >>> processor = SamProcessor.from_pretrained("sam-vit-nano")
        >>> inputs = processor("photo.jpg", input_boxes=[[[80, 20, 480, 390]]], return_tensors="pt")
        >>> outputs = model(**inputs, multimask_output=False)
        >>> outputs.pred_masks.shape  # images, prompts, masks, height, width
        torch.Size([1, 1, 1, 160, 160])
        >>> sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
        >>> processor.post_process_masks(outputs.pred_masks, *sizes)[0].shape
        torch.Size([1, 1, 400, 600])
    """

    _tied_weights_keys = {TIED_KEY: TIED_TO}
    _keys_to_ignore_on_save = [TIED_KEY]  # Trainer then does not miss it in its checkpoints
    accepts_loss_kwargs = True  # Trainer then gives `num_items_in_batch`, and leaves the division to the loss

    def __init__(self, config: SamConfig):
        super().__init__(config)
        self._make_parts(config)
        self.post_init()

    @classmethod
    def from_network(cls, network: SamNetwork) -> Self:
        """A model of the same parts, with the same weights and the same configuration, not copies of them."""
        with torch.device("meta"):
            model = cls(network.config)
        for name, part in network.named_children():
            setattr(model, name, part)
        return model.train(network.training)

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Tie the positional encoding of image and prompts, whatever `tie_word_embeddings` says: SAM has one."""
        return dict(self._tied_weights_keys)

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding."""
        return self.vision_encoder.patch_embed


class SamVisionModel(SamPreTrainedModel):
    """SAM's image encoder alone. Loads from the checkpoint of a whole SAM too.

    Examples:
        >>> import torch
        >>> from anymask import SamVisionModel
        >>> encoder = SamVisionModel.from_pretrained("sam-vit-nano")
        >>> encoder(torch.zeros(1, 3, 320, 320)).last_hidden_state.shape
        torch.Size([1, 128, 40, 40])
    """

    config_class = SamVisionConfig  # type: ignore[assignment]
    _keys_to_ignore_on_load_unexpected = [r"^(shared_image_embedding|prompt_encoder|mask_decoder)\."]

    def __init__(self, config: SamVisionConfig):
        super().__init__(config)
        self.vision_encoder = VisionEncoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding."""
        return self.vision_encoder.patch_embed

    def forward(
        self,
        pixel_values: Tensor,
        interpolate_pos_encoding: bool = False,
        *,
        output_attentions: bool | None = None,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        return_dict: bool | None = None,
    ) -> SamVisionEncoderOutput | tuple:
        """Encode images.

        Args:
            pixel_values: (batch, channels, image_size, image_size), normalised as `SamProcessor` does.
            interpolate_pos_encoding: Accept any height and width that are multiples of the patch size.
            output_attentions: Return attention weights.
            output_hidden_states: Return activations between blocks, or which of them, by number.
            return_dict: False returns a tuple of what is set.

        Raises:
            ValueError: If the shape of `pixel_values` does not fit.
        """
        return self.vision_encoder(
            pixel_values,
            interpolate_pos_encoding,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=return_dict,
        )
