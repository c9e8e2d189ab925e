"""SAM for Transformers: `SamModel` and its image encoder alone, `SamVisionModel`.

What SAM computes, figure 4 of the paper, is `SamNetwork.forward` in `network.py`: START THERE. This file and
`modeling_base.py`, with loading, saving and first weights, put it under `PreTrainedModel`, and are the only ones that
know that class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput
from typing_extensions import Self

from .checkpoints.key_map import TIED_KEY, TIED_TO
from .configuration_sam import SamConfig, SamVisionConfig
from .modeling.image_encoder import VisionEncoder
from .modeling.network import SamNetwork, or_default
from .modeling_base import SamPreTrainedModel


class SamModel(SamNetwork, SamPreTrainedModel):
    """The Segment Anything Model: images and prompts to masks. `forward` is that of `SamNetwork`."""

    _tied_weights_keys = {TIED_KEY: TIED_TO}
    _keys_to_ignore_on_save = [TIED_KEY]  # Trainer then does not miss it in its checkpoints
    accepts_loss_kwargs = True  # Trainer then gives `num_items_in_batch`, and leaves the division to the loss

    def __init__(self, config: SamConfig):
        SamPreTrainedModel.__init__(self, config)  # in the place of SamNetwork's, which knows nothing of Transformers
        self._add_parts(config)
        self.post_init()  # type: ignore[operator]  # mypy does not follow Transformers

    @classmethod
    def from_network(cls, network: SamNetwork) -> Self:
        """A model of the same parts, with the same weights and the same configuration, not copies of them."""
        with torch.device("meta"):
            model = cls(network.config)
        for name, part in network.named_children():
            setattr(model, name, part)
        return model.train(network.training)

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding."""
        return self.vision_encoder.patch_embed


@dataclass
class SamVisionEncoderOutput(ModelOutput):
    """What `SamVisionModel` returns.

    Args:
        image_embeds: The image embedding, (batch, output_channels, height, width) in patches.
        last_hidden_state: The same tensor, under the name that transformers uses.
        hidden_states: With `output_hidden_states=True`: activations before the first block and after each, (batch,
            height, width, hidden_size).
        attentions: With `output_attentions=True`: weights of each block, (batch * windows, heads, queries, keys).
    """

    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class SamVisionModel(SamPreTrainedModel):
    """SAM's image encoder alone. Loads from the checkpoint of a whole SAM too."""

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
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> SamVisionEncoderOutput | tuple:
        """Encode images.

        Args:
            pixel_values: (batch, channels, image_size, image_size), normalised as `SamProcessor` does.
            interpolate_pos_encoding: Accept any height and width that are multiples of the patch size.
            output_attentions: Return attention weights.
            output_hidden_states: Return activations between blocks.
            return_dict: False returns a tuple of what is set.

        Raises:
            ValueError: If the shape of `pixel_values` does not fit.
        """
        encoding = self.vision_encoder(
            pixel_values,
            interpolate_pos_encoding,
            or_default(output_hidden_states, self.config.output_hidden_states),
            or_default(output_attentions, self.config.output_attentions),
        )
        output = SamVisionEncoderOutput(
            image_embeds=encoding.image_embeddings,
            last_hidden_state=encoding.image_embeddings,
            hidden_states=encoding.hidden_states,
            attentions=encoding.attentions,
        )
        return output if or_default(return_dict, self.config.return_dict) else output.to_tuple()
