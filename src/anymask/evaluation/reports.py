"""From rows to `report.json` and `report.md`: means with intervals, calibration, and pictures of what went worst."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data.samples import BrokenSampleError, MaskDataset, Sample
from ..prompts.prompt import DrawnPrompts
from ..results.overlay import draw_overlay, paste_side_by_side
from ..support.atomic_files import write_json, write_whole
from .answers import SINGLE
from .metrics import calibration, summarise
from .tasks.interactive import SURFACE_TOLERANCE, Row

WORST = 10
RESAMPLES = 1000
CONFIDENCE = 0.95
_PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-image", "faster-coco-eval")

EXPLANATIONS = {
    "iou_answer": "IoU of the mask that a user sees",
    "iou_chosen": "IoU of the mask with the highest predicted IoU of three",
    "iou_oracle": "IoU of the best of three",
    "iou_single": "IoU of the single mask",
    "iou_input": "IoU of the coarse mask that was given",
    "iou": "IoU of the mask",
    "best_iou": "IoU of the best of so many proposals",
    "dice": "Dice of the answer",
    "boundary_iou": "boundary IoU of the answer, rims 2 % of the diagonal wide",
    "hausdorff95": "greater of the two directed 95th percentiles of the distance between edge pixels; the diagonal "
    "where one mask is empty",
    "surface_dice": f"normalised surface distance: edge pixels within {SURFACE_TOLERANCE:g} of the other's",
    "noc": "clicks until this IoU in percent, the most allowed where it is not reached",
    "failed": "part of the objects that never reach it; the total is NoF",
}
"""What the scores are, by their names without numbers."""


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation; `document` is what stands in `report.json`."""

    document: dict[str, Any]
    output: Path

    def __str__(self) -> str:
        return to_markdown(self.document)


def make_report(
    rows: Sequence[Row],
    dataset: MaskDataset,
    output: Path,
    *,
    settings: dict[str, Any],
    summary: dict[str, float],
    main_score: str | None,
    skipped: Sequence[str] = (),
) -> Report:
    """Write the report of an evaluation, and pictures of its worst cases.

    Args:
        rows: of all samples.
        dataset: where the images of the worst are read from.
        output: folder to write to.
        settings: what was done, with which model, on which data.
        summary: scores that are no means over objects.
        main_score: by which cases are the worst; None draws none.
        skipped: samples that could not be read.
    """
    scored = [row for row in rows if row["scores"]]
    groups = list(dict.fromkeys(row["group"] for row in scored))
    document: dict[str, Any] = {
        "settings": settings,
        "versions": _versions(),
        "samples": len({row["sample"] for row in rows}),
        "objects": len({(row["sample"], str(row["object"])) for row in scored}),
        "skipped": list(skipped),
        "summary": summary,
        "groups": {
            group: statistics([row for row in scored if row["group"] == group], int(settings.get("seed", 0)))
            for group in groups
        },
        "sizes": {
            group: summarise(
                {"area_fraction": row["area_fraction"], **row["scores"]} for row in scored if row["group"] == group
            )
            for group in groups
        },
        "calibration": {
            group: _calibrations([row for row in scored if row["group"] == group and "tokens" in row])
            for group in groups
            if any("tokens" in row for row in scored if row["group"] == group)
        },
        "worst": [],
    }
    if main_score is not None:
        worst = sorted(scored, key=lambda row: row["scores"].get(main_score, 1.0))[:WORST]
        document["worst"] = [
            _draw(row, number, dataset, output, score=main_score) for number, row in enumerate(worst, 1)
        ]
    write_json(output / "report.json", document)
    write_whole(output / "report.md", lambda file: file.write(to_markdown(document).encode()))
    return Report(document, output)


def statistics(rows: Sequence[Row], seed: int, resamples: int = RESAMPLES) -> dict[str, dict[str, float | None]]:
    """Count, mean, interval, median and total of every score of rows.

    The interval holds the mean of 95 % of resampled data sets. Images are resampled, not objects: those of one image
    are alike, and taking them for independent would make the interval too narrow. One image has none: None.
    """
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    images = {sample: number for number, sample in enumerate(dict.fromkeys(row["sample"] for row in rows))}
    draws = np.random.default_rng(seed).integers(0, len(images), (resamples, len(images))) if images else None
    result: dict[str, dict[str, float | None]] = {}
    for name in names:
        with_score = [row for row in rows if name in row["scores"]]
        values = np.array([row["scores"][name] for row in with_score], dtype=float)
        owners = np.array([images[row["sample"]] for row in with_score])
        sums = np.bincount(owners, weights=values, minlength=len(images))
        counts = np.bincount(owners, minlength=len(images))
        assert draws is not None
        drawn_counts = counts[draws].sum(axis=1)
        means = sums[draws].sum(axis=1)[drawn_counts > 0] / drawn_counts[drawn_counts > 0]
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        result[name] = {
            "count": len(values),
            "mean": float(values.mean()),
            "low": float(low) if len(images) > 1 else None,
            "high": float(high) if len(images) > 1 else None,
            "median": float(np.median(values)),
            "total": float(values.sum()),
        }
    return result


def to_markdown(document: dict[str, Any]) -> str:
    """The report as Markdown."""
    settings = document["settings"]
    lines = [
        f"# {settings['task']}: {settings['model']} on {settings['data']}",
        "",
        f"{document['samples']} images, {document['objects']} objects; protocol {settings['protocol']}, implementation "
        f"{settings['implementation']}.",
    ]
    if document["skipped"]:
        lines += ["", f"Skipped, since they could not be read: {len(document['skipped'])}."]
        lines += [f"- {message}" for message in document["skipped"]]
    if document["summary"]:
        lines += ["", "| score | |", "| --- | --- |"]
        lines += [f"| {name} | {value:.4f} |" for name, value in document["summary"].items()]
    for group, scores in document["groups"].items():
        lines += ["", f"## {group}", "", "| score | mean | 95 % interval | median | total | objects |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines += [
            f"| {name} | {row['mean']:.4f} | {_interval(row)} | {row['median']:.4f} "
            f"| {row['total']:.6g} | {row['count']} |"
            for name, row in scores.items()
        ]
        by_size = document["sizes"][group]
        counts = ", ".join(f"{size} ({row['count']:.0f})" for size, row in by_size.items())
        lines += ["", f"Means by size of objects, small below 1 % of the image, large from 10 % on: {counts}.", ""]
        lines += ["| score | " + " | ".join(by_size) + " |", "| --- |" + " --- |" * len(by_size)]
        lines += [f"| {name} | " + " | ".join(f"{row[name]:.4f}" for row in by_size.values()) + " |" for name in scores]
    for group, tokens in document["calibration"].items():
        lines += ["", f"## Predicted IoU, {group}", "", "| mask | bias | mean error | ECE | Pearson | Spearman |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines += [f"| {name} | {' | '.join(_cells(row))} |" for name, row in tokens.items()]
    if document["worst"]:
        lines += ["", "## The worst", "", "Left the truth, right the answer with what was asked.", ""]
        for case in document["worst"]:
            lines += [f"{case['score']:.3f}, {case['sample']}, object {case['object']}, {case['group']}", ""]
            lines += [f"![{case['sample']}]({case['picture']})", ""] if case["picture"] else []
    lines += ["", "## How it was made", "", *(f"- {name}: {value}" for name, value in settings.items())]
    lines += [f"- {name} {number}" for name, number in document["versions"].items()]
    lines += ["", "Intervals come from resampling images.", ""]
    named = {name.split("@")[0].rstrip("0123456789") for group in document["groups"].values() for name in group}
    lines += [f"- {name}: {EXPLANATIONS[name]}" for name in EXPLANATIONS if name.rstrip("0123456789") in named]
    return "\n".join(lines) + "\n"


def _interval(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"


def _cells(row: dict[str, Any]) -> list[str]:
    names = ("bias", "mean_absolute_error", "expected_error", "pearson", "spearman")
    return ["" if row[name] is None else f"{row[name]:.4f}" for name in names]


def _calibrations(rows: Sequence[Row]) -> dict[str, Any]:
    """Of the first answers: of each mask by itself, and of the chosen one, which is biased by being chosen."""
    predicted = np.array([row["tokens"]["predicted"] for row in rows])
    real = np.array([row["tokens"]["real"] for row in rows])
    chosen = np.array([row["tokens"]["chosen"] for row in rows])
    everyone = np.arange(len(rows))
    named = {"single": np.full(len(rows), SINGLE), "chosen": chosen}
    named |= {f"mask {which}": np.full(len(rows), which) for which in range(1, predicted.shape[1])}
    return {name: calibration(predicted[everyone, places], real[everyone, places]) for name, places in named.items()}


def _draw(row: Row, number: int, dataset: MaskDataset, output: Path, score: str) -> dict[str, Any]:
    """A picture of one case, the truth beside the answer, and what the report says of it."""
    case = {name: row[name] for name in ("sample", "object", "group")}
    case |= {"score": row["scores"].get(score, float("nan")), "picture": None}
    place = next(index for index, entry in enumerate(dataset.entries) if entry.name == row["sample"])
    try:
        sample: Sample = dataset[place]
    except BrokenSampleError:  # it could be read when it was measured, and cannot any more
        return case
    # Of the clicks those that the mask is from; more may have been made to reach a target.
    clicks = np.array(row.get("clicks", []), dtype=float).reshape(-1, 3)[: row.get("mask_after")]
    boxes = np.array(row.get("box_xyxy", []), dtype=float).reshape(-1, 4)
    prompts = DrawnPrompts(clicks[:, :2], clicks[:, 2].astype(int), boxes)
    image = draw_overlay(sample.image, [])
    picture = paste_side_by_side(
        [draw_overlay(image, [row["truth"]]), draw_overlay(image, [row["mask"]], prompts=prompts)]
    )
    path = output / "worst" / f"{number:02d}.jpg"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, lambda file: picture.save(file, format="JPEG", quality=90))
    return {**case, "picture": f"worst/{path.name}"}


def _versions() -> dict[str, str]:
    versions = {"anymask": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
