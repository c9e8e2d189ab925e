"""`anymask export`: a model as files that other tools load. An adapter over `anymask.export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import options as take
from ..reports import errors_reported, say_json
from ..start import load_sam, quick_imports


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Packaged name, folder, file of weights or hub id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files; must not be there yet.")],
    layout: Annotated[
        str, typer.Option("--layout", "-l", help="anymask, meta, osam (labelme), transformers.js or x-anylabeling.")
    ] = "meta",
    file_format: Annotated[
        str, typer.Option("--format", "-f", help="onnx; or openvino, in the layouts anymask and meta.")
    ] = "onnx",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, or, for the encoder, int8 or int8-static (which needs --samples).")
    ] = "fp32",
    samples: Annotated[
        str | None,
        typer.Option(help="Folder or glob of photographs whose masks must agree, and that int8-static measures."),
    ] = None,
    as_json: take.AsJson = False,
) -> None:
    """Write a model as ONNX or OpenVINO files in the layout that a tool loads, each compared with PyTorch first.

    How far each file is off is in export.json beside them. Exits with 2 if anything is wrong; nothing is written then.
    """
    with errors_reported(as_json):
        if output.exists():
            raise FileExistsError(f"--output must not exist yet, but {output} does; name another folder")
        with quick_imports():
            from ...export.export import export as write
        sam = load_sam(model, "cpu", "float32")
        typer.echo("each file is written and compared, which takes some ten seconds", err=True)
        report = write(
            sam.model,
            output,
            preprocessor=sam.processor.image_processor,
            layout=layout,
            file_format=file_format,
            precision=precision,
            samples=samples,
        )
    if as_json:
        say_json({"output": str(output), **report})
        return
    typer.echo(f"{output}: {layout} layout, {file_format}, {precision}")
    for name, errors in report["files"].items():
        worst = max(errors.values())
        agreement = report["masks"].get(name)
        agreed = f", masks of samples with a mean IoU of {agreement['mean_iou']:.3f}" if agreement else ""
        typer.echo(f"  {name}: off by {worst:.1e} of the largest value{agreed}")
