"""Mix the weights of a model that went on learning with those that it began from.

    python -m anymask.training.nano.blend --model runs/nano/export --start BEFORE --output runs/nano/blended

What was learned last is kept nearly whole, and what was known before comes back: for `sam-vit-nano` a fifth of the old
weights gave back part of what drawn scenes had lost, at no cost on photographs. It works only between models of which
one was trained on from the other.

Source: Wortsman et al., Robust fine-tuning of zero-shot models (2022).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ...modeling_sam import SamModel
from .model import export_model, load_nano


@torch.no_grad()
def blend(model: SamModel, start: SamModel, share: float) -> None:
    """Make each parameter of `model` a mean: `share` of its own, the rest of `start`'s.

    Raises:
        ValueError: If the share is not within 0 ... 1, or the models differ in their parameters.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"The share of the model's own weights must be from 0 to 1, got {share}.")
    own, others = dict(model.named_parameters()), dict(start.named_parameters())
    if {name: weight.shape for name, weight in own.items()} != {name: weight.shape for name, weight in others.items()}:
        raise ValueError("The models must have the same parameters: one must have been trained on from the other.")
    for name, weight in own.items():
        weight.lerp_(others[name], 1 - share)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m anymask.training.nano.blend", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", required=True, help="folder or name for SamModel.from_pretrained")
    parser.add_argument("--start", required=True, help="the model that it was trained on from")
    parser.add_argument("--share", type=float, default=0.8, help="of the model's own weights (0.8)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the blended model")
    arguments = parser.parse_args(argv)
    model = load_nano(arguments.model)
    blend(model, load_nano(arguments.start), arguments.share)
    export_model(model, arguments.output)


if __name__ == "__main__":
    main()
