"""Results as the objects of other libraries, and as a text table: pandas' data frame, supervision's detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..masks.record import MaskRecord
from .formats.annotated_image import choose_ids, class_name_of, class_number_of, first_of_each_class, label_of

if TYPE_CHECKING:
    from .results import Results

_COLUMNS = [
    *("id", "area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h", "point_input_x", "point_input_y"),
    *("predicted_iou", "stability_score", "crop_box_x0", "crop_box_y0", "crop_box_w", "crop_box_h", "label"),
]
_MAX_ROWS = 30  # of a text table


def classes_of(records: Sequence[MaskRecord]) -> tuple[np.ndarray, dict[int, str]]:
    """Number the classes of records from 0 on, or as they are numbered already.

    Returns:
        (N,) int64, the number of each record's class, and the names of the classes by their numbers.
    """
    first_of = first_of_each_class(records)
    ids = choose_ids([class_number_of(record) for record in first_of.values()], first=0)
    names = dict(zip(ids, first_of, strict=True))
    number_of = {name: number for number, name in names.items()}
    return np.array([number_of[class_name_of(record)] for record in records], dtype=np.int64), names


def confidences_of(records: Sequence[MaskRecord]) -> np.ndarray:
    """(N,) float32: how sure a detector was, or else the predicted IoU; NaN where neither is known."""
    scores = [record.get("score", record.get("predicted_iou")) for record in records]
    return np.array([np.nan if score is None else score for score in scores], dtype=np.float32)


def to_data_frame(records: Sequence[MaskRecord]) -> Any:
    """Make the table of `Results.to_dataframe`.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "to_dataframe() must have pandas, which is not installed: pip install 'anymask[tables]'."
        ) from error
    return pd.DataFrame([_row(number, record) for number, record in enumerate(records, start=1)], columns=_COLUMNS)


def to_detections(results: Results) -> Any:
    """Make the `supervision.Detections` of `Results.to_supervision`.

    Raises:
        ImportError: If supervision is not installed.
    """
    try:
        import supervision as sv
    except ImportError as error:
        raise ImportError(
            "to_supervision() must have supervision, which is not installed: pip install 'anymask[supervision]'."
        ) from error
    class_ids, names = classes_of(results.records)
    confidences = confidences_of(results.records)
    data: dict[str, Any] = {"class_name": np.array([names[number] for number in class_ids.tolist()], dtype=str)}
    stability = [record.get("stability_score") for record in results.records]
    if None not in stability:
        data["stability_score"] = np.array(stability, dtype=np.float32)
    return sv.Detections(
        xyxy=results.boxes_xyxy,
        mask=np.asarray(results.masks),
        confidence=None if np.isnan(confidences).any() else confidences,
        class_id=class_ids,
        data=data,
    )


def text_table(results: Results) -> str:
    """Make the table that `print(results)` shows: number, label, area, box and scores of each mask."""
    lines = [repr(results)]
    if not results.records:
        return lines[0]
    header = ("", "label", "area", "box (x, y, width, height)", "IoU", "stability")
    rows = [header]
    for number, record in enumerate(results.records[:_MAX_ROWS], start=1):
        box = ", ".join(f"{side:g}" for side in record["bbox"])
        row = (str(number), label_of(record) or "", str(record["area"]), box)
        rows.append((*row, _digits(record.get("predicted_iou")), _digits(record.get("stability_score"))))
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        lines.append("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)))
    if len(results) > _MAX_ROWS:
        lines.append(f"... and {len(results) - _MAX_ROWS} more")
    return "\n".join(lines)


def _digits(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def _row(number: int, record: MaskRecord) -> list[Any]:
    points = record.get("point_coords")
    point = points[0] if points is not None and len(points) == 1 else [None, None]
    crop = [None] * 4 if record.get("crop_box") is None else record["crop_box"]
    scores = record.get("predicted_iou"), record.get("stability_score")
    return [number, record["area"], *record["bbox"], *point, *scores, *crop, label_of(record)]
