"""`anymask evaluate`: how good a model's masks are, on data whose masks are known."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options as take
from ..reports import errors_reported, say_json
from ..start import keep_libraries_quiet, quick_imports


class EvaluationTask(str, Enum):
    """What can be measured."""

    points = "points"
    clicks = "clicks"
    boxes = "boxes"
    masks = "masks"
    proposals = "proposals"
    instances = "instances"
    edges = "edges"


def evaluate(
    task: Annotated[EvaluationTask, typer.Argument(metavar="TASK", help="One of those above.")],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA...", help="Folder, COCO file, npz, or synthetic:50; of several, the mean too."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report; rows in it are kept.")],
    model: take.Model = "sam-vit-nano",
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="paper, ritm or segnext.")] = "paper",
    implementation: Annotated[
        str, typer.Option(help="anymask, or transformers: its SamModel on the same files.")
    ] = "anymask",
    data_format: Annotated[
        str | None, typer.Option("--format", "-f", help="Of the data, where it is not recognised.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images, drawn by the seed.")] = None,
    points_per_side: Annotated[
        int | None, typer.Option(min=1, help="Grid of proposals and edges, in place of the protocol's.")
    ] = None,
    detections: Annotated[
        Path | None, typer.Option(help="A detector's boxes, COCO's list of results, for instances of COCO data.")
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Go on after images that cannot be read.")] = False,
    seed: Annotated[int, typer.Option(help="Of random clicks, of --limit and of intervals.")] = 0,
    device: take.Device = "auto",
    dtype: take.ComputeIn = take.Dtype.float32,
    as_json: take.AsJson = False,
) -> None:
    """Measure how good a model's masks are.

    TASK is points (one click per object), clicks (up to 20, each where the mask is most wrong), boxes, masks (coarse
    ones as prompts), proposals (segment everything, COCO's AR), instances (boxes, COCO's AP) or edges (BSDS500).

    Writes report.md, report.json, rows.jsonl and pictures of the worst cases. Several DATA get a folder each, and the
    mean over data sets. A run that was stopped goes on where it was. COCO's scores and edges need pip install
    'anymask[evaluation]'. Exits with 2 if it cannot be done.
    """
    with errors_reported(as_json):
        report = _evaluate(
            task.value,
            data,
            output,
            model=model,
            protocol=protocol,
            implementation=implementation,
            data_format=data_format,
            limit=limit,
            points_per_side=points_per_side,
            detections=detections,
            skip_broken=skip_broken,
            seed=seed,
            device=device,
            dtype=dtype.value,
        )
    if as_json:
        say_json(report.document)
    else:
        typer.echo(str(report))
        typer.echo(f"{output / 'report.md'}")


def _evaluate(
    task: str,
    data: list[str],
    output: Path,
    *,
    model: str,
    protocol: str,
    implementation: str,
    data_format: str | None,
    limit: int | None,
    points_per_side: int | None,
    detections: Path | None,
    skip_broken: bool,
    seed: int,
    device: str,
    dtype: str,
) -> Any:
    with quick_imports():
        from ...data.open import open_dataset
        from ...evaluation.runs import evaluate as run
        from ...evaluation.segmenters import load_segmenter
        from ...evaluation.several import evaluate_several
        from ...evaluation.tasks.detections import read_detections
        from ...evaluation.tasks.protocols import protocol_named

        keep_libraries_quiet()
    settings = protocol_named(protocol)
    if points_per_side is not None:
        settings = replace(settings, points_per_side=points_per_side, edge_points_per_side=points_per_side)
    if detections is not None and len(data) > 1:
        raise ValueError(f"--detections must come with one DATA, of whose images they are, got {len(data)}.")
    datasets = [open_dataset(path, data_format) for path in data]
    boxes = None if detections is None else read_detections(detections, datasets[0].origin)
    if limit is not None:
        datasets = [dataset.limited(limit, seed) for dataset in datasets]
    segmenter = load_segmenter(model, implementation, device, dtype)
    how: dict[str, Any] = dict(
        protocol=settings,
        protocol_name=protocol,
        seed=seed,
        on_broken="skip" if skip_broken else "raise",
        detections=boxes,
    )
    if len(data) == 1:
        return run(task, datasets[0], segmenter, output, **how)
    return evaluate_several(task, dict(zip(_folder_names(data), datasets, strict=True)), segmenter, output, **how)


def _folder_names(data: list[str]) -> list[str]:
    """A name of its own for each path: its last part, with a number where another has the same."""
    names: list[str] = []
    for path in data:
        name = wanted = Path(path).resolve().stem.replace(":", "_")
        number = 2
        while name in names:
            name, number = f"{wanted}_{number}", number + 1
        names.append(name)
    return names
