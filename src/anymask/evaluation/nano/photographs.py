"""Score a model on the held-out photographs of a data folder: by source, by size, with outlines and calibration.

    python -m anymask.evaluation.nano.photographs --data DATA --model sam-vit-nano --json scores.json

Clicks and boxes are those of `anymask.evaluation`. Means over sources count every source once, however many masks it
has. "predicted" numbers compare the IoU that the model predicts for the mask it would choose with the real one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.photographs import Photograph, read_sources, split_held_out
from ...data.synthetic.held_out import MIN_MASK_PIXELS
from ...image_processing_sam import SamImageProcessor
from ...masks.rle import rle_area
from ...modeling_sam import SamModel
from ...support.atomic_files import write_json
from ..metrics import boundary_iou, calibration, summarise
from .baselines import score_baselines
from .examples import Example
from .predict import answer_example, answer_ious, as_records

Record = dict[str, float]


def read_photograph_examples(
    folder: Path, per_source: int | None = None, masks_each: int = 40, *, trained_on: bool = False
) -> dict[str, list[Example]]:
    """Read photographs by source, with at most `masks_each` masks of each, evenly taken from large to small.

    Args:
        folder: with photos/*.tar.
        per_source: how many of each; None takes all.
        masks_each: how many masks of a photograph.
        trained_on: whether of the training part, where what a model knows by heart is better, or held-out ones.
    """
    examples = {}
    for source, photographs in read_sources(Path(folder) / "photos").items():
        training, held_out = split_held_out(photographs)
        part = training if trained_on else held_out
        examples[source] = [_example(photograph, masks_each) for photograph in part[:per_source]]
    return examples


def score_photograph(model: SamModel, image_processor: SamImageProcessor, example: Example) -> list[Record]:
    """Scores of one click and one box for every mask of a photograph.

    Returns:
        One record per mask: area_fraction; for "click" and "box": PROMPT_best, _chosen, _single (IoU), _predicted (by
        the model, for the chosen mask), _boundary (boundary IoU of the chosen mask).
    """
    if len(example.masks) == 0:
        return []
    columns: dict[str, np.ndarray] = {}
    everyone = np.arange(len(example.masks))
    for name, answers in answer_example(model, image_processor, example).items():
        chosen = answers.iou_scores.argmax(axis=1)
        scores = answer_ious(answers, example.masks) | {
            "predicted": answers.iou_scores[everyone, chosen],
            "boundary": boundary_iou(answers.masks[everyone, chosen], example.masks),
        }
        columns |= {f"{name}_{score}": values for score, values in scores.items()}
    return as_records(example, columns)


def report(records: dict[str, list[Record]]) -> dict[str, Any]:
    """Summaries by source, the mean over sources, sizes over all sources, and calibration of clicks and boxes.

    Args:
        records: of each source; all with the same scores.
    """
    everything = [record for source_records in records.values() for record in source_records]
    sources = {source: summarise(source_records)["all"] for source, source_records in records.items()}
    scores = [name for name in everything[0] if name != "area_fraction"]
    result: dict[str, Any] = {
        "mean_of_sources": {name: float(np.mean([summary[name] for summary in sources.values()])) for name in scores},
        "sources": sources,
        "sizes": summarise(everything),
    }
    if "click_predicted" in scores:
        result["calibration"] = {}
        for prompt in ("click", "box"):
            predicted, real = (
                np.array([r[f"{prompt}_{name}"] for r in everything]) for name in ("predicted", "chosen")
            )
            result["calibration"][prompt] = calibration(predicted, real)
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m anymask.evaluation.nano.photographs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/*.tar")
    parser.add_argument("--model", help="folder or name for SamModel.from_pretrained")
    parser.add_argument("--baselines", action="store_true", help="score classical segmentation instead of a model")
    parser.add_argument("--per-source", type=int, help="at most so many photographs of each source")
    parser.add_argument("--masks-each", type=int, default=40, help="at most so many masks of a photograph (40)")
    parser.add_argument("--trained-on", action="store_true", help="score photographs of the training part instead")
    parser.add_argument("--image-size", type=int, help="side of the model's frame in pixels (as it was trained)")
    parser.add_argument("--json", type=Path, help="write the report here")
    arguments = parser.parse_args(argv)
    if (arguments.model is None) != arguments.baselines:
        parser.error("give --model or --baselines, one of them")

    if arguments.baselines:
        score = score_baselines
    else:
        model = SamModel.from_pretrained(arguments.model, dtype="float32").eval()
        side = arguments.image_size or model.config.vision_config.image_size
        image_processor = SamImageProcessor.from_pretrained(
            arguments.model, size={"longest_edge": side}, pad_size={"height": side, "width": side}
        )

        def score(example: Example) -> list[Record]:
            return score_photograph(model, image_processor, example)

    examples = read_photograph_examples(
        arguments.data, arguments.per_source, arguments.masks_each, trained_on=arguments.trained_on
    )
    records = {source: [r for e in members for r in score(e)] for source, members in examples.items()}
    result = report({source: members for source, members in records.items() if members})
    print(text_table(result))
    if arguments.json:
        write_json(arguments.json, {"model": arguments.model, **result}, indent=1)


def text_table(result: dict[str, Any]) -> str:
    """The report as text: a row for each source and each size, a column for each score."""
    rows = {**result["sources"], "mean of sources": result["mean_of_sources"], **result["sizes"]}
    scores = list(result["mean_of_sources"])
    lines = [" " * 20 + "masks " + " ".join(f"{score[-14:]:>14}" for score in scores)]
    for name, row in rows.items():
        lines.append(f"{name:20}{row.get('count', ''):>5} " + " ".join(f"{row[score]:14.3f}" for score in scores))
    for prompt, numbers in result.get("calibration", {}).items():
        lines.append(f"{prompt}: " + ", ".join(f"{k} {v:.3f}" for k, v in numbers.items() if isinstance(v, float)))
    return "\n".join(lines)


def _example(photograph: Photograph, masks_each: int) -> Example:
    areas = np.array([rle_area(rle) for rle in photograph.rles])
    order = np.flatnonzero(areas >= MIN_MASK_PIXELS)
    order = order[np.argsort(-areas[order], kind="stable")]
    if len(order) > masks_each:
        order = order[np.linspace(0, len(order) - 1, masks_each).round().astype(int)]
    image = photograph.image()
    masks = photograph.masks(order) if len(order) else np.zeros((0, *image.shape[:2]), dtype=bool)
    return Example(photograph.name, image, masks)


if __name__ == "__main__":
    main()
