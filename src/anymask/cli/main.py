"""The commands of `anymask`. Everything heavy is imported when a command works, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from . import options as take
from .batch import Report, report_all
from .commands.demo import demo
from .commands.evaluate import evaluate
from .commands.export import export
from .commands.generate import generate
from .commands.serve import serve
from .commands.train import train
from .commands.volume import volume
from .files import find_photos
from .outputs import DEFAULT_FORMATS, ENDINGS, owner_of, read_formats
from .prompts import read_prompts, read_values
from .reports import OneLineErrors, errors_reported, say_json
from .start import quick_imports

app = typer.Typer(
    cls=OneLineErrors,
    help="Segment Anything on the command line.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # flows the lines of a paragraph together
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


@app.command(no_args_is_help=True)
@take.with_everything_options
@take.with_look_options
def segment(
    photos: take.Photos,
    output: take.Output = Path(),
    formats: Annotated[
        list[str], typer.Option("--format", "-f", help=f"What to write, with commas between: {', '.join(ENDINGS)}.")
    ] = [DEFAULT_FORMATS],  # noqa: B006  (Typer reads it)
    point: Annotated[
        list[str],
        typer.Option("--point", "-p", metavar="X,Y[,0]", help="An object by points: 'X,Y' or 'X,Y X,Y X,Y,0'."),
    ] = [],  # noqa: B006
    box: Annotated[
        list[str],
        typer.Option("--box", "-b", metavar="X0,Y0,X1,Y1", help="An object by a box; points of it may follow."),
    ] = [],  # noqa: B006
    coco_file: Annotated[
        Path | None, typer.Option("--coco-file", help="One COCO file for all photos, besides what --format says.")
    ] = None,
    value_range: Annotated[
        str | None, typer.Option(metavar="BLACK,WHITE", help="Values that stand for black and white; or min_max.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="LEVEL,WIDTH", help="CT window in Hounsfield units, or by name, as abdomen."),
    ] = None,
    tiles_above: Annotated[
        float,
        typer.Option(min=0, metavar="MEGAPIXELS", help="Larger photos are segmented in tiles, prompts in windows."),
    ] = 80,
    crs: Annotated[
        str | None,
        typer.Option(metavar="EPSG:4326", help="Prompts are places on a raster's map, as longitude,latitude."),
    ] = None,
    model: take.Model = take.DEFAULT_MODEL,
    device: take.Device = "auto",
    dtype: take.ComputeIn = take.Dtype.float32,
    resume: take.Resume = False,
    as_json: take.AsJson = False,
    *,
    context: typer.Context,
    options: dict[str, Any],
    look: dict[str, Any],
) -> None:
    """Mask every object of each PHOTO, or those that points and boxes show.

    Each --point and each --box is an object of its own and gets one mask; points of one object stand in one option, a
    0 behind X,Y marks background. Coordinates are pixels of the photo. Without any, everything is segmented.

    Writes NAME_overlay.png and NAME_masks.json (COCO RLE) unless --format says otherwise; results of an earlier run are
    replaced. Exits with 1 if a photo failed (the others are done), with 2 if nothing could be started.
    """
    from .segment import segment_photos

    with errors_reported(as_json):
        found = find_photos(photos, owner_of)
        is_default = str(context.get_parameter_source("model")).endswith("DEFAULT")
        if not as_json and is_default and sys.stderr.isatty():
            typer.echo(take.ABOUT_DEFAULT_MODEL, err=True)
        reports = segment_photos(
            found,
            output.expanduser(),
            read_formats(formats),
            model=model,
            device=device,
            dtype=dtype.value,
            prompts=read_prompts(point, box),
            options=options,
            look=look,
            resume=resume,
            images=read_values(value_range, window),
            coco_file=coco_file,
            tiles_above=tiles_above,
            crs=crs,
        )
        raise typer.Exit(report_all(reports, len(found), as_json, _mask_count))


@app.command(no_args_is_help=True)
def embed(
    photos: take.Photos,
    output: take.Output = Path(),
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the size.")] = False,
    model: take.Model = "sam-vit-nano",
    device: take.Device = "auto",
    dtype: take.ComputeIn = take.Dtype.float32,
    resume: take.Resume = False,
    as_json: take.AsJson = False,
) -> None:
    """Encode each PHOTO once, for prompts later: SAM.predict takes ImageEmbedding.load(NAME.safetensors) as an image.

    Writes NAME.safetensors. Exits with 1 if a photo failed (the others are done), with 2 if nothing could be started.
    """
    from .commands.embed import embed_photos

    with errors_reported(as_json):
        found = find_photos(photos, owner_of)
        reports = embed_photos(
            found, output.expanduser(), half, model=model, device=device, dtype=dtype.value, resume=resume
        )
        raise typer.Exit(report_all(reports, len(found), as_json, _embedding_shape))


@app.command(no_args_is_help=True)
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="File of weights, folder, packaged name or hub id.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A .pth, .pt or .safetensors file, or a folder.")],
    verify: Annotated[bool, typer.Option("--verify", help="Load what was written, compare weights and masks.")] = False,
    as_json: take.AsJson = False,
) -> None:
    """Convert a checkpoint between Meta's layout and the hub's.

    A file is written in Meta's layout, a folder as from_pretrained takes it. Weights stay the same bit for bit. OUT
    must not exist yet; it appears complete or not at all. Exits with 2 if anything is wrong.
    """
    with quick_imports():
        from .commands.convert import convert as convert_checkpoint

    with errors_reported(as_json):
        converted = convert_checkpoint(source, output.expanduser(), verify)
    if as_json:
        say_json(converted.as_dict())
        return
    typer.echo(f"{converted.output}: {converted.layout} layout, {converted.tensor_count} tensors")
    if verify:
        typer.echo("  verified: the same weights, bit for bit, and the same masks")
    for note in converted.notes:
        typer.echo(f"  note: {note}")


@app.command()
def info(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="Packaged name, folder, file of weights or hub id.")
    ] = "sam-vit-nano",
    as_json: take.AsJson = False,
) -> None:
    """Say how large a model is and what it costs: layers, parameters, operations, memory.

    Exits with 2 if there is no such model.
    """
    with quick_imports():
        from .commands.info import as_dict, describe_model

    with errors_reported(as_json):
        described = describe_model(model)
    if as_json:
        say_json(as_dict(model, described))
    else:
        typer.echo(str(described))


app.command()(demo)
app.command(no_args_is_help=True)(export)
app.command(no_args_is_help=True)(take.with_everything_options(generate))
app.command(no_args_is_help=True)(take.with_everything_options(volume))
app.command()(serve)
app.command(no_args_is_help=True)(evaluate)
app.command(no_args_is_help=True)(train)


def _mask_count(report: Report) -> str:
    count = report.facts["mask_count"]
    return f"{count} mask{'' if count == 1 else 's'}"


def _embedding_shape(report: Report) -> str:
    return "embedding of " + " x ".join(map(str, report.facts["shape"]))
