"""YOLO's text format for segmentation: a line per mask, its class and one outline as fractions of the image's size.

A line has room for one outline only, so parts and holes of a mask are joined by seams, which enclose nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ...masks.polygons import polygons_to_rle
from ...masks.record import MaskRecord, make_record
from ...support.atomic_files import write_whole
from .annotated_image import Annotated, AnnotatedImage, joined, polygons_of
from .files import FilePath, read_text, reading

_FORMAT = "segmentation text of YOLO"
_DIGITS = 7  # enough to give every pixel of an image of a million columns back


def write_yolo(
    path: FilePath, annotated: Annotated, *, class_names: Sequence[str] | None = None, tolerance: float = 0.0
) -> None:
    """Writes the masks of one image; a mask without pixels is left out, with a warning.

    Args:
        path: where to.
        annotated: records and size of an image.
        class_names: of the data set, in order: a label's place is its class. A mask without a label is of class 0.
        tolerance: in pixels, how far the outline may be from the mask's.

    Raises:
        OSError: it cannot be written.
        ValueError: a label has no place among the class names.
    """
    height, width = annotated.size_hw
    lines, empty = [], 0
    for record, polygons in zip(annotated.records, polygons_of(annotated, tolerance), strict=True):
        number = _class_number(record, class_names)
        if not polygons:
            empty += 1
            continue
        numbers = (joined(polygons) / (width, height)).ravel().tolist()
        lines.append(" ".join([str(number), *(f"{value:.{_DIGITS}g}" for value in numbers)]))
    if empty:
        warnings.warn(f"{empty} masks without pixels were left out: YOLO has no line for them.", stacklevel=2)
    text = "".join(line + "\n" for line in lines)
    write_whole(path, lambda file: file.write(text.encode()))


def _class_number(record: MaskRecord, class_names: Sequence[str] | None) -> int:
    label = record.get("label")
    if label is None:
        return 0
    if class_names is None and label.isdecimal():
        return int(label)
    if class_names is None or label not in class_names:
        raise ValueError(
            f"`class_names` must hold the label {label!r}, since YOLO writes classes as numbers; got {class_names}."
        )
    return list(class_names).index(label)


def read_yolo(path: FilePath, size_hw: Sequence[int], *, class_names: Sequence[str] | None = None) -> AnnotatedImage:
    """Reads the masks of one image.

    Args:
        path: of the file.
        size_hw: height and width of the image, which the file does not say.
        class_names: of the data set; without them a label is the number of its class as text.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not of this format; the message says where.
    """
    height, width = size_hw
    records = []
    with reading(path, _FORMAT, "the file"):
        lines = read_text(path, _FORMAT).splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        with reading(path, _FORMAT, f"line {number}"):
            name, *values = line.split()
            outline = np.array([float(value) for value in values])
            if len(outline) == 4:
                raise ValueError("it holds a box and no outline; give the boxes to a model as prompts.")
            if len(outline) < 6 or len(outline) % 2:
                raise ValueError(f"after the class come pairs of x and y, 3 or more, got {len(outline)} numbers.")
            if not (np.abs(outline - 0.5) <= 0.51).all():  # a little outside is rounding of other programs
                raise ValueError("x and y are fractions of the image's width and height, from 0 to 1.")
            rle = polygons_to_rle([(outline.reshape(-1, 2) * (width, height), [])], (height, width))
            records.append(make_record(rle, label=_label(int(name), class_names)))
    return AnnotatedImage(records, (int(height), int(width)))


def _label(number: int, class_names: Sequence[str] | None) -> str:
    if class_names is None:
        return str(number)
    if not 0 <= number < len(class_names):
        raise ValueError(f"class {number} must be one of the {len(class_names)} class names.")
    return class_names[number]
