"""SAM on other runtimes: `OnnxSamModel` and `OpenVinoSamModel` are used as `SamModel` is, and run exported files.

The image encoder and the mask decoder are exported graphs; what turns prompts into embeddings is a few thousand
numbers, and stays in PyTorch. So sessions, the generator, the pipeline and everything else take them as any other
model.
"""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from typing_extensions import Self

from ..configuration_sam import SamConfig
from ..modeling.mask_decoder import choose_masks
from ..modeling.network import SamNetwork
from ..modeling.outputs import SamVisionEncoderOutput
from .engines import FORMATS, Engine, OnnxRuntimeEngine, OpenVinoEngine

ENCODER, DECODER, PROMPTS_FILE = "encoder", "mask_decoder", "prompt_encoder.safetensors"


class ExportedSamModel(SamNetwork, ABC):
    """A model whose heavy parts are exported files; `export` with the layout "anymask" writes them.

    It answers with the arguments and results of `SamModel.forward`, on the CPU side of PyTorch, without gradients;
    attention weights, hidden states and PerSAM's arguments are not to be had.
    """

    @classmethod
    def _from_files(cls, folder: Path, file_format: str, open_file: Callable[[Path], Engine]) -> Self:
        encoder, decoder = (folder / f"{name}{FORMATS[file_format]}" for name in (ENCODER, DECODER))
        needed = (encoder, decoder, folder / PROMPTS_FILE, folder / "config.json")
        if missing := [path.name for path in needed if not path.exists()]:
            raise FileNotFoundError(
                f"{folder} must hold what `export` writes with the layout 'anymask' and the format {file_format!r}, "
                f"but lacks {', '.join(missing)}."
            )
        config = SamConfig.from_pretrained(folder)
        config._name_or_path = str(folder)  # where `pipeline` looks for the processor
        with torch.device("meta"):
            model = cls(config)
        parts = nn.ModuleDict(
            {"shared_image_embedding": model.shared_image_embedding, "prompt_encoder": model.prompt_encoder}
        )
        parts.load_state_dict(load_file(folder / PROMPTS_FILE), assign=True)
        model.requires_grad_(False)
        model.vision_encoder = _ExportedEncoder(open_file(encoder))  # type: ignore[assignment]
        model.mask_decoder = _ExportedDecoder(open_file(decoder))  # type: ignore[assignment]
        return model.eval()


class OnnxSamModel(ExportedSamModel):
    """SAM in ONNX Runtime; see `ExportedSamModel`.

    `SAM(OnnxSamModel.from_pretrained(folder), processor=SamProcessor.from_pretrained(folder))` uses it.
    """

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], providers: Sequence[Any] | None = None) -> Self:
        """Load exported files.

        Args:
            folder: What `export` wrote with the layout "anymask".
            providers: As ONNX Runtime takes them; None takes the CPU.

        Raises:
            FileNotFoundError: If a file is missing.
            ImportError: If ONNX Runtime is not installed.
        """
        return cls._from_files(Path(folder), "onnx", lambda path: OnnxRuntimeEngine(path, providers))


class OpenVinoSamModel(ExportedSamModel):
    """SAM in OpenVINO; see `ExportedSamModel`."""

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        device_name: str = "CPU",
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Load exported files.

        Args:
            folder: What `export` wrote with the layout "anymask" and the format "openvino".
            device_name: Of OpenVINO: "CPU", "GPU", "NPU" or "AUTO".
            options: Of OpenVINO's `compile_model`. It computes in float32 unless they say otherwise.

        Raises:
            FileNotFoundError: If a file is missing.
            ImportError: If OpenVINO is not installed.
        """
        return cls._from_files(Path(folder), "openvino", lambda path: OpenVinoEngine(path, device_name, options))


class _ExportedEncoder(nn.Module):
    def __init__(self, engine: Engine):
        super().__init__()
        self.engine = engine

    def forward(self, pixel_values: Tensor, return_dict: bool = True, **wishes: Any) -> SamVisionEncoderOutput:
        """See `VisionEncoder.forward`; the size is the model's own.

        Raises:
            ValueError: If the size is another, or activations or attention weights are asked for.
        """
        if asked := [name for name, value in wishes.items() if value]:
            raise ValueError(f"{', '.join(asked)} must be asked of SamModel; an exported encoder does not know it.")
        expected = self.engine.input_shape("pixel_values")[1:]
        if list(pixel_values.shape[1:]) != expected:
            raise ValueError(
                f"pixel_values must have shape (batch, {', '.join(map(str, expected))}), the size that was exported, "
                f"got {tuple(pixel_values.shape)}."
            )
        [embeddings] = self.engine.run(["image_embeddings"], {"pixel_values": _as_array(pixel_values)})
        return SamVisionEncoderOutput(last_hidden_state=torch.from_numpy(embeddings))


class _ExportedDecoder(nn.Module):
    def __init__(self, engine: Engine):
        super().__init__()
        self.engine = engine

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor | None,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool | None,
        is_padding: Tensor | None = None,
        **wishes: Any,
    ) -> tuple[Tensor, Tensor]:
        """See `MaskDecoder.forward`.

        Raises:
            ValueError: If PerSAM's arguments or attention weights are asked for.
        """
        if wishes:
            raise ValueError(f"{', '.join(wishes)} must be asked of SamModel; an exported decoder does not know it.")
        batch, channels = image_embeddings.shape[:2]
        dense = dense_prompt_embeddings if dense_prompt_embeddings.ndim == 5 else dense_prompt_embeddings[:, None]
        if sparse_prompt_embeddings is None:
            sparse_prompt_embeddings = torch.zeros(batch, dense.shape[1], 0, channels)
        # The graph has one axis for the prompts of both.
        dense = dense.expand(batch, sparse_prompt_embeddings.shape[1], -1, -1, -1)
        if is_padding is None:
            is_padding = torch.zeros(sparse_prompt_embeddings.shape[:3], dtype=torch.bool)
        inputs = {
            "image_embeddings": image_embeddings,
            "image_positional_embeddings": image_positional_embeddings.expand(batch, -1, -1, -1),
            "sparse_prompt_embeddings": sparse_prompt_embeddings,
            "dense_prompt_embeddings": dense,
        }
        arrays = {name: _as_array(tensor) for name, tensor in inputs.items()}
        arrays["is_padding"] = np.ascontiguousarray(is_padding.numpy())
        masks, scores = self.engine.run(["pred_masks", "iou_scores"], arrays)
        chosen = choose_masks(multimask_output)
        return torch.from_numpy(masks)[:, :, chosen], torch.from_numpy(scores)[:, :, chosen]


def _as_array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().float().numpy())
