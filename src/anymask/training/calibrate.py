"""Fit the head that predicts IoU, and nothing else, once the masks no longer change.

    python -m anymask.training.calibrate --model runs/nano/export --data DATA --output runs/nano/calibrated

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

from ..modeling_sam import SamModel
from .data import SampleOptions, make_loader, normalise_images
from .export import export_model
from .losses import thresholded_iou
from .nano import MASK_STRIDE
from .photo_samples import PhotoSamples
from .prompt_simulation import first_prompts

FIRST_SAMPLE = 10_000_000  # none that a training run has seen
TRIAL_SHARE = 0.2  # of the prompts, kept to say when to stop
EPOCHS = 200
PATIENCE = 20


@torch.no_grad()
def collect(model: SamModel, samples: PhotoSamples, num_images: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the head sees and what it must say, for clicks and boxes in equal parts.

    Returns:
        Features (N, channels) and the real IoU (N, 4) of the single mask and the three others, float32.
    """
    seen: list[torch.Tensor] = []
    hook = model.mask_decoder.iou_prediction_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    generator = torch.Generator().manual_seed(seed)
    features, real = [], []
    # One image at a time: the decoder takes prompts some at a time, and their order must be that of the targets.
    loader = make_loader(samples, FIRST_SAMPLE, batch_size=1, num_workers=0)
    for _, batch in zip(range(num_images), loader, strict=False):
        targets = batch["targets"]
        embeddings = model.get_image_embeddings(normalise_images(batch["image"]))
        points, labels = first_prompts(targets, batch["boxes"], MASK_STRIDE, 0.5, generator)
        prompts = {"image_embeddings": embeddings, "input_points": points, "input_labels": labels}
        ious = []
        for several in (False, True):
            seen.clear()
            output = model(**prompts, multimask_output=several)
            ious.append(thresholded_iou(output.pred_masks, targets.unsqueeze(-3)))
        features.append(torch.cat([inputs.reshape(-1, inputs.shape[-1]) for inputs in seen]))
        real.append(torch.cat(ious, dim=-1).flatten(0, 1))
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
        prog="python -m anymask.training.calibrate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", required=True, help="folder or name for SamModel.from_pretrained")
    parser.add_argument("--data", type=Path, required=True, help="folder with photos, cutouts and backgrounds")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model with its head fitted")
    parser.add_argument("--images", type=int, default=400, help="pictures to collect from (400)")
    parser.add_argument("--num-prompts", type=int, default=8, help="prompts of each (8)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    torch.manual_seed(arguments.seed)
    model = SamModel.from_pretrained(arguments.model, dtype="float32").eval()
    options = SampleOptions(model.config.vision_config.image_size, arguments.num_prompts, seed=arguments.seed)
    features, real = collect(model, PhotoSamples(options, arguments.data), arguments.images, arguments.seed)
    before, after = fit(model.mask_decoder.iou_prediction_head, features, real)
    print(f"{len(features)} prompts; mean squared error on a fifth of them {before:.4f} before, {after:.4f} after")
    export_model(model, arguments.output)


if __name__ == "__main__":
    main()
