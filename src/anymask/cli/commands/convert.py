"""`anymask convert`: a checkpoint from one layout to the other, whole or not at all, and compared on request."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from ...checkpoints import META_SUFFIXES, save_meta_checkpoint
from ...configuration_sam import META_DECODER_LAYER_NORM_EPS
from ...support.atomic_files import whole_folder
from ..start import keep_libraries_quiet

if TYPE_CHECKING:
    from torch import Tensor

    from ...modeling_sam import SamModel

_OTHER_SUFFIXES = (".bin", ".ckpt", ".onnx", ".pkl", ".zip")


@dataclass(frozen=True)
class Converted:
    """What was written, and what a comparison found.

    Attributes:
        output: the file or folder.
        layout: "Meta" or "hub".
        tensor_count: how many tensors were written.
        notes: what the other layout does not say, in sentences.
    """

    output: Path
    layout: str
    tensor_count: int
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The line that `--json` prints."""
        return {"output": str(self.output), "layout": self.layout, "tensors": self.tensor_count, "notes": self.notes}


def convert(source: str, output: Path, verify: bool = False) -> Converted:
    """Write a checkpoint in Meta's layout where `output` is a .pth, .pt or .safetensors file, else as a hub folder.

    Weights keep their dtype and are the same bit for bit.

    Args:
        source: whatever `SamModel.from_pretrained` takes: file, folder, packaged name or hub id.
        output: file or folder; must not exist yet.
        verify: whether to load what was written, and compare all weights, and outputs on an image of noise.

    Raises:
        OSError: If the source is not to be had or the output cannot be written.
        ValueError: If the source is no SAM, the output exists or is of another kind, or the comparison fails.
    """
    from ...modeling_sam import SamModel

    keep_libraries_quiet()
    if os.path.lexists(output):
        raise ValueError(f"{output} must not exist yet: a checkpoint is not overwritten; name another, or remove it")
    if output.suffix.lower() in _OTHER_SUFFIXES:
        raise ValueError(
            f"{output} must end in {', '.join(META_SUFFIXES)} for a file in Meta's layout, or have no such ending "
            f"for a folder in the hub's"
        )
    model = SamModel.from_pretrained(source, dtype="auto").eval()
    layout = "Meta" if output.suffix in META_SUFFIXES else "hub"
    notes, how_to_read = [], {}
    if layout == "Meta":
        how_to_build = save_meta_checkpoint(model, output)
        if how_to_build is not None:
            notes.append(
                f"the tensors alone do not say what this model is: anymask reads the file with config={source!r}, and "
                f"with Meta's package this builds the model:\n\n{how_to_build}"
            )
            config = copy.deepcopy(model.config)
            config.mask_decoder_config.layer_norm_eps = META_DECODER_LAYER_NORM_EPS
            how_to_read = {"config": config}
    else:
        _save_folder(model, source, output)
    if verify:
        notes += _compare(model, SamModel.from_pretrained(str(output), dtype="auto", **how_to_read).eval())
    return Converted(output, layout, len(_weights(model)), notes)


def _save_folder(model: SamModel, source: str, output: Path) -> None:
    """Model and processor as `from_pretrained` takes them, in a folder that appears when it is complete."""
    from ...processing_sam import SamProcessor

    processor = SamProcessor.from_pretrained(source)
    try:
        with whole_folder(output) as folder:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
    except (OSError, SafetensorError) as error:  # of writing, such as to a full disk
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"{output} must be a folder that can be written, but: {reason}. Nothing was written.") from error


def _compare(before: SamModel, after: SamModel) -> list[str]:
    """Check that nothing changed.

    Returns:
        What differs because Meta's layout has no place for it.

    Raises:
        ValueError: If a weight differs, or outputs do by more than the epsilon explains.
    """
    import torch

    ours, theirs = _weights(before), _weights(after)
    different = [
        name
        for name in sorted(ours.keys() | theirs.keys())
        if name not in ours
        or name not in theirs
        or ours[name].dtype != theirs[name].dtype
        or not torch.equal(ours[name], theirs[name])
    ]
    if different:
        raise ValueError(f"the weights written must be those read, but {len(different)} differ, {different[0]} first")
    notes = []
    eps, eps_after = (model.config.mask_decoder_config.layer_norm_eps for model in (before, after))
    expected = _outputs(before, before)
    if eps != eps_after:
        largest, scale = _difference(expected, _outputs(before, after))
        notes.append(
            f"the mask decoder's layer norms have epsilon {eps:g} in the source and {eps_after:g} in Meta's code: mask "
            f"logits differ by up to {largest:.1e} of {scale:.1e}"
        )
        _set_decoder_eps(after, eps)
    largest, scale = _difference(expected, _outputs(after, after))
    if largest > 1e-6 * scale:
        raise ValueError(f"the outputs must be the same, but mask logits differ by up to {largest:.1e} of {scale:.1e}")
    return notes


def _weights(model: SamModel) -> dict[str, Tensor]:
    return dict(model.named_parameters())  # tied ones once


def _outputs(encoder: SamModel, decoder: SamModel) -> Tensor:
    """Mask logits for a point in the middle of an image of noise, always the same."""
    import torch

    side = encoder.config.vision_config.image_size
    generator = torch.Generator("cpu").manual_seed(0)
    pixels = torch.randn(
        1, encoder.config.vision_config.num_channels, side, side, generator=generator, dtype=torch.float32, device="cpu"
    )
    with torch.inference_mode():
        embeddings = encoder.get_image_embeddings(pixels)
        point = torch.tensor([[[[side / 2, side / 2]]]], dtype=torch.float32, device="cpu")
        return decoder(image_embeddings=embeddings, input_points=point).pred_masks.float()


def _difference(expected: Tensor, actual: Tensor) -> tuple[float, float]:
    """Largest difference, and largest expected value."""
    return (expected - actual).abs().max().item(), expected.abs().max().item()


def _set_decoder_eps(model: Any, eps: float) -> None:
    for block in model.mask_decoder.transformer.layers:
        for norm in (block.layer_norm1, block.layer_norm2, block.layer_norm3, block.layer_norm4):
            norm.eps = eps
