"""What fine-tuning gained: held-out images segmented as users do it, before and after: numbers, curves, pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ...checkpoints.model_card import TRAINING_SCORES
from ...data import MaskDataset, open_dataset
from ...evaluation.tasks.clicks import next_click
from ...masks.measures import iou_to_dice, mask_iou
from ...masks.rle import Rle, mask_to_rle, rle_to_coco
from ...modeling_sam import SamModel
from ...processing_sam import SamProcessor
from ...results.overlay import draw_overlay, paste_side_by_side
from ...sam import SAM
from ...support.atomic_files import write_json
from .options import FineTuneOptions

PICTURES = 6
_NAME_LENGTH = 60  # characters, of which some take four of the 255 bytes that a file's name may have
PANEL = (400, 300)  # width and height of one of the curves, in pixels
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


Drawn = dict[str, dict[str, list[Rle]]]
"""Masks of each image, by its name: the "truth", and what "box" and "click" gave, where pixels are known."""


def score(model: SamModel, processor: SamProcessor, samples: MaskDataset) -> tuple[Scores, Drawn]:
    """Segment every object of the samples by its box and by a click, and compare.

    Args:
        model: is left in the mode that it is in.
        processor: of the model.
        samples: held-out images; empty masks are passed over.

    Returns:
        The scores, and the masks that they are of.
    """
    ious: dict[str, list[np.ndarray]] = {prompt: [] for prompt in PROMPTS}
    by_name, drawn = {}, {}
    for sample in samples:
        found = predict_objects(model, processor, sample)
        if found is None:
            continue
        masks, targets, known = found
        for prompt in PROMPTS:
            ious[prompt].append(mask_iou(masks[prompt] & known, targets))
        by_name[sample.name] = float(iou_to_dice(ious["box"][-1]).mean())
        shown = {"truth": targets, **{prompt: masks[prompt] & known for prompt in PROMPTS}}
        drawn[sample.name] = {name: [mask_to_rle(mask) for mask in some] for name, some in shown.items()}
    joined = {prompt: np.concatenate(values) for prompt, values in ious.items()}
    scores = Scores(
        objects=len(joined["box"]),
        box_dice=float(iou_to_dice(joined["box"]).mean()),
        box_iou=float(joined["box"].mean()),
        click_dice=float(iou_to_dice(joined["click"]).mean()),
        click_iou=float(joined["click"].mean()),
        samples=by_name,
    )
    return scores, drawn


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


def write_report(
    output: Path,
    options: FineTuneOptions,
    before: tuple[Scores, Drawn],
    after: tuple[Scores, Drawn],
    samples: MaskDataset,
) -> None:
    """Write `report.json`, `report.md`, `held_out.jsonl`, `curves.png` and pictures in `overlays/`.

    Args:
        output: folder of the run, with its `log.jsonl`.
        options: of the run.
        before: what `score` gave for the model as it was.
        after: the same for the model as it is.
        samples: held-out ones; those that gained most and least are drawn.
    """
    (first, masks_before), (last, masks_after) = before, after
    scores = {"before": vars(first), "after": vars(last)}
    write_json(output / "report.json", {"options": vars(options), **scores})
    with (output / "held_out.jsonl").open("w", encoding="utf-8") as file:
        for name, masks in masks_after.items():
            sides = {"before": masks_before[name], "after": masks}
            line: dict[str, Any] = {"sample": name, "truth": _in_coco(masks["truth"])}
            line |= {side: {prompt: _in_coco(some[prompt]) for prompt in PROMPTS} for side, some in sides.items()}
            file.write(json.dumps(line) + "\n")
    shown = _most_and_least({name: last.samples[name] - first.samples[name] for name in last.samples})
    (output / "overlays").mkdir(exist_ok=True)
    for sample in samples:
        if sample.name in shown:
            several = [sample.rles, masks_before[sample.name]["box"], masks_after[sample.name]["box"]]
            picture = paste_side_by_side([draw_overlay(sample.image, masks) for masks in several])
            picture.save(output / "overlays" / _file_name(sample.name))
    log = [json.loads(line) for line in (output / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    curves = draw_curves(log, {"loss": "loss", "eval_dice": "held-out Dice"})
    if curves is not None:
        curves.save(output / "curves.png")
    text = _to_markdown(options, first, last, shown, has_curves=curves is not None)
    (output / "report.md").write_text(text, encoding="utf-8")


def _to_markdown(options: FineTuneOptions, first: Scores, last: Scores, shown: Sequence[str], has_curves: bool) -> str:
    """The text of `report.md`: scores before and after, and the pictures of the images that are shown."""
    rows = [
        f"| {label} | {getattr(first, name):.3f} | {getattr(last, name):.3f} | "
        f"{getattr(last, name) - getattr(first, name):+.3f} |"
        for name, label in TRAINING_SCORES.items()
    ]
    lines = [
        f"# Fine-tuning {options.model} on {options.data}",
        "",
        f"{last.objects} objects in {len(last.samples)} held-out images, at the size of the images. `learn` was "
        f"{options.learn}, prompts of the recipe {options.recipe}; all options are in config.json, all masks as COCO's "
        "run lengths in held_out.jsonl.",
        "",
        "| mean over objects | before | after | gain |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        *(["![Loss and Dice over the steps](curves.png)", ""] if has_curves else []),
        "Masks for exact boxes: the truth, before, after. The images that gained most come first, then the one that "
        "gained least.",
        "",
        *(f"![{name}](overlays/{quote(_file_name(name))})" for name in shown),
    ]
    return "\n".join(lines) + "\n"


def _in_coco(masks: Sequence[Rle]) -> list[dict[str, Any]]:
    return [rle_to_coco(mask) for mask in masks]


def _most_and_least(gains: Mapping[str, float]) -> list[str]:
    names = sorted(gains, key=lambda name: -gains[name])
    return [*names[: PICTURES - 1], *names[PICTURES - 1 :][-1:]]


def _file_name(name: str) -> str:
    """Of a sample's picture: slices of one volume, "a.nii.gz:0041", and a.jpg beside a.png have files of their own."""
    return re.sub(r'[/\\:*?"<>|]', "_", name).removesuffix(".png")[-_NAME_LENGTH:] + ".png"


def draw_curves(log: Sequence[Mapping[str, float]], curves: Mapping[str, str]) -> Image.Image | None:
    """Numbers of a log over its steps, one panel beside the other; None where there are none yet.

    Args:
        log: entries with a "step" and some of the numbers.
        curves: what a number is called in the picture, by its name in the log.
    """
    drawn = {title: [(entry["step"], entry[name]) for entry in log if name in entry] for name, title in curves.items()}
    drawn = {title: points for title, points in drawn.items() if points}
    if not drawn:
        return None
    width, height = PANEL
    picture = Image.new("RGB", (width * len(drawn), height), "white")
    for place, (title, points) in enumerate(drawn.items()):
        _draw_panel(ImageDraw.Draw(picture), place * width, title, points)
    return picture


def _draw_panel(draw: ImageDraw.ImageDraw, left: int, title: str, points: Sequence[tuple[float, float]]) -> None:
    """One curve in a frame, with the ends of both axes and the last value written beside it."""
    width, height = PANEL
    frame = (left + 60, 34, left + width - 20, height - 40)
    x0, y0, x1, y1 = frame
    steps, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    first, last = min(steps), max(max(steps), min(steps) + 1)
    draw.rectangle(frame, outline="#999999")
    font = ImageFont.load_default(13)
    draw.text(((x0 + x1) / 2, 18), title, "black", font, anchor="mm")
    for value, y in ((high, y0), (low, y1)):
        draw.text((x0 - 6, y), f"{value:.3g}", "#555555", font, anchor="rm")
    for step, x in ((first, x0), (last, x1)):
        draw.text((x, y1 + 14), f"{step:.0f}", "#555555", font, anchor="mm")
    draw.text(((x0 + x1) / 2, y1 + 28), "step", "#555555", font, anchor="mm")
    corners = [
        (x0 + (x1 - x0) * (step - first) / (last - first), y1 - (y1 - y0) * (value - low) / (high - low))
        for step, value in points
    ]
    draw.line(corners, fill="#1f6fb4", width=2)
    for x, y in corners:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill="#1f6fb4")


def score_data(model: SamModel, processor: SamProcessor, data: Any) -> Scores:
    """Scores of a model on a data set; what `SAM.val` does."""
    return score(model, processor, open_dataset(data))[0]
