"""Options that commands have in common, and those of segment-everything, as Typer reads them from signatures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_MODEL = "sam-vit-nano"
ABOUT_DEFAULT_MODEL = (
    "anymask: sam-vit-nano, the packaged model, is small and rough; Meta's are better and slower: "
    "--model facebook/sam-vit-base (a download of 375 MB, once)"
)

EVERYTHING_PANEL = "Without --point and --box (defaults are the checkpoint's)"


class Dtype(str, Enum):
    """Number formats that a model computes in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class PointsOf(str, Enum):
    """Which points of the grid are asked."""

    grid = "grid"
    adaptive = "adaptive"


class OverlapOf(str, Enum):
    """What the overlap of two masks is a share of."""

    iou = "iou"
    smaller = "smaller"


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
Points = Annotated[
    PointsOf | None, _number("Points of the grid to ask: grid (all), or adaptive (about half, for most of the masks).")
]
PointsPerSide = Annotated[int | None, _count("The grid of prompts has this many by this many points.", 1)]
PointsPerBatch = Annotated[int | None, _count("Points decoded at a time; bounds memory, changes no mask.", 1)]
PredIouThresh = Annotated[float | None, _number("Keep masks whose predicted IoU is above this.")]
StabilityScoreThresh = Annotated[float | None, _number("Keep masks whose stability score reaches this.")]
StabilityScoreOffset = Annotated[float | None, _number("How far the threshold moves to measure stability.")]
MaskThreshold = Annotated[float | None, _number("Logits above this are foreground.")]
BoxNmsThresh = Annotated[float | None, _number("Of two masks whose boxes overlap more than this, one goes.")]
MaskNmsThresh = Annotated[float | None, _number("Of two masks that overlap more than this, one goes; by default none.")]
MaskNmsMeasure = Annotated[
    OverlapOf | None, _number("Overlap of --mask-nms-thresh: iou, or smaller (part of the smaller mask).")
]
CropNLayers = Annotated[int | None, _count("Layers of crops besides the whole photo; layer i has 2^i x 2^i.")]
CropNmsThresh = Annotated[float | None, _number("As --box-nms-thresh, between crops.")]
CropOverlapRatio = Annotated[float | None, _number("Overlap of crops, as a part of the shorter side.")]
CropNPointsDownscaleFactor = Annotated[int | None, _count("Layer i has a grid smaller by this to the i.", 1)]
MinMaskRegionArea = Annotated[int | None, _count("Fill holes and drop islands of fewer pixels.")]
MaxHoleArea = Annotated[int | None, _count("Fill holes of up to this many pixels.")]
MaxSprinkleArea = Annotated[int | None, _count("Drop islands of up to this many pixels.")]
HoleShare = Annotated[float | None, _number("Fill holes of less than this part of their mask.")]
IslandShare = Annotated[float | None, _number("Drop islands of less than this part of their mask.")]

EVERYTHING = {
    "points": Points,
    "points_per_side": PointsPerSide,
    "points_per_batch": PointsPerBatch,
    "pred_iou_thresh": PredIouThresh,
    "stability_score_thresh": StabilityScoreThresh,
    "stability_score_offset": StabilityScoreOffset,
    "mask_threshold": MaskThreshold,
    "box_nms_thresh": BoxNmsThresh,
    "mask_nms_thresh": MaskNmsThresh,
    "mask_nms_measure": MaskNmsMeasure,
    "crop_n_layers": CropNLayers,
    "crop_nms_thresh": CropNmsThresh,
    "crop_overlap_ratio": CropOverlapRatio,
    "crop_n_points_downscale_factor": CropNPointsDownscaleFactor,
    "min_mask_region_area": MinMaskRegionArea,
    "max_hole_area": MaxHoleArea,
    "max_sprinkle_area": MaxSprinkleArea,
    "hole_share": HoleShare,
    "island_share": IslandShare,
}


LOOK_PANEL = "How pictures and label maps look"


def _look(help_text: str, *names: str, **limits: Any) -> typer.models.OptionInfo:
    return typer.Option(*names, help=help_text, rich_help_panel=LOOK_PANEL, **limits)


class Priority(str, Enum):
    """Which mask a pixel of a label map goes to where several cover it."""

    small_first = "small_first"
    large_first = "large_first"
    score = "score"


# Named as in `Results.plot` and `Results.to_label_map`.
LOOK = {
    "labels": Annotated[bool | None, _look("Write each mask's number beside it.", "--labels")],
    "draw_boxes": Annotated[bool | None, _look("Draw the box of each mask.", "--draw-boxes")],
    "alpha": Annotated[float | None, _look("How opaque masks are, from 0 (outlines only) to 1.", min=0, max=1)],
    "colors": Annotated[str | None, _look("Colours in turn, with commas between: 'orange,#3050ff'.")],
    "font": Annotated[Path | None, _look("A TrueType or OpenType file for the labels.")],
    "jpeg": Annotated[bool | None, _look("Write overlays as JPEG: smaller files.", "--jpeg")],
    "priority": Annotated[Priority | None, _look("Which mask a pixel of a label map goes to where several are.")],
    "every_pixel": Annotated[bool | None, _look("Label maps: give other pixels to the nearest mask.", "--every-pixel")],
}


def _with_options(table: dict[str, Any], argument: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command the options of a table; those that were given reach it as one argument."""

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_options(**arguments: Any) -> Any:
            given = {name: arguments.pop(name) for name in table}
            return command(**arguments, **{argument: {key: value for key, value in given.items() if value is not None}})

        own = [
            parameter
            for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
            if name != argument
        ]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in table.items()
        ]
        with_options.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *more)}
        return with_options

    return give


with_everything_options = _with_options(EVERYTHING, "options")
with_look_options = _with_options(LOOK, "look")
