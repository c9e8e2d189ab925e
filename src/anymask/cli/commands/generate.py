"""`anymask generate`: everything in folders of millions, shard by shard. An adapter over `anymask.distributed`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options as take
from ..reports import errors_reported, say_json
from ..start import quick_imports


class Engine(str, Enum):
    """What the work runs on."""

    local = "local"
    ray = "ray"


def generate(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Folders, globs, .txt lists of paths and URLs, .tar and .parquet files."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the shards; call again to go on.")],
    shards: Annotated[int | None, typer.Option(min=1, help="Number of shards; one for 100 images by default.")] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", min=1, help="Processes on this machine; one for each core or device."),
    ] = None,
    format_name: Annotated[str, typer.Option("--format", "-f", help="Of a shard: sa1b, coco or parquet.")] = "sa1b",
    preset: Annotated[str | None, typer.Option(help="Options by name: sa1b, as SA-1B was made.")] = None,
    engine: Annotated[Engine, typer.Option(help="local, or ray on a cluster.")] = Engine.local,
    actors: Annotated[int, typer.Option(min=1, help="Ray: models that work at once.")] = 1,
    gpus_per_actor: Annotated[float, typer.Option(min=0, help="Ray: GPUs for each of them.")] = 0,
    address: Annotated[str | None, typer.Option(help="Ray: of a cluster, or auto.")] = None,
    model: take.Model = "sam-vit-nano",
    devices: Annotated[
        str | None, typer.Option("--devices", help="With commas between: cuda:0,cuda:1; dealt out to the workers.")
    ] = None,
    dtype: take.ComputeIn = take.Dtype.float32,
    as_json: take.AsJson = False,
    *,
    options: dict[str, Any],
) -> None:
    """Segment everything in the images of INPUT, to shards that are there whole or not at all.

    A call that was stopped, at any moment and in any way, is finished by calling again; several machines may share one
    folder. An image that cannot be read is a row with its error. Writes shard_NNNNN files and manifest.json. Exits with
    1 if an image failed, with 2 if something kept the run from ending.
    """
    with errors_reported(as_json):
        with quick_imports():
            from ...distributed.generate import generate as run
            from ...distributed.generate import workers_of_machine
            from ...distributed.job import make_job
            from ...distributed.ray_engine import generate_with_ray
            from ...distributed.worker import preset as options_of
            from ..start import keep_libraries_quiet

            keep_libraries_quiet()
        given = {**(options_of(preset) if preset else {}), **options}
        if engine is Engine.ray:
            job = make_job(sources, output, model, given, n_shards=shards, dtype=dtype.value, format_name=format_name)
            manifest = generate_with_ray(job, actors=actors, gpus_per_actor=gpus_per_actor, address=address)
        else:
            names = devices.split(",") if devices else None
            manifest = run(
                sources,
                output,
                model=model,
                options=given,
                n_shards=shards,
                workers=workers_of_machine(names) if workers is None else workers,
                devices=names,
                dtype=dtype.value,
                format_name=format_name,
                progress=None if as_json else _progress(),
            )
    totals = manifest["totals"]
    if as_json:
        say_json({"output": str(output), "shards": len(manifest["shards"]), **totals})
    else:
        made = f"{totals['masks']} masks of {totals['images']} images in {len(manifest['shards'])} shards"
        typer.echo(f"{output}: {made}")
        if totals["errors"]:
            typer.echo(f"anymask: {totals['errors']} images failed; their rows say why", err=True)
    raise typer.Exit(1 if totals["errors"] else 0)


def _progress() -> Callable[[int, int], None]:
    """Say how many shards there are, in one line of a terminal; elsewhere a line for each number."""
    said = -1

    def say(done: int, of: int) -> None:
        nonlocal said
        if done != said:
            is_terminal = sys.stderr.isatty()
            typer.echo(f"{chr(13) * is_terminal}{done} of {of} shards", err=True, nl=done == of or not is_terminal)
        said = done

    return say
