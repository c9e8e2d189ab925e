"""`anymask volume`: an object, or everything, through the slices of a volume. An adapter over `anymask.volumes`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import __version__
from ...support.atomic_files import check_work_folder
from .. import options as take
from ..prompts import read_values
from ..reports import errors_reported, say_json
from ..start import load_sam, quick_imports

if TYPE_CHECKING:
    from ...volumes.propagate import Seed

_NUMBER = r"[-+]?[0-9]*\.?[0-9]+"
_SEED = re.compile(rf"(?P<slice>\d+):(?P<numbers>{_NUMBER}(,{_NUMBER})+)")


def volume(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A NIfTI file, a folder with a DICOM series, or .npy.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Labels, a .nii or .nii.gz file.")],
    seeds: Annotated[
        list[str],
        typer.Option("--seed", "-s", metavar="Z:X0,Y0,X1,Y1", help="The object in slice Z: a box, or a point Z:X,Y."),
    ] = [],  # noqa: B006  (Typer reads it)
    axis: Annotated[int | None, typer.Option(min=0, max=2, help="To walk along; NIfTI's last, others' first.")] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="LEVEL,WIDTH", help="CT window in Hounsfield units, or by name: abdomen, bone ..."),
    ] = None,
    value_range: Annotated[
        str | None, typer.Option(metavar="BLACK,WHITE", help="Values that stand for black and white.")
    ] = None,
    projection: Annotated[str, typer.Option(help="What prompts the next slice: box, mask, box+mask, ...")] = "box+mask",
    iou_threshold: Annotated[float, typer.Option(help="The walk ends where slices agree less.")] = 0.8,
    box_extension: Annotated[float, typer.Option(help="How much a box is widened, of its sides.")] = 0.025,
    link_iou: Annotated[float, typer.Option(help="Everything: overlap that makes masks one object.")] = 0.5,
    gap_closing: Annotated[int, typer.Option(min=0, help="Everything: slices in which an object may be missing.")] = 1,
    min_extent: Annotated[int, typer.Option(min=1, help="Everything: drop objects in fewer slices.")] = 2,
    model: take.Model = "sam-vit-nano",
    device: take.Device = "auto",
    dtype: take.ComputeIn = take.Dtype.float32,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the slices of a run that was stopped.")] = False,
    as_json: take.AsJson = False,
    *,
    options: dict[str, Any],
) -> None:
    """Segment one object of a volume from --seed in one or more slices, or everything without any.

    Coordinates are pixels of the slice: x along its second axis, y along its first. Labels keep the volume's affine and
    header. Until they are written, a folder NAME_slices beside OUTPUT holds what is done. Exits with 2 if anything is
    wrong.
    """
    with errors_reported(as_json):
        parsed = dict(read_seed(seed) for seed in seeds)
        with quick_imports():
            from ...mask_generation.generator import SamMaskGenerator
            from ...volumes.everything import segment_volume
            from ...volumes.files import check_labels_path, open_volume, save_labels
            from ...volumes.propagate import VolumePredictor
        if seeds and options:
            raise TypeError("Options of segment-everything must come without --seed")
        check_labels_path(output)
        opened = open_volume(source, axis)
        shown = _read_shown(value_range, window)
        work = _begin_or_go_on(_work_folder(source, output), output, resume, as_json)
        sam = load_sam(model, device, dtype.value)
        settings = {"anymask": __version__, "model": model, "dtype": dtype.value, "options": options}
        kept: dict[str, Any] = {"work_folder": work, "settings": settings}
        if parsed:
            labels = VolumePredictor(sam, opened, **shown, **kept).propagate(
                parsed, projection=projection, iou_threshold=iou_threshold, box_extension=box_extension
            )
        else:
            generator = SamMaskGenerator(sam.model, sam.processor, progress=False, **options)
            labels = segment_volume(
                generator,
                opened,
                **shown,
                **kept,
                link_iou=link_iou,
                gap_closing=gap_closing,
                min_extent=min_extent,
                progress=not as_json,
            )
        # What a kill leaves unfinished lies in the folder too.
        save_labels(work / output.name, labels, opened)
        os.replace(work / output.name, output)
        shutil.rmtree(work)
    objects, voxels = int(labels.max(initial=0)), int((labels > 0).sum())
    if as_json:
        say_json({"output": str(output), "objects": objects, "voxels": voxels})
    else:
        typer.echo(f"{output}: {objects} object{'s' if objects != 1 else ''}, {voxels} voxels")


def _read_shown(value_range: str | None, window: str | None) -> dict[str, Any]:
    """Which values are black and white; words for them, which photos know, are refused."""
    shown = read_values(value_range, window)
    if isinstance(shown.get("value_range"), str):
        raise ValueError("--value-range of a volume must be BLACK,WHITE; without it, percentiles are taken")
    return shown


def _begin_or_go_on(work: Path, output: Path, resume: bool, as_json: bool) -> Path:
    """The folder of what is done, emptied unless a run goes on; ends the command where that run was finished."""
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    elif output.is_file() and not work.exists():
        if as_json:
            say_json({"output": str(output), "status": "skipped"})
        else:
            typer.echo(f"{output}: finished before, skipped")
        raise typer.Exit
    return work


def _work_folder(source: Path, output: Path) -> Path:
    """The folder beside the labels that is kept until they are written.

    Raises:
        FileExistsError: If there is another folder of that name.
        ValueError: If the labels would take the place of the volume.
    """
    work = output.with_name(f"{output.name.partition('.nii')[0]}_slices")
    if output.exists() and source.exists() and os.path.samefile(source, output):
        raise ValueError(f"--output must be another file than the volume itself, got {output}; name another")
    check_work_folder(work)
    return work


def read_seed(text: str) -> tuple[int, Seed]:
    """Slice and seed of what --seed says.

    Raises:
        ValueError: If it is neither Z:X0,Y0,X1,Y1 nor Z:X,Y.
    """
    from ...volumes.propagate import Seed

    match = _SEED.fullmatch(text.replace(" ", ""))
    numbers = [float(number) for number in match["numbers"].split(",")] if match else []
    if match is None or len(numbers) not in (2, 4):
        raise ValueError(f"--seed must be Z:X0,Y0,X1,Y1 (a box) or Z:X,Y (a point), got {text!r}")
    return int(match["slice"]), Seed(box_xyxy=numbers) if len(numbers) == 4 else Seed(points_xy=[numbers])
