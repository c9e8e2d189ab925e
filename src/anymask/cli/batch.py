"""Photos one after another: whatever is wrong with one, the rest is done, and each is reported at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from .files import Photo
from .reports import EXIT_SOME_FAILED, is_disk_full, one_line, say_json

Outputs = Mapping[str, Path]
Work = Callable[[Photo, Outputs], dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """What became of a photo.

    Attributes:
        photo: the photo.
        status: "done", "skipped" (all results were there) or "failed".
        outputs: the files and folders of its results, by kind.
        facts: what the work found out, for machines.
        seconds: that it took.
        error: what went wrong.
    """

    photo: Photo
    status: str
    outputs: Outputs
    facts: Mapping[str, Any]
    seconds: float = 0.0
    error: Exception | None = None

    def as_dict(self) -> dict[str, Any]:
        """The line that `--json` prints."""
        report: dict[str, Any] = {"photo": self.photo.source, "status": self.status}
        if self.error is not None:
            return {**report, "error": one_line(self.error)}
        report["outputs"] = {kind: str(path) for kind, path in self.outputs.items()}
        return report if self.status == "skipped" else {**report, **self.facts, "seconds": round(self.seconds, 3)}


def is_finished(outputs: Outputs) -> bool:
    """Whether all results are there; each appears complete or not at all, so what is there is whole.

    A folder in the place of a file is not what a run writes; only cut-outs are one.
    """
    return all(path.is_dir() if kind == "cutouts" else path.is_file() for kind, path in outputs.items())


def work_through(outputs: Mapping[Photo, Outputs], get_work: Callable[[], Work], resume: bool) -> Iterator[Report]:
    """Do the work for each photo and yield a report, so that memory does not grow with their number.

    Args:
        outputs: of each photo.
        get_work: loads what is needed and returns a function that writes the outputs of a photo and returns facts for
            the report. Not called where nothing is left to do.
        resume: skip photos that are finished.

    Raises:
        OSError: If there is no room for results: then no other photo's can be written either.
    """
    work: Work | None = None
    for photo, paths in outputs.items():
        if resume and is_finished(paths):
            yield Report(photo, "skipped", paths, {})
            continue
        if work is None:
            work = get_work()
        start = time.perf_counter()
        try:
            for path in paths.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            facts = work(photo, paths)
        except Exception as error:  # whatever is wrong with one photo, the others are still done
            if is_disk_full(error):
                raise
            yield Report(photo, "failed", paths, {}, error=error)
        else:
            yield Report(photo, "done", paths, facts, seconds=time.perf_counter() - start)


def report_all(reports: Iterator[Report], count: int, as_json: bool, describe: Callable[[Report], str]) -> int:
    """Print the reports as they come, with a progress bar on a terminal; return the exit code.

    Args:
        reports: of `count` photos.
        count: how many there are.
        as_json: one object per line instead of text.
        describe: what was done, for people, e.g. "38 masks".
    """
    failed = 0
    with _progress(count) as advance:
        for report in reports:
            failed += report.status == "failed"
            if as_json:
                say_json(report.as_dict())
            else:
                _say(report, describe)
            advance()
    if failed and count > 1 and not as_json:
        typer.echo(f"anymask: {failed} of {count} photos failed", err=True)
    return EXIT_SOME_FAILED if failed else 0


def _say(report: Report, describe: Callable[[Report], str]) -> None:
    source = report.photo.source
    if report.error is not None:
        message = one_line(report.error)
        typer.echo(f"anymask: {message if source in message else f'{source}: {message}'}", err=True)
    elif report.status == "skipped":
        typer.echo(f"{source}: finished before, skipped")
    else:
        typer.echo(f"{source}: {describe(report)} in {report.seconds:.1f} s")
        for path in report.outputs.values():
            typer.echo(f"  {path}")


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    """A bar with the time left over several photos, on a terminal; a function that moves it by one photo."""
    if count < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Lines for a terminal go above the bar; where they are piped elsewhere, they must not come to it.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty(), transient=True) as bar:
        task = bar.add_task("Photos", total=count)
        yield lambda: bar.advance(task)
