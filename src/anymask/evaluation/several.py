"""The mean over data sets, as papers report it: every data set counts alike, however many masks it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..data.samples import MaskDataset
from ..support.atomic_files import write_json, write_whole
from .answers import Segmenter
from .runs import evaluate

SHOWN = ("iou_answer", "iou_oracle", "iou", "best_iou", "noc", "failed")
"""Scores in the tables; report.json has all."""
SUMMARY = "summary"


@dataclass(frozen=True)
class SeveralReports:
    """The outcome of an evaluation of several data sets; `document` is what stands in `report.json`."""

    document: dict[str, Any]

    def __str__(self) -> str:
        document = self.document
        lines = [f"# {document['task']}: {document['model']} on {len(document['data'])} data sets"]
        for group, means in document["mean"].items():
            names = [name for name in means if group == SUMMARY or name.split("@")[0].rstrip("0123456789") in SHOWN]
            lines += ["", f"## {group}", "", "| data | objects | " + " | ".join(names) + " |"]
            lines += ["| --- |" + " --- |" * (1 + len(names))]
            for name, one in document["data"].items():
                lines += [
                    _line(f"[{name}]({quote(name)}/report.md)", one["objects"], one["means"].get(group, {}), names)
                ]
            lines += [_line("**mean**", "", means, names)]
        lines += [
            "",
            "The mean is of the data sets that have a score, each counting alike. All scores: report.json.",
            "",
        ]
        return "\n".join(lines)


def evaluate_several(
    task: str, datasets: Mapping[str, MaskDataset], segmenter: Segmenter, output: str | Path, **how: Any
) -> SeveralReports:
    """Evaluate each data set into a folder of its name, and write `report.json` and `report.md` with the means.

    Args:
        task: one of `anymask.evaluation.runs.TASKS`.
        datasets: by the names of their folders.
        segmenter: the model.
        output: folder of the folders.
        **how: as `anymask.evaluation.runs.evaluate` takes it.

    Raises:
        ValueError: As there.
    """
    output, of_each = Path(output), {}
    for name, dataset in datasets.items():
        document = evaluate(task, dataset, segmenter, output / name, **how).document
        groups = {
            group: {score: row["mean"] for score, row in scores.items()} for group, scores in document["groups"].items()
        }
        means = {**groups, SUMMARY: document["summary"]} if document["summary"] else groups
        of_each[name] = {
            "origin": dataset.origin,
            **{key: document[key] for key in ("samples", "objects")},
            "means": means,
        }
    document = {
        "task": task,
        "model": segmenter.name,
        "model_digest": segmenter.digest(),
        "data": of_each,
        "mean": _mean_of([one["means"] for one in of_each.values()]),
    }
    report = SeveralReports(document)
    write_json(output / "report.json", document)
    write_whole(output / "report.md", lambda file: file.write(str(report).encode()))
    return report


def _mean_of(several: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean of every score of every group over those that have it."""
    values: dict[str, dict[str, list[float]]] = {}
    for means in several:
        for group, scores in means.items():
            for name, value in scores.items():
                values.setdefault(group, {}).setdefault(name, []).append(value)
    return {group: {name: float(np.mean(some)) for name, some in scores.items()} for group, scores in values.items()}


def _line(title: str, objects: int | str, means: Mapping[str, float], names: list[str]) -> str:
    cells = [f"{means[name]:.4f}" if name in means else "" for name in names]
    return f"| {title} | {objects} | " + " | ".join(cells) + " |"
