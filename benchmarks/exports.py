"""Transformers' networks as functions of tensors alone, for engines that take a model over, and what they compute."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import transformers
from subjects import Pair
from torch import nn

Run = Callable[..., torch.Tensor]
Compile = Callable[[nn.Module, tuple[torch.Tensor, ...]], Run]


class Encoder(nn.Module):
    """Pixel values to the image embedding."""

    def __init__(self, model: transformers.SamModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model.get_image_embeddings(pixel_values)


class Decoder(nn.Module):
    """Image embedding and points to low-resolution logits."""

    def __init__(self, model: transformers.SamModel, multimask_output: bool) -> None:
        super().__init__()
        self.model, self.multimask_output = model, multimask_output

    def forward(self, embedding: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        output = self.model(image_embeddings=embedding, input_points=points, multimask_output=self.multimask_output)
        return output.pred_masks


def exported_column(stage: str, compiled: Compile, pair: Pair, *inputs: Any) -> Callable[[], torch.Tensor] | None:
    """A stage of an engine that takes float32, whatever it computes in; None for stages that have no network alone.

    Args:
        stage: where a script calls `benchmark.peers`.
        compiled: makes a network, for inputs of the shapes of these, the engine's.
        pair: the models.
        inputs: of the stage.
    """
    if stage == "encoder":
        return _run(compiled, Encoder(_float32(pair.theirs)), inputs[0])
    if stage == "decoder":
        return _run(compiled, Decoder(_float32(pair.theirs), multimask_output=True), *inputs)
    if stage == "click":
        embedding, point, original_sizes, resized_sizes, multimask_output = inputs
        decode = _run(compiled, Decoder(_float32(pair.theirs), multimask_output), embedding, point)
        return lambda: pair.their_processor.post_process_masks(decode(), original_sizes, resized_sizes)[0]
    return None


def _run(compiled: Compile, network: nn.Module, *inputs: torch.Tensor) -> Callable[[], torch.Tensor]:
    example = tuple(tensor.float().contiguous() for tensor in inputs)
    run = compiled(network.eval(), example)
    return lambda: run(*example)


def _float32(model: transformers.SamModel) -> transformers.SamModel:
    return model if model.dtype == torch.float32 else deepcopy(model).float()
