"""YOLO's text format for segmentation: a line per mask, its class and one outline as fractions of the image's size.

A line has room for one outline only, so parts and holes of a mask are joined by seams, which enclose nothing. The
number of values after the class tells what a line holds: 4 are a box (centre, width, height), 5 a box and its
confidence, an even number an outline, an odd number an outline and its confidence.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...images.load import image_size_hw, load_image
from ...masks.polygons import polygons_to_rle
from ...masks.record import MaskRecord, make_record
from ...support.atomic_files import write_whole
from .annotated_image import Annotated, AnnotatedImage, ClassNames, box_to_rle, join_outlines, label_of, polygons_of
from .files import Entries, FilePath, read_text, reading

_FORMAT = "segmentation text of YOLO"
_DIGITS = 7  # enough to give every pixel of an image of a million columns back
_ROUNDING = 0.01  # how far outside of the image other programs' numbers may lie


def write_yolo(
    path: FilePath,
    annotated: Annotated,
    *,
    class_names: ClassNames | None = None,
    tolerance: float = 0.0,
    confidence: bool = False,
) -> None:
    """Write the masks of one image; a mask without pixels is left out, with a warning.

    Args:
        path: where to.
        annotated: records and size of an image.
        class_names: of the data set: names in order from 0, or by their numbers. Without them a label must be a number,
            or the record have one as its "category_id". A mask without a label is of class 0.
        tolerance: in pixels, how far the outline may be from the mask's.
        confidence: end each line with the mask's predicted IoU.

    Raises:
        OSError: If it cannot be written.
        ValueError: If a label has no place among the class names, or a mask no predicted IoU that is to be written.
    """
    height, width = annotated.size_hw
    numbers = None if class_names is None else {name: number for number, name in _by_number(class_names).items()}
    lines, empty = [], 0
    for record, polygons in zip(annotated.records, polygons_of(annotated, tolerance), strict=True):
        fields = [str(_class_number(record, numbers))]
        if not polygons:
            empty += 1
            continue
        fields += [f"{value:.{_DIGITS}g}" for value in (join_outlines(polygons) / (width, height)).ravel().tolist()]
        if confidence:
            if record.get("predicted_iou") is None:
                raise ValueError("`confidence=True` must find a predicted IoU in every record, but one has none.")
            fields.append(f"{record['predicted_iou']:.{_DIGITS}g}")
        lines.append(" ".join(fields))
    if empty:
        warnings.warn(f"{empty} masks without pixels were left out: YOLO has no line for them.", stacklevel=2)
    text = "".join(line + "\n" for line in lines)
    write_whole(path, lambda file: file.write(text.encode()))


def _by_number(class_names: ClassNames) -> dict[int, str]:
    return dict(class_names if isinstance(class_names, Mapping) else enumerate(class_names))


def _class_number(record: MaskRecord, numbers: dict[str, int] | None) -> int:
    label = label_of(record)
    if numbers is not None and label in numbers:
        return numbers[label]
    if numbers is None and label is not None and label.isdecimal():
        return int(label)
    if numbers is None and "category_id" in record:
        return int(record["category_id"])
    if label is None:
        return 0
    raise ValueError(
        f"`class_names` must hold the label {label!r}, since YOLO writes classes as numbers; got "
        f"{None if numbers is None else list(numbers)}."
    )


def read_yolo(
    path: FilePath, size_hw: Sequence[int] | None = None, *, class_names: ClassNames | None = None, image: Any = None
) -> AnnotatedImage:
    """Read the masks of one image.

    A line with a box gives the mask of the box, with a warning; a line that is not understood is passed over, with
    another. A record's "category_id" is the number of its class.

    Args:
        path: of the file.
        size_hw: height and width of the image in pixels, which the file does not say; by default that of the image.
        class_names: of the data set: names in order from 0, or by their numbers; without them a label is the number of
            its class as text.
        image: of the masks.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no text, or nothing says the image's size.
    """
    if size_hw is None and image is None:
        raise ValueError("a file of YOLO does not say the image's size; pass `image`, or `size_hw`.")
    height, width = image_size_hw(load_image(image)) if size_hw is None else size_hw
    names = None if class_names is None else _by_number(class_names)
    with reading(path, _FORMAT, "the file"):
        lines = read_text(path, _FORMAT).splitlines()
    records = []
    entries = Entries(path, "line")
    for line in entries.each(lines):
        with entries.passed_over_if_wrong():
            if line.strip():
                records.append(_record(line.split(), (int(height), int(width)), names, entries))
    entries.warn()
    return AnnotatedImage(records, (int(height), int(width)))


def _record(fields: list[str], size_hw: tuple[int, int], names: dict[int, str] | None, entries: Entries) -> MaskRecord:
    height, width = size_hw
    number, values = _whole(fields[0]), np.array([float(field) for field in fields[1:]])
    if len(values) < 4:
        raise ValueError(f"after the class come a box or pairs of x and y, 3 or more, got {len(values)} numbers.")
    if names is not None and number not in names:
        raise ValueError(f"class {number} must be one of the {len(names)} class names.")
    more: dict[str, Any] = {"label": str(number) if names is None else names[number], "category_id": number}
    if len(values) % 2:
        more["predicted_iou"] = float(values[-1])
        values = values[:-1]
    if not (np.abs(values - 0.5) <= 0.5 + _ROUNDING).all():
        raise ValueError("x and y are fractions of the image's width and height, from 0 to 1.")
    pairs_xy = values.reshape(-1, 2) * (width, height)
    if len(pairs_xy) == 2:
        centre_xy, size_wh = pairs_xy
        entries.note("hold a box and no outline; their masks are their boxes.")
        return make_record(
            box_to_rle(np.concatenate([centre_xy - size_wh / 2, centre_xy + size_wh / 2]), size_hw), **more
        )
    return make_record(polygons_to_rle([(pairs_xy, [])], size_hw), **more)


def _whole(text: str) -> int:
    number = float(text)  # some programs write classes as 3.0
    if not number.is_integer() or number < 0:
        raise ValueError(f"the class must be a whole number, got {text!r}.")
    return int(number)
