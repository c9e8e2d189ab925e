"""Fit the head that predicts IoU, and nothing else, once the masks no longer change.

    python -m anymask.training.nano.calibrate --model runs/nano/export --data DATA --output runs/nano/calibrated

While the whole model learns, the head follows masks that change under it. Here everything else stays as it is: what the
head sees and the real IoU of all four masks are collected once, for clicks and boxes on photographs that are not held
out, and the head is fitted to them within seconds. Masks do not change; which of them is chosen may.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ...modeling.losses import masks_iou
from ...modeling_sam import SamModel
from ..collate import SamDataCollator
from ..recipes import PromptedRounds, PromptRecipe
from ..samples import TrainingSamples
from .model import export_model, load_nano
from .photographs import PhotoPictures
from .scenes import NanoSamples

FIRST_SAMPLE = 10_000_000  # none that a training run has seen
TRIAL_SHARE = 0.2  # of the prompts, kept to say when to stop
EPOCHS = 200
PATIENCE = 20


@torch.no_grad()
def collect(model: SamModel, samples: TrainingSamples, num_images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the head sees and what it must say, for clicks and boxes in equal parts.

    Returns:
        Features (N, channels) and the real IoU (N, 4) of the single mask and the three others, float32.
    """
    seen: list[torch.Tensor] = []
    hook = model.mask_decoder.iou_prediction_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    collate, recipe = SamDataCollator(), PromptRecipe.named("nano")
    features, real = [], []
    # One image at a time: the decoder takes prompts some at a time, and their order must be that of the targets.
    for index in range(num_images):
        batch = collate([samples[FIRST_SAMPLE + index]])
        pixel_values, labels = batch["pixel_values"], batch["labels"]
        frame_hw = (pixel_values.shape[2], pixel_values.shape[3])
        prompts = PromptedRounds(recipe, labels, batch["input_boxes"], frame_hw, seeds=batch["sample_seed"]).first()
        given = {
            "image_embeddings": model.get_image_embeddings(pixel_values),
            "input_points": prompts.points,
            "input_labels": prompts.labels,
        }
        ious = []
        for several in (False, True):
            seen.clear()
            masks = model(**given, multimask_output=several).pred_masks[0]
            ious.append(masks_iou(masks, (labels[0] == 1).float(), (labels[0] >= 0).float()))
        features.append(torch.cat([inputs.reshape(-1, inputs.shape[-1]) for inputs in seen]))
        real.append(torch.cat(ious, dim=-1))
    hook.remove()
    return torch.cat(features).float(), torch.cat(real)


def fit(
    head: nn.Module, features: torch.Tensor, real: torch.Tensor, learning_rate: float = 5e-4
) -> tuple[float, float]:
    """Fit the head to the real IoU; the weights that do best on a fifth of the images, kept aside, stay.

    Returns:
        Mean squared error on that fifth, before and after.
    """
    trial = max(1, int(TRIAL_SHARE * len(features)))
    training_features, training_real = features[:-trial], real[:-trial]

    def trial_error() -> float:
        with torch.no_grad():
            return F.mse_loss(head(features[-trial:]), real[-trial:]).item()

    before = best = trial_error()
    kept = {name: weight.detach().clone() for name, weight in head.state_dict().items()}
    optimizer = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=0.01)
    since = 0
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(training_features)).split(64):
            loss = F.mse_loss(head(training_features[rows]), training_real[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        error = trial_error()
        since += 1
        if error < best:
            best, since = error, 0
            kept = {name: weight.detach().clone() for name, weight in head.state_dict().items()}
        if since == PATIENCE:
            break
    head.load_state_dict(kept)
    return before, best


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m anymask.training.nano.calibrate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", required=True, help="folder or name for SamModel.from_pretrained")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos, cutouts and backgrounds")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model with its head fitted")
    parser.add_argument("--images", type=int, default=400, help="pictures to collect from (400)")
    parser.add_argument("--num-prompts", type=int, default=8, help="prompts of each (8)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    torch.manual_seed(arguments.seed)
    model = load_nano(arguments.model)
    pictures = PhotoPictures(arguments.data, arguments.seed, model.config.vision_config.image_size)
    samples = NanoSamples(pictures, per_epoch=1, num_prompts=arguments.num_prompts)
    features, real = collect(model, samples, arguments.images)
    before, after = fit(model.mask_decoder.iou_prediction_head, features, real)
    print(f"{len(features)} prompts; mean squared error on a fifth of them {before:.4f} before, {after:.4f} after")
    export_model(model, arguments.output)


if __name__ == "__main__":
    main()
