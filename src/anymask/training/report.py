"""What fine-tuning gained: held-out images segmented as users do it, before and after: numbers, curves, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import MaskDataset
from ..evaluation.clicks import next_click
from ..masks.measures import mask_iou
from ..modeling_sam import SamModel
from ..processing_sam import SamProcessor
from ..results.overlay import draw_overlay
from ..sam import SAM

PICTURES = 6
PROMPTS = ("box", "click")


@dataclass(frozen=True)
class Scores:
    """Means over all held-out objects, at the size of the images: the mask that `SAM.predict` gives.

    Attributes:
        objects: how many there are.
        box_dice: for the exact box of each object.
        box_iou: likewise.
        click_dice: for one click on the pixel farthest inside.
        click_iou: likewise.
        samples: mean Dice for boxes of each image, by its name.
    """

    objects: int
    box_dice: float
    box_iou: float
    click_dice: float
    click_iou: float
    samples: Mapping[str, float]

    def __str__(self) -> str:
        return f"Dice {self.box_dice:.3f} for a box and {self.click_dice:.3f} for a click, of {self.objects} objects"


def score(model: SamModel, processor: SamProcessor, samples: MaskDataset) -> Scores:
    """Segment every object of the samples by its box and by a click, and compare.

    Args:
        model: is left in the mode that it is in.
        processor: of the model.
        samples: held-out images; empty masks are passed over.
    """
    ious: dict[str, list[np.ndarray]] = {prompt: [] for prompt in PROMPTS}
    by_name = {}
    for sample in samples:
        found = predict_objects(model, processor, sample)
        if found is None:
            continue
        masks, targets, known = found
        for prompt in PROMPTS:
            ious[prompt].append(mask_iou(masks[prompt] & known, targets))
        by_name[sample.name] = float(_dice(ious["box"][-1]).mean())
    joined = {prompt: np.concatenate(values) for prompt, values in ious.items()}
    return Scores(
        objects=len(joined["box"]),
        box_dice=float(_dice(joined["box"]).mean()),
        box_iou=float(joined["box"].mean()),
        click_dice=float(_dice(joined["click"]).mean()),
        click_iou=float(joined["click"].mean()),
        samples=by_name,
    )


def predict_objects(
    model: SamModel, processor: SamProcessor, sample: Any
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray] | None:
    """Masks of the objects of a sample for each kind of prompt, their targets (N, H, W), and which pixels are known."""
    targets = sample.targets
    real = (targets == 1).any(axis=(1, 2))
    if not real.any():
        return None
    targets = targets[real]
    was_training = model.training
    model.eval()
    sam = SAM(model, processor=processor)
    embedding = sam.embed(sample.image)
    clicks = next_click(None, torch.from_numpy(targets)).points_xy.numpy()
    with torch.no_grad():
        prompts = {"box": {"boxes": sample.boxes_xyxy[real]}, "click": {"points": clicks}}
        masks = {name: sam.predict(embedding, **given)[0].masks for name, given in prompts.items()}
    model.train(was_training)
    return masks, targets == 1, targets[0] >= 0


def _dice(ious: np.ndarray) -> np.ndarray:
    return 2 * ious / (1 + ious)


def write_report(
    output: Path,
    options: Any,
    before: Scores,
    after: Scores,
    models: tuple[SamModel, SamModel],
    processor: SamProcessor,
    samples: MaskDataset,
) -> None:
    """Write `report.json`, `report.md`, `curves.png` and pictures in `overlays/`.

    Args:
        output: folder of the run, with its `log.jsonl`.
        options: of the run.
        before: scores of the first model.
        after: scores of the second.
        models: as it was, and as it is.
        processor: of both.
        samples: held-out ones; those that gained most and least are drawn.
    """
    scores = {"before": vars(before), "after": vars(after)}
    (output / "report.json").write_text(json.dumps({"options": vars(options), **scores}, indent=2) + "\n")
    gains = {name: after.samples[name] - before.samples[name] for name in after.samples}
    shown = _most_and_least(gains)
    _draw_overlays(output / "overlays", models, processor, [s for s in samples if s.name in shown])
    has_curves = _draw_curves(output)
    rows = [
        f"| {label} | {getattr(before, name):.3f} | {getattr(after, name):.3f} | "
        f"{getattr(after, name) - getattr(before, name):+.3f} |"
        for name, label in (
            ("box_dice", "Dice, box"),
            ("box_iou", "IoU, box"),
            ("click_dice", "Dice, one click"),
            ("click_iou", "IoU, one click"),
        )
    ]
    lines = [
        f"# Fine-tuning {options.model} on {options.data}",
        "",
        f"{after.objects} objects in {len(after.samples)} held-out images, at the size of the images. `learn` was "
        f"{options.learn}, prompts of the recipe {options.recipe}; all options are in config.json.",
        "",
        "| mean over objects | before | after | gain |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        *(["![Loss and Dice over the steps](curves.png)", ""] if has_curves else []),
        "Masks for exact boxes: the truth, before, after. The images that gained most come first, then the one that "
        "gained least.",
        "",
        *(f"![{name}](overlays/{_file_name(name)})" for name in shown),
    ]
    (output / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _most_and_least(gains: Mapping[str, float]) -> list[str]:
    names = sorted(gains, key=lambda name: -gains[name])
    return [*names[: PICTURES - 1], *names[PICTURES - 1 :][-1:]]


def _draw_overlays(
    folder: Path, models: tuple[SamModel, SamModel], processor: SamProcessor, samples: Sequence[Any]
) -> None:
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for sample in samples:
        found = [predict_objects(model, processor, sample) for model in models]
        panels = [found[0][1], *(masks["box"] for masks, _, _ in found)]  # type: ignore[index,misc]
        drawn = [draw_overlay(sample.image, panel) for panel in panels]
        picture = Image.new("RGB", (sum(p.width for p in drawn) + 8 * (len(drawn) - 1), drawn[0].height), "white")
        for place, panel in enumerate(drawn):
            picture.paste(panel, (place * (panel.width + 8), 0))
        picture.save(folder / _file_name(sample.name))


def _file_name(name: str) -> str:
    return name.replace("/", "_").rpartition(".")[0] + ".png" if "." in name else name.replace("/", "_") + ".png"


def _draw_curves(output: Path) -> bool:
    """Loss and held-out Dice over the steps; not drawn without Matplotlib, which only this needs."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, key, title in zip(figure.subplots(1, 2), ("loss", "eval_dice"), ("loss", "held-out Dice"), strict=True):
        entries = [entry for entry in log if key in entry]
        axes.plot([entry["step"] for entry in entries], [entry[key] for entry in entries], marker=".")
        axes.set(title=title, xlabel="step")
    figure.savefig(output / "curves.png", dpi=100)
    return True
