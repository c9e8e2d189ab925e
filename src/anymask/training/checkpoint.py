"""Checkpoints that a killed run can trust: renamed into place when whole, read without running pickled code."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .optimizers import WeightAverage

FOLDER_PATTERN = re.compile(r"step-(\d{8})")
KEPT_CHECKPOINTS = 2


def save_checkpoint(
    output: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    average: WeightAverage,
    state: dict[str, Any],
) -> Path:
    """Write `output/checkpoints/step-NNNNNNNN` and drop all but the newest two.

    Args:
        state: JSON-like facts of the run, with its `step`.

    Returns:
        The new folder: model.safetensors, average.safetensors, optimizers.pt, state.json.
    """
    folder = output / "checkpoints" / f"step-{state['step']:08d}"
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file(_tensors(model), unfinished / "model.safetensors")
    save_file(average.weights, unfinished / "average.safetensors")
    torch.save([optimizer.state_dict() for optimizer in optimizers], unfinished / "optimizers.pt")
    (unfinished / "state.json").write_text(json.dumps({**state, "average_steps": average.steps}, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)
    for old in checkpoint_folders(output)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)
    return folder


def load_checkpoint(
    folder: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], average: WeightAverage
) -> dict[str, Any]:
    """Bring everything back to what `save_checkpoint` saw, and return its state."""
    tensors = _tensors(model)
    for name, saved_tensor in load_file(folder / "model.safetensors").items():
        tensors[name].copy_(saved_tensor)
    average.weights = load_file(folder / "average.safetensors")
    saved = torch.load(folder / "optimizers.pt", weights_only=True)
    for optimizer, optimizer_state in zip(optimizers, saved, strict=True):
        optimizer.load_state_dict(optimizer_state)
    state = json.loads((folder / "state.json").read_text())
    average.steps = state.pop("average_steps")
    return state


def checkpoint_folders(output: Path) -> list[Path]:
    """Finished checkpoints under `output`, oldest first."""
    folders = [path for path in (output / "checkpoints").glob("step-*") if FOLDER_PATTERN.fullmatch(path.name)]
    return sorted(folders)


def latest_checkpoint(output: Path) -> Path:
    """The newest finished checkpoint under `output`.

    Raises:
        FileNotFoundError: if there is none.
    """
    folders = checkpoint_folders(output)
    if not folders:
        raise FileNotFoundError(
            f"--resume needs a checkpoint under {output / 'checkpoints'}, found none; start without --resume."
        )
    return folders[-1]


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, each once; `state_dict` would name shared ones twice, which safetensors refuses."""
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}
