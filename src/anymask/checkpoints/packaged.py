"""The checkpoints in this package, loaded without `PreTrainedModel` and `BaseImageProcessor`.

Importing those takes longer than sam-vit-nano takes for a photo. What is in the package is known to be whole, of this
version, and in one file, so that nothing of what `from_pretrained` does for other checkpoints is missing here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..configuration_sam import SamConfig
from ..images.preparation import ImagePreprocessor
from ..modeling.network import SamNetwork
from ..weights.names import resolve_checkpoint
from .formats.key_map import TIED_KEY, TIED_TO


def load_network(name: str | os.PathLike[str], dtype: str | torch.dtype | None = None) -> SamNetwork:
    """The network of a packaged checkpoint, on the CPU, in evaluation mode.

    Args:
        name: one of `PACKAGED_CHECKPOINTS`.
        dtype: of the weights, or its name; None and "auto" take the one that `config.json` names.

    Raises:
        ValueError: If there is no such dtype.
    """
    folder = Path(resolve_checkpoint(name))
    config = SamConfig.from_pretrained(folder, attn_implementation="sdpa")  # what `PreTrainedModel` chooses
    config.name_or_path = os.fspath(folder)
    dtype = _floating(config.dtype if dtype in (None, "auto") else dtype)
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        part.dtype = dtype
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn for nothing; on "meta" torch imports more
        network = SamNetwork(config)
    weights = load_file(folder / "model.safetensors")
    network.load_state_dict({**weights, TIED_KEY: weights[TIED_TO]}, assign=True)
    network.prompt_encoder.shared_embedding.positional_embedding = network.shared_image_embedding.positional_embedding
    return network.to(dtype).eval()


def load_preparation(name: str | os.PathLike[str]) -> ImagePreprocessor:
    """How images are prepared for a packaged checkpoint; `name` as in `load_network`."""
    options = Path(resolve_checkpoint(name)) / "preprocessor_config.json"
    return ImagePreprocessor.from_dict(json.loads(options.read_text(encoding="utf-8")))


def _floating(dtype: str | torch.dtype) -> torch.dtype:
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(named, torch.dtype) or not named.is_floating_point:
        raise ValueError(f"`dtype` must be a floating dtype of torch or its name, such as 'bfloat16', got {dtype!r}.")
    return named
