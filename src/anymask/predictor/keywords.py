"""The keywords of `SAM` and `SAM.predict`, and what to say to those of other packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..images.windows import Window
from ..mask_generation.options import EverythingOptions
from ..prompts.prompt import Prompt
from ..support.unknown_names import check_known_options

# What other packages call things, and what does it here.
ELSEWHERE = {
    "verbose": "nothing is printed unless asked for, so leave it out",
    "save": "save what predict returns: sam.predict(...)[0].save('photo.json')",
    "show": "show what predict returns: sam.predict(...)[0].plot().show()",
    "imgsz": "images may have any size, so leave it out: the checkpoint says how large the model sees them",
    "bands": "choose them in reading: sam.predict(anymask.load_image(source, bands=(3, 2, 1)))",
    "page": "choose it in reading: sam.predict(anymask.load_image(source, page=1))",
    "conf": "the threshold of predicted IoU is `pred_iou_thresh`, without prompts only",
    "conf_thres": "the threshold of predicted IoU is `pred_iou_thresh`, without prompts only",
    "points_stride": "the points along each side of the grid are `points_per_side`, without prompts only",
    "retina_masks": "masks are always as large as the image, so leave it out",
    "iou": "the threshold of duplicates is `box_nms_thresh`, without prompts only",
    "device": "the device is chosen once: SAM(model, device=...)",
    "devices": "the devices are chosen once: SAM(model, devices=[...])",
    "half": "the number format is chosen once: SAM(model, dtype='float16')",
    "text": "SAM takes no text; pass the `boxes` of a detector that does, and its words as `names`",
    "texts": "SAM takes no text; pass the `boxes` of a detector that does, and its words as `names`",
    "point_coords": "points are `points`, [[x, y], ...] of the original image",
    "point_labels": "labels are `labels`, nested like `points`",
    "box": "boxes are `boxes`, [x0, y0, x1, y1] or several of these",
    "mask_input": "masks are `masks`, also logits of an earlier prediction",
    "return_logits": "results have `low_res_logits`",
    "input_points": "points are `points`, without the axis of images: (N, 2), or (N, K, 2) for several of each object",
    "input_labels": "labels are `labels`, nested like `points`",
    "input_boxes": "boxes are `boxes`, without the axis of images: (N, 4)",
    "input_masks": "masks are `masks`, without the axis of images",
}


class PredictOptions(EverythingOptions, total=False):
    """The keywords of `SAM.predict` but `source` and `stream`, as type checkers and editors show them."""

    points: Any
    labels: Any
    boxes: Any
    bboxes: Any
    masks: Any
    names: Sequence[str | None] | None
    scores: Any
    prompts: Sequence[Prompt] | None
    clip: bool
    multimask_output: bool
    choice: str
    low_res_logits: bool
    on_error: Literal["raise", "skip"]
    value_range: Any
    window: Window | None


def check_keywords(given: Mapping[str, Any], known: Sequence[str], owner: str) -> None:
    """Refuse names of arguments that are unknown, those of other packages with what does the same here.

    Raises:
        TypeError: If there is one.
    """
    for name in given:
        if name in ELSEWHERE and name not in known:
            raise TypeError(f"{owner} has no option {name!r}: {ELSEWHERE[name]}.")
    check_known_options(given, known, owner)
