"""SAM on ONNX Runtime: `OnnxSamModel` is used as `SamModel` is, and runs exported files.

The image encoder and the mask decoder are ONNX graphs; what turns prompts into embeddings is a few thousand numbers,
and stays in PyTorch. So sessions, the generator, the pipeline and everything else take it as any other model.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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

ENCODER_FILE, DECODER_FILE, PROMPTS_FILE = "encoder.onnx", "mask_decoder.onnx", "prompt_encoder.safetensors"


class OnnxSamModel(SamNetwork):
    """A model whose heavy parts are ONNX files; `export` with the layout "anymask" writes them.

    It answers with the arguments and results of `SamModel.forward`, on the CPU side of PyTorch, without gradients;
    attention weights, hidden states and PerSAM's arguments are not to be had.

    Example:
        >>> model = OnnxSamModel.from_pretrained("exported")  # doctest: +SKIP
        >>> SAM(model, processor=SamProcessor.from_pretrained("exported")).predict("photo.jpg")  # doctest: +SKIP
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
        folder = Path(folder)
        missing = [
            name for name in (ENCODER_FILE, DECODER_FILE, PROMPTS_FILE, "config.json") if not (folder / name).exists()
        ]
        if missing:
            raise FileNotFoundError(
                f"{folder} must hold what `export` writes with the layout 'anymask', but lacks {', '.join(missing)}."
            )
        with torch.device("meta"):
            model = cls(SamConfig.from_pretrained(folder))
        weights = load_file(folder / PROMPTS_FILE)
        parts = nn.ModuleDict(
            {"shared_image_embedding": model.shared_image_embedding, "prompt_encoder": model.prompt_encoder}
        )
        parts.load_state_dict(weights, assign=True)
        model.requires_grad_(False)
        model.vision_encoder = _OnnxVisionEncoder(_open(folder / ENCODER_FILE, providers))  # type: ignore[assignment]
        model.mask_decoder = _OnnxMaskDecoder(_open(folder / DECODER_FILE, providers))  # type: ignore[assignment]
        return model.eval()


class _OnnxVisionEncoder(nn.Module):
    def __init__(self, session: Any):
        super().__init__()
        self.session = session

    def forward(self, pixel_values: Tensor, return_dict: bool = True, **wishes: Any) -> SamVisionEncoderOutput:
        """See `VisionEncoder.forward`; the size is the model's own."""
        if asked := [name for name, value in wishes.items() if value]:
            raise ValueError(f"{', '.join(asked)} must be asked of SamModel; an exported encoder does not know it.")
        expected = self.session.get_inputs()[0].shape[1:]
        if list(pixel_values.shape[1:]) != expected:
            raise ValueError(
                f"pixel_values must have shape (batch, {', '.join(map(str, expected))}), the size that was exported, "
                f"got {tuple(pixel_values.shape)}."
            )
        [embeddings] = self.session.run(["image_embeddings"], {"pixel_values": _as_array(pixel_values)})
        return SamVisionEncoderOutput(last_hidden_state=torch.from_numpy(embeddings))


class _OnnxMaskDecoder(nn.Module):
    def __init__(self, session: Any):
        super().__init__()
        self.session = session

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
        """See `MaskDecoder.forward`."""
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
        masks, scores = self.session.run(
            ["pred_masks", "iou_scores"], {**arrays, "is_padding": np.ascontiguousarray(is_padding.numpy())}
        )
        chosen = choose_masks(multimask_output)
        return torch.from_numpy(masks)[:, :, chosen], torch.from_numpy(scores)[:, :, chosen]


def _as_array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().float().numpy())


def _open(path: Path, providers: Sequence[Any] | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "Exported files need onnxruntime, which is not installed; run pip install 'anymask[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # leaves the cores to PyTorch between calls
    return onnxruntime.InferenceSession(path, options, providers=list(providers or ["CPUExecutionProvider"]))
