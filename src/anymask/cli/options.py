"""Options that commands have in common, and those of segment-everything, as Typer reads them from signatures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

EVERYTHING_PANEL = "Without --point and --box (defaults are the checkpoint's)"


class Dtype(str, Enum):
    """Number formats that a model computes in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


Photos = Annotated[
    list[str], typer.Argument(metavar="PHOTO", help="Files, folders, URLs, and globs in quotes: 'photos/**/*.jpg'.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, created if needed.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Packaged name, folder, file of weights or hub id.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, ...; auto takes a GPU if there is one.")]
ComputeIn = Annotated[Dtype, typer.Option("--dtype", help="Number format to compute in.")]
Resume = Annotated[bool, typer.Option("--resume", help="Skip photos whose results are all there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Report in JSON, one object per line.")]


def _count(help_text: str, lowest: int = 0) -> typer.models.OptionInfo:
    return typer.Option(min=lowest, help=help_text, rich_help_panel=EVERYTHING_PANEL)


def _number(help_text: str) -> typer.models.OptionInfo:
    return typer.Option(help=help_text, rich_help_panel=EVERYTHING_PANEL)


# Named as in `MaskGenerationOptions`, which says more about each and checks its value.
PointsPerSide = Annotated[int | None, _count("The grid of prompts has this many by this many points.", 1)]
PointsPerBatch = Annotated[int | None, _count("Points decoded at a time; bounds memory, changes no mask.", 1)]
PredIouThresh = Annotated[float | None, _number("Keep masks whose predicted IoU is above this.")]
StabilityScoreThresh = Annotated[float | None, _number("Keep masks whose stability score reaches this.")]
StabilityScoreOffset = Annotated[float | None, _number("How far the threshold moves to measure stability.")]
MaskThreshold = Annotated[float | None, _number("Logits above this are foreground.")]
BoxNmsThresh = Annotated[float | None, _number("Of two masks whose boxes overlap more than this, one goes.")]
CropNLayers = Annotated[int | None, _count("Layers of crops besides the whole photo; layer i has 2^i x 2^i.")]
CropNmsThresh = Annotated[float | None, _number("As --box-nms-thresh, between crops.")]
CropOverlapRatio = Annotated[float | None, _number("Overlap of crops, as a part of the shorter side.")]
CropNPointsDownscaleFactor = Annotated[int | None, _count("Layer i has a grid smaller by this to the i.", 1)]
MinMaskRegionArea = Annotated[int | None, _count("Fill holes and drop islands of fewer pixels.")]
MaxHoleArea = Annotated[int | None, _count("Fill holes of up to this many pixels.")]
MaxSprinkleArea = Annotated[int | None, _count("Drop islands of up to this many pixels.")]

EVERYTHING = {
    "points_per_side": PointsPerSide,
    "points_per_batch": PointsPerBatch,
    "pred_iou_thresh": PredIouThresh,
    "stability_score_thresh": StabilityScoreThresh,
    "stability_score_offset": StabilityScoreOffset,
    "mask_threshold": MaskThreshold,
    "box_nms_thresh": BoxNmsThresh,
    "crop_n_layers": CropNLayers,
    "crop_nms_thresh": CropNmsThresh,
    "crop_overlap_ratio": CropOverlapRatio,
    "crop_n_points_downscale_factor": CropNPointsDownscaleFactor,
    "min_mask_region_area": MinMaskRegionArea,
    "max_hole_area": MaxHoleArea,
    "max_sprinkle_area": MaxSprinkleArea,
}


def with_everything_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all options of segment-everything; those that were given reach it as its argument `options`."""

    @functools.wraps(command)
    def with_options(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in EVERYTHING}
        return command(**arguments, options={name: value for name, value in given.items() if value is not None})

    own = [
        parameter
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
        if name != "options"
    ]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in EVERYTHING.items()
    ]
    with_options.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *more)}
    return with_options
