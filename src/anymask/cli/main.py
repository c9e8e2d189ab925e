"""Options of the command `anymask`. Everything heavy is imported when a command runs, so that `--help` is quick."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .files import find_photos
from .segment import Finished, PhotoFailed, segment_photos

app = typer.Typer(
    help="Segment Anything on the command line.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Dtype(str, Enum):
    """Number formats that a model computes in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anymask {__version__}")
        raise typer.Exit


@app.callback()
def _anymask(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Segment Anything on the command line."""


@app.command()
def segment(
    photos: Annotated[list[Path], typer.Argument(help="Photos, and folders of photos.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, created if needed.")] = Path(),
    model: Annotated[str, typer.Option(help="Packaged name, folder, file of weights or hub id.")] = "sam-vit-nano",
    points_per_side: Annotated[
        int | None,
        typer.Option(min=1, help="The grid of prompts has this many by this many; default: the checkpoint's, or 32."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, ...; auto takes a GPU if there is one.")] = "auto",
    dtype: Annotated[Dtype, typer.Option(help="Number format to compute in.")] = Dtype.float32,
    as_json: Annotated[bool, typer.Option("--json", help="Report one JSON object per photo and line.")] = False,
) -> None:
    """Mask every object of each PHOTO.

    Writes NAME_overlay.png and NAME_masks.json (COCO RLE) to the output folder; results of an earlier run are
    replaced. Exits with 1 if a photo failed (the others are done), with 2 if nothing could be started.
    """
    failures = 0
    try:
        for result in segment_photos(
            find_photos(photos),
            output,
            model_name=model,
            points_per_side=points_per_side,
            device=device,
            dtype=dtype.value,
        ):
            failures += isinstance(result, PhotoFailed)
            _report(result, as_json)
    except (OSError, ValueError) as error:
        typer.echo(f"anymask: {_one_line(error)}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(1 if failures else 0)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="File of weights, folder, packaged name or hub id.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A .pth, .pt or .safetensors file, or a folder.")],
    verify: Annotated[bool, typer.Option("--verify", help="Load what was written, compare weights and masks.")] = False,
) -> None:
    """Convert a checkpoint between Meta's layout and the hub's.

    A file is written in Meta's layout, a folder as from_pretrained takes it. Weights stay the same bit for bit. OUT
    must not exist yet; it appears complete or not at all. Exits with 2 if anything is wrong.
    """
    from .convert import convert as convert_checkpoint

    try:
        converted = convert_checkpoint(source, output, verify)
    except (OSError, ValueError) as error:
        typer.echo(f"anymask: {_one_line(error)}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{converted.output}: {converted.layout} layout, {converted.tensor_count} tensors")
    if verify:
        typer.echo("  verified: the same weights, bit for bit, and the same masks")
    for note in converted.notes:
        typer.echo(f"  note: {note}")


def _report(result: Finished | PhotoFailed, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    elif isinstance(result, PhotoFailed):
        message = _one_line(result.error)
        typer.echo(f"anymask: {message if str(result.photo) in message else f'{result.photo}: {message}'}", err=True)
    else:
        typer.echo(f"{result.photo}: {result.mask_count} masks in {result.seconds:.1f} s")
        typer.echo(f"  {result.overlay}")
        typer.echo(f"  {result.masks}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
