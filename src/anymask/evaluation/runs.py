"""An evaluation: samples in, rows on disk one sample at a time, a report at the end.

`evaluate` is the door; each task is one line of `TASKS`. What was measured of a sample is written before the next one
is begun, so that a run that was stopped goes on where it was, and anybody can compute every number once more.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..data.samples import BrokenSampleError, MaskDataset, Sample, check_on_broken
from ..support.atomic_files import as_plain_value
from ..support.unknown_names import check_known_name
from .answers import Segmenter
from .reports import Report, make_report
from .tasks.coco_scores import (
    detected_rows,
    detected_summary,
    instance_rows,
    instance_summary,
    proposal_rows,
    proposal_summary,
)
from .tasks.detections import DetectionFile
from .tasks.edges import edge_rows, edge_summary
from .tasks.interactive import Row, box_rows, click_rows, mask_rows, point_rows
from .tasks.protocols import Protocol, protocol_named

ROWS_FILE = "rows.jsonl"
_NO_SUMMARY: Callable[[Sequence[Row]], dict[str, float]] = lambda rows: {}  # noqa: E731


class Task(NamedTuple):
    """What is asked of a model.

    Attributes:
        rows: what is measured of a sample.
        main_score: which score sorts the worst cases; "{last}" stands for the last number of clicks that is reported.
        summary: scores that are no means over objects.
        is_sampled: whether the protocol's `max_masks` holds, or the whole data set is needed.
    """

    rows: Callable[[Segmenter, Sample, Protocol, int], list[Row]]
    main_score: str | None
    summary: Callable[[Sequence[Row]], dict[str, float]] = _NO_SUMMARY
    is_sampled: bool = False


TASKS = {
    "points": Task(point_rows, "iou_answer@1", is_sampled=True),
    "clicks": Task(click_rows, "iou_answer@{last}", is_sampled=True),
    "boxes": Task(box_rows, "iou_answer", is_sampled=True),
    "masks": Task(mask_rows, "iou_answer", is_sampled=True),
    "proposals": Task(proposal_rows, "best_iou@1000", proposal_summary),
    "instances": Task(instance_rows, "iou", instance_summary),
    "edges": Task(edge_rows, None, edge_summary),
}


def evaluate(
    task: str,
    dataset: MaskDataset,
    segmenter: Segmenter,
    output: str | Path,
    *,
    protocol: str | Protocol = "paper",
    protocol_name: str | None = None,
    seed: int = 0,
    on_broken: str = "raise",
    progress: bool | None = None,
    detections: DetectionFile | None = None,
) -> Report:
    """Ask a model for masks of everything in a data set that is known, and report how good they are.

    Args:
        task: one of `TASKS`.
        dataset: what is known.
        segmenter: the model; see `load_segmenter`.
        output: folder for `rows.jsonl`, `report.json`, `report.md` and pictures of the worst cases. Rows of an earlier
            run of the same evaluation that are there already are kept, and only what is missing is done.
        protocol: a name of `PROTOCOLS`, or settings of one's own.
        protocol_name: what the report calls such settings.
        seed: of random clicks, and of the resampling behind intervals.
        on_broken: "raise" stops at a sample that cannot be read, "skip" names it in the report and goes on.
        progress: whether to show a bar; None shows one where stderr is a terminal.
        detections: a detector's boxes, which take the place of the truth's in "instances".

    Raises:
        BrokenSampleError: If a sample cannot be read.
        ValueError: If task or protocol is unknown, or the folder holds rows of another evaluation.
    """
    asked = _task_named(task, detections)
    check_on_broken(on_broken)
    rules = protocol_named(protocol) if isinstance(protocol, str) else protocol
    settings = {
        "task": task,
        "protocol": protocol if isinstance(protocol, str) else protocol_name,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rules).items()},
        "seed": seed,
        "implementation": segmenter.implementation,
        "model": segmenter.name,
        "model_digest": segmenter.digest(),
        "data": dataset.origin,
        **({} if detections is None else {"detections": detections.path}),
    }
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    skipped = _measure_missing(
        dataset.shuffled(seed) if asked.is_sampled and rules.max_masks is not None else dataset,
        lambda sample: asked.rows(segmenter, sample, rules, seed),
        output / ROWS_FILE,
        _begin(output / ROWS_FILE, settings),
        most=rules.max_masks if asked.is_sampled else None,
        skip_broken=on_broken == "skip",
        title=task if (sys.stderr.isatty() if progress is None else progress) else None,
    )
    names = {entry.name for entry in dataset.entries}
    rows = [row for name, some in read_rows(output / ROWS_FILE) if name in names for row in some]
    return make_report(
        rows,
        dataset,
        output,
        settings=settings,
        summary=asked.summary(rows),
        main_score=asked.main_score and asked.main_score.format(last=max(rules.report_after)),
        skipped=skipped,
    )


def _task_named(name: str, detections: DetectionFile | None) -> Task:
    """One of `TASKS`; with a detector's boxes the one that asks these."""
    check_known_name(name, TASKS, "`task` must be one that is known")
    if detections is None:
        return TASKS[name]
    if name != "instances":
        raise ValueError(f"`detections` must come with the task 'instances', got {name!r}.")
    return Task(partial(detected_rows, detections), TASKS[name].main_score, detected_summary)


def read_rows(path: str | Path) -> Iterator[tuple[str, list[Row]]]:
    """The samples of a file of rows, each with what was measured of it; the first line, the settings, is passed over.

    A last line that was cut off is left out.
    """
    with open(path, encoding="utf-8") as file:
        next(file, None)
        for line in file:
            if line.endswith("\n"):
                entry = json.loads(line)
                yield entry["sample"], entry["rows"]


def _measure_missing(
    samples: MaskDataset,
    measure: Callable[[Sample], list[Row]],
    path: Path,
    done: dict[str, int],
    *,
    most: int | None,
    skip_broken: bool,
    title: str | None,
) -> list[str]:
    """Write what is measured of each sample that is not done to the end of a file, before the next one is begun.

    Args:
        samples: in the order in which they are taken.
        measure: gives the rows of one.
        path: of the file of rows.
        done: objects of each sample that the file holds already.
        most: how many objects are enough; None takes all.
        skip_broken: whether to go on after a sample that cannot be read.
        title: of the bar that is shown; None shows none.

    Returns:
        What was wrong with each sample that was skipped.
    """
    count, skipped = 0, []
    with open(path, "a", encoding="utf-8") as file:
        for index, entry in enumerate(tqdm(samples.entries, desc=title, unit="image", disable=title is None)):
            if most is not None and count >= most:
                break
            if entry.name in done:
                count += done[entry.name]
                continue
            try:
                sample = samples[index]
            except BrokenSampleError as error:
                if not skip_broken:
                    raise
                skipped.append(str(error))
                continue
            rows = measure(sample)
            file.write(json.dumps({"sample": entry.name, "rows": rows}, default=as_plain_value) + "\n")
            file.flush()
            os.fsync(file.fileno())
            count += _count_objects(rows)
    return skipped


def _count_objects(rows: Sequence[Row]) -> int:
    return len({str(row["object"]) for row in rows if "object" in row})


def _begin(path: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Write the settings into a new file, or check those of an old one and cut off a torn last line.

    Returns:
        The objects of each sample that is done.
    """
    if not path.exists() or path.stat().st_size == 0:
        path.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")
        return {}
    with open(path, "rb+") as file:
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
    with open(path, encoding="utf-8") as file:
        first = file.readline()
    before = json.loads(first).get("settings") if first else None
    if before != settings:
        raise ValueError(
            f"{path} must hold rows of this evaluation to go on with, but {_differences(before or {}, settings)}; name "
            "another --output, or remove the folder to begin anew."
        )
    return {name: _count_objects(rows) for name, rows in read_rows(path)}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Which settings are others; one that only one of the two has is of another version of anymask."""
    names = [name for name in {**now, **before} if before.get(name, ...) != now.get(name, ...)]
    return ", ".join(f"{name} was {before.get(name, 'not asked')} and is {now.get(name, 'gone')}" for name in names)
