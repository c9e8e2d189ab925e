"""Choose the thresholds of segment everything on held-out photographs: what is found against what is wrong.

    python -m anymask.evaluation.nano.thresholds --data DATA --model runs/nano/export --json thresholds.json

Every photograph is segmented once with thresholds that keep nearly all masks; each setting then filters what was found.
Recall is the average recall over all photographs: the share of given masks that some kept mask covers with an IoU above
0.5, 0.55 ... 0.95, averaged. Precision needs photographs in which all is masked, so it counts a kept mask as right if
its IoU with a given one is above 0.5 in the sources of `COMPLETE` alone, and in drawn scenes. Every source counts once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from ...image_processing_sam import SamImageProcessor
from ...mask_generation.generator import SamMaskGenerator
from ...masks.measures import nms
from ...masks.rle import rle_to_mask
from ...modeling_sam import SamModel
from ...support.atomic_files import write_json
from .examples import Example, held_out_scenes
from .photographs import read_photograph_examples

COMPLETE = ("scenes", "facades", "mushrooms", "nuclei-dsb2018")
RECALL_IOUS = np.arange(0.5, 1.0, 0.05)
RIGHT_IOU = 0.5
RECALL_WEIGHT = 2.0  # beta of the F measure: what is missed cannot be had back, what is too much can be filtered
IOU_THRESHOLDS = tuple(step / 20 for step in range(4, 19))
STABILITY_THRESHOLDS = tuple(step / 20 for step in range(8, 20))
NMS_THRESHOLDS = (0.5, 0.6, 0.7)
PIXEL_STEP = 2  # masks are compared on every second pixel of every second row


@dataclass(frozen=True)
class Setting:
    """Thresholds under the names of `MaskGenerationOptions`."""

    pred_iou_thresh: float
    stability_score_thresh: float
    box_nms_thresh: float


@dataclass(frozen=True)
class Found:
    """All candidates of one photograph, and how well they fit the masks given for it.

    Attributes:
        source: of the photograph.
        ious: (candidates, given masks) float32.
        boxes_xyxy: (candidates, 4) float32.
        predicted_ious: (candidates,).
        stabilities: (candidates,).
    """

    source: str
    ious: np.ndarray
    boxes_xyxy: torch.Tensor
    predicted_ious: torch.Tensor
    stabilities: torch.Tensor

    def kept(self, setting: Setting) -> np.ndarray:
        """Indices of the candidates that a setting keeps."""
        passed = (self.predicted_ious > setting.pred_iou_thresh) & (self.stabilities >= setting.stability_score_thresh)
        indices = passed.nonzero().squeeze(1)
        kept = nms(self.boxes_xyxy[indices], self.predicted_ious[indices], setting.box_nms_thresh)
        return indices[kept].numpy()


def find_everything(generator: SamMaskGenerator, source: str, example: Example) -> Found:
    """Segment a photograph with thresholds that keep nearly all masks."""
    records = generator.generate(
        example.image,
        pred_iou_thresh=0.1,
        stability_score_thresh=0.1,
        box_nms_thresh=0.95,
        output_mode="uncompressed_rle",
    )
    given = example.masks[:, ::PIXEL_STEP, ::PIXEL_STEP].reshape(len(example.masks), -1).astype(np.float32)
    found = [rle_to_mask(record["segmentation"])[::PIXEL_STEP, ::PIXEL_STEP].ravel() for record in records]
    masks = np.array(found, dtype=np.float32).reshape(len(found), given.shape[1])
    overlap = masks @ given.T
    union = masks.sum(axis=1)[:, None] + given.sum(axis=1)[None] - overlap
    boxes = np.array([record["bbox"] for record in records], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Found(
        source,
        overlap / np.maximum(union, 1),
        torch.from_numpy(boxes),
        torch.tensor([record["predicted_iou"] for record in records]),
        stabilities=torch.tensor([record["stability_score"] for record in records]),
    )


def judge(photographs: Sequence[Found], setting: Setting) -> dict[str, float]:
    """Average recall, precision, their F measure, and masks per photograph of a setting."""
    recalls: dict[str, list[float]] = {}
    precisions: dict[str, list[float]] = {}
    counts = []
    for photograph in photographs:
        ious = photograph.ious[photograph.kept(setting)]
        counts.append(len(ious))
        best = ious.max(axis=0) if len(ious) else np.zeros(ious.shape[1])
        recalls.setdefault(photograph.source, []).extend((best[:, None] > RECALL_IOUS).mean(axis=1))
        if photograph.source in COMPLETE:
            precisions.setdefault(photograph.source, []).extend(ious.max(axis=1) > RIGHT_IOU)
    recall = float(np.mean([np.mean(values) for values in recalls.values()]))
    precision = float(np.mean([np.mean(values) if values else 0.0 for values in precisions.values()]))
    total = RECALL_WEIGHT**2 * precision + recall
    f_measure = (1 + RECALL_WEIGHT**2) * recall * precision / total if total else 0.0
    return {"recall": recall, "precision": precision, "f": f_measure, "masks": float(np.mean(counts))}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m anymask.evaluation.nano.thresholds", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/*.tar")
    parser.add_argument("--model", required=True, help="folder or name for SamModel.from_pretrained")
    parser.add_argument("--per-source", type=int, default=6, help="photographs of each source, and drawn scenes (6)")
    parser.add_argument("--points-per-side", type=int, default=16, help="of the grid of clicks (16)")
    parser.add_argument("--json", type=Path, help="write all settings with their scores here")
    arguments = parser.parse_args(argv)
    model = SamModel.from_pretrained(arguments.model, dtype="float32").eval()
    processor = SamImageProcessor.from_pretrained(arguments.model)
    generator = SamMaskGenerator(model, processor, points_per_side=arguments.points_per_side, min_mask_region_area=0)
    examples = read_photograph_examples(arguments.data, arguments.per_source, masks_each=200)
    examples["scenes"] = list(held_out_scenes(arguments.per_source))
    photographs = [
        find_everything(generator, source, example)
        for source, members in examples.items()
        for example in members
        if len(example.masks)
    ]
    settings = [Setting(*values) for values in product(IOU_THRESHOLDS, STABILITY_THRESHOLDS, NMS_THRESHOLDS)]
    judged = [(setting, judge(photographs, setting)) for setting in settings]
    judged.sort(key=lambda pair: -pair[1]["f"])
    for setting, scores in judged[:12]:
        print(asdict(setting), {name: round(value, 3) for name, value in scores.items()})
    if arguments.json:
        rows = [{**asdict(setting), **scores} for setting, scores in judged]
        write_json(arguments.json, {"model": arguments.model, "settings": rows}, indent=1)


if __name__ == "__main__":
    main()
