"""Which files each tool wants: names, inputs and outputs, and what lies beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from ..geometry.coordinates import MASK_PIXELS_PER_PATCH
from ..images.preparation import ImagePreprocessor
from ..modeling.network import SamNetwork
from ..support.atomic_files import write_json
from .graphs import EmbeddedPromptsGraph, EmbeddingGraph, EncoderGraph, MetaDecoderGraph, PictureGraph, PointsGraph
from .runtime import DECODER, ENCODER, PROMPTS_FILE

X_ANYLABELING_SIZE_HW = (684, 1024)
"""Of every picture that X-AnyLabeling gives to a model of the type `segment_anything`, whatever its YAML says."""


@dataclass(frozen=True)
class GraphFile:
    """One file of a layout.

    Attributes:
        name: Of the file, relative to the folder, without what the format ends in.
        graph: What is exported.
        make_inputs: Examples by name for a size: how many images, prompts and points.
        outputs: Names, in order.
        dynamic: Axes of any length, by input.
        of_photo: Inputs of a photograph, as `load_image` takes it: of an encoder, which alone is brought to 8 bits.
        resizes: Whether Meta's resize to the original image is added.
    """

    name: str
    graph: nn.Module
    make_inputs: Callable[[int, int, int], dict[str, Tensor]]
    outputs: Sequence[str]
    dynamic: Mapping[str, Sequence[int]] = field(default_factory=dict)
    of_photo: Callable[[Any], dict[str, Tensor]] | None = None
    resizes: bool = False


def _anymask(network: SamNetwork, preprocessor: ImagePreprocessor, suffix: str) -> Iterator[GraphFile]:
    size = _Sizes(network)
    yield _encoder(ENCODER, network, preprocessor)

    def embedded(images: int, prompts: int, points: int) -> dict[str, Tensor]:
        return {
            **size.embeddings(images),
            "sparse_prompt_embeddings": torch.randn(images, prompts, points, size.channels),
            "dense_prompt_embeddings": torch.randn(images, prompts, size.channels, size.grid, size.grid),
            "is_padding": torch.arange(images * prompts * points).reshape(images, prompts, points) % 5 == 4,
        }

    dynamic = {"image_embeddings": [0], "image_positional_embeddings": [0], "sparse_prompt_embeddings": [0, 1, 2]}
    dynamic |= {"dense_prompt_embeddings": [0, 1], "is_padding": [0, 1, 2]}
    graph = EmbeddedPromptsGraph(network.mask_decoder)
    yield GraphFile(DECODER, graph, embedded, ["pred_masks", "iou_scores"], dynamic=dynamic)


def _transformers_js(network: SamNetwork, preprocessor: ImagePreprocessor, suffix: str) -> Iterator[GraphFile]:
    size = _Sizes(network)
    positions = ["image_embeddings", "image_positional_embeddings"]
    yield GraphFile(
        f"onnx/vision_encoder{suffix}",
        EncoderGraph(network),
        size.pixels,
        positions,
        dynamic={"pixel_values": [0]},
        of_photo=_pixels_of(preprocessor),
    )

    def points_of(images: int, prompts: int, points: int) -> dict[str, Tensor]:
        labels = torch.tensor([1, 0, -1, -10, 2, 3])[torch.arange(images * prompts * points) % 6]
        return {
            **size.embeddings(images),
            "input_points": torch.rand(images, prompts, points, 2) * size.side,
            "input_labels": labels.reshape(images, prompts, points),
        }

    dynamic = {name: [0] for name in positions} | {"input_points": [0, 1, 2], "input_labels": [0, 1, 2]}
    yield GraphFile(
        f"onnx/prompt_encoder_mask_decoder{suffix}",
        PointsGraph(network),
        points_of,
        ["iou_scores", "pred_masks"],
        dynamic=dynamic,
    )


def _meta_decoder(network: SamNetwork, name: str, is_single: bool, points_side: int | None = None) -> GraphFile:
    size = _Sizes(network)

    def prompts_of(images: int, prompts: int, points: int) -> dict[str, Tensor]:
        mask = MASK_PIXELS_PER_PATCH * size.grid
        # Twice as wide, for resizing has exact weights then; each version of ONNX Runtime rounds others in its way.
        mask_hw = mask, mask * (1 + points % 2)
        return {
            "image_embeddings": size.embeddings(1)["image_embeddings"],
            "point_coords": torch.rand(1, points, 2) * (points_side or size.side),
            "point_labels": torch.tensor([1.0, 0, 2, 3, -1])[torch.arange(points) % 5][None],
            "mask_input": torch.randn(1, 1, *mask_hw),
            "has_mask_input": torch.tensor([float(points % 2)]),
        }

    return GraphFile(
        name,
        MetaDecoderGraph(network, is_single, points_side),
        prompts_of,
        ["low_res_masks", "iou_predictions"],
        dynamic={"point_coords": [1], "point_labels": [1], "mask_input": [2, 3]},
        resizes=True,
    )


def _meta(network: SamNetwork, preprocessor: ImagePreprocessor, suffix: str) -> Iterator[GraphFile]:
    yield _encoder("encoder", network, preprocessor)
    yield _meta_decoder(network, "decoder_multi", is_single=False)
    yield _meta_decoder(network, "decoder", is_single=True)


def _osam(network: SamNetwork, preprocessor: ImagePreprocessor, suffix: str) -> Iterator[GraphFile]:
    size = _Sizes(network)
    yield GraphFile(
        "encoder",
        EmbeddingGraph(network),
        lambda images, prompts, points: {"x": size.pixels(1, 1, 1)["pixel_values"]},
        ["image_embeddings"],
        of_photo=_pixels_of(preprocessor, "x"),
    )
    yield _meta_decoder(network, "decoder", is_single=True)


def _x_anylabeling(network: SamNetwork, preprocessor: ImagePreprocessor, suffix: str) -> Iterator[GraphFile]:
    def picture(images: int, prompts: int, points: int) -> dict[str, Tensor]:
        return {"input_image": torch.rand(*X_ANYLABELING_SIZE_HW, 3) * 255}

    def picture_of(photo: Any) -> dict[str, Tensor]:
        """As X-AnyLabeling fits every picture into one size, with black beside it."""
        pixels = torch.as_tensor(np.array(preprocessor.channels_first(photo))).float()[None]
        height, width = X_ANYLABELING_SIZE_HW
        scale = min(height / pixels.shape[2], width / pixels.shape[3])
        size_hw = int(pixels.shape[2] * scale), int(pixels.shape[3] * scale)
        pixels = F.interpolate(pixels, size_hw, mode="bilinear")
        pixels = F.pad(pixels, (0, width - size_hw[1], 0, height - size_hw[0]))
        return {"input_image": pixels[0].permute(1, 2, 0).contiguous()}

    graph = PictureGraph(network, preprocessor, X_ANYLABELING_SIZE_HW)
    yield GraphFile("encoder", graph, picture, ["image_embeddings"], of_photo=picture_of)
    yield _meta_decoder(network, "decoder", is_single=True, points_side=max(X_ANYLABELING_SIZE_HW))


def _encoder(name: str, network: SamNetwork, preprocessor: ImagePreprocessor) -> GraphFile:
    pixels = {"pixel_values": [0]}
    graph, size = EmbeddingGraph(network), _Sizes(network)
    return GraphFile(name, graph, size.pixels, ["image_embeddings"], dynamic=pixels, of_photo=_pixels_of(preprocessor))


def _pixels_of(preprocessor: ImagePreprocessor, name: str = "pixel_values") -> Callable[[Any], dict[str, Tensor]]:
    return lambda photo: {name: preprocessor(photo, return_tensors="pt")["pixel_values"]}


class _Sizes:
    """Examples of what comes from the image."""

    def __init__(self, network: SamNetwork):
        self.network = network
        vision = network.config.vision_config
        self.side, self.channels = vision.image_size, vision.output_channels
        self.grid = vision.image_size // vision.patch_size

    def pixels(self, images: int, prompts: int, points: int) -> dict[str, Tensor]:
        return {
            "pixel_values": torch.randn(images, self.network.config.vision_config.num_channels, self.side, self.side)
        }

    def embeddings(self, images: int) -> dict[str, Tensor]:
        with torch.no_grad():
            positions = self.network.get_image_wide_positional_embeddings().expand(images, -1, -1, -1).contiguous()
        embeddings = torch.randn(images, self.channels, self.grid, self.grid)
        return {"image_embeddings": embeddings, "image_positional_embeddings": positions}


Layout = Callable[[SamNetwork, ImagePreprocessor, str], Iterator[GraphFile]]

LAYOUTS: dict[str, Layout] = {
    "anymask": _anymask,
    "meta": _meta,
    "osam": _osam,
    "transformers.js": _transformers_js,
    "x-anylabeling": _x_anylabeling,
}
"""The graphs of each layout; `suffix` tells transformers.js how many bits they have."""

SUFFIXES = {"fp32": "", "fp16": "_fp16", "int8": "_quantized", "int8-static": "_quantized"}


def write_companions(layout: str, folder: Path, network: SamNetwork, preprocessor: ImagePreprocessor) -> None:
    """Write what lies beside the graphs: configurations, and what the tool reads."""
    if layout in ("anymask", "transformers.js"):
        network.config.save_pretrained(folder)
        options = {**preprocessor.to_dict(), "processor_class": "SamProcessor"}
        options.setdefault("image_processor_type", "SamImageProcessor")
        write_json(folder / "preprocessor_config.json", options)
    if layout == "anymask":
        parts = {"shared_image_embedding": network.shared_image_embedding, "prompt_encoder": network.prompt_encoder}
        weights = nn.ModuleDict(parts).state_dict()
        weights = {name: tensor.detach().clone().float().contiguous() for name, tensor in weights.items()}
        (folder / PROMPTS_FILE).write_bytes(save(weights))
    if layout == "x-anylabeling":
        lines = {
            "type": "segment_anything",
            "name": "anymask",
            "display_name": "anymask",
            "encoder_model_path": "encoder.onnx",
            "decoder_model_path": "decoder.onnx",
            "input_size": max(X_ANYLABELING_SIZE_HW),
            "max_width": X_ANYLABELING_SIZE_HW[1],
            "max_height": X_ANYLABELING_SIZE_HW[0],
        }
        (folder / "anymask.yaml").write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))
