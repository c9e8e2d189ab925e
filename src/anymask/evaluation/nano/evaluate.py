"""Score a model, and classical segmentation beside it, on held-out scenes or on a folder of photographs with masks.

    python -m anymask.evaluation.nano.evaluate --model runs/nano/export --scenes 200 --baselines --json scores.json
    python -m anymask.evaluation.nano.evaluate --model sam-vit-nano --folder photos/ --baselines

The click is the pixel of the mask that lies farthest from its border; the box is tight. "best" is the best of three
masks, "chosen" the one with the highest predicted IoU, "single" the answer to `multimask_output=False`. Numbers are
mean IoU, over all masks and by size: small is below 1 % of the image, large from 10 % on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...image_processing_sam import SamImageProcessor
from ...modeling_sam import SamModel
from ...support.atomic_files import write_json
from ..metrics import summarise
from .baselines import score_baselines
from .examples import Example, folder_examples, held_out_scenes
from .predict import score_example

Summary = dict[str, dict[str, float]]


def evaluate(
    model: SamModel | None, image_processor: SamImageProcessor | None, examples: Iterable[Example], baselines: bool
) -> Summary:
    """Summary of the scores of a model, of the baselines, or of both.

    Args:
        model: None scores the baselines only.
        baselines: whether to score classical segmentation for the same prompts.
    """
    records = []
    for example in examples:
        scores: list[dict[str, float]] = [{} for _ in example.masks]
        if model is not None and image_processor is not None:
            scores = [a | b for a, b in zip(scores, score_example(model, image_processor, example), strict=True)]
        if baselines:
            scores = [a | b for a, b in zip(scores, score_baselines(example), strict=True)]
        records += scores
    return summarise(records)


def table(summary: Summary) -> str:
    """The summary as text: one row per score, one column per size bucket."""
    buckets = list(summary)
    names = [name for name in summary["all"] if name != "count"]
    width = max(len(name) for name in (*names, "masks"))
    lines = [" ".join([" " * width, *(f"{bucket:>8}" for bucket in buckets)])]
    lines.append(" ".join([f"{'masks':<{width}}", *(f"{summary[bucket]['count']:>8}" for bucket in buckets)]))
    for name in names:
        lines.append(" ".join([f"{name:<{width}}", *(f"{summary[bucket][name]:>8.3f}" for bucket in buckets)]))
    return "\n".join(lines)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m anymask.evaluation.nano.evaluate", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", help="folder or name for SamModel.from_pretrained; without it only baselines")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--scenes", type=int, default=200, help="number of held-out scenes (default 200)")
    source.add_argument("--folder", type=Path, help="photographs NAME.png or NAME.jpg with NAME_masks.npz beside each")
    parser.add_argument("--baselines", action="store_true", help="score classical segmentation too")
    parser.add_argument("--json", type=Path, help="write the scores here")
    arguments = parser.parse_args(argv)
    if arguments.model is None and not arguments.baselines:
        parser.error("give --model, --baselines or both: otherwise there is nothing to score")
    return arguments


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    arguments = parse_arguments(argv)
    model = image_processor = None
    if arguments.model is not None:
        # In float32 whatever the file holds, so that scores do not depend on how half precision is emulated.
        model = SamModel.from_pretrained(arguments.model, dtype="float32").eval()
        image_processor = SamImageProcessor.from_pretrained(arguments.model)
    examples = folder_examples(arguments.folder) if arguments.folder else held_out_scenes(arguments.scenes)
    summary = evaluate(model, image_processor, examples, arguments.baselines)
    print(table(summary))
    if arguments.json:
        source = str(arguments.folder) if arguments.folder else f"{arguments.scenes} held-out scenes"
        report: dict[str, Any] = {"model": arguments.model, "examples": source, "mean_iou": summary}
        write_json(arguments.json, report)


if __name__ == "__main__":
    main()
