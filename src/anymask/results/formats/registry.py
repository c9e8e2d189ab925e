"""The table of formats: what `Results.save` writes, `Results.load` reads and the command line offers.

A new format is a file in this folder and a row in this table. Rows name their functions, which are imported when they
are used: the command line reads the table for its help, and must be quick.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...support.unknown_names import check_known_options, did_you_mean
from .files import FilePath, read_text

if TYPE_CHECKING:
    from ..results import Results
    from .annotated_image import AnnotatedImage


@dataclass(frozen=True)
class Format:
    """How a format is written, read and told from others.

    Attributes:
        writer: "file:function" of this folder, called with path, results and options.
        ending: what the command line adds to a photo's name.
        reader: "file:function", called with path and options, or None where nothing can be read back.
        suffixes: of the files that are this format where none is named, when written.
        read_suffixes: the same, when read.
        json_key: what a JSON object of this format has and those of the others have not.
        list_key: what the entries of a JSON list of this format have, and those of formats further up have not.
    """

    writer: str
    ending: str
    reader: str | None = None
    suffixes: tuple[str, ...] = ()
    read_suffixes: tuple[str, ...] = ()
    json_key: str | None = None
    list_key: str | None = None


# In the order in which the command line writes them. YOLO and LabelMe look for the photo's own name.
FORMATS: dict[str, Format] = {
    "overlay": Format("pictures:write_overlay", "_overlay.png", suffixes=(".png", ".jpg", ".jpeg", ".webp")),
    "sa1b": Format("sa1b:write_sa1b", "_masks.json", "sa1b:read_sa1b", suffixes=(".json",), json_key="image"),
    "coco": Format("coco:write_coco_of", "_coco.json", "coco:read_coco_of", json_key="images"),
    "coco_results": Format(
        "coco_results:write_coco_results_of", "_coco_results.json", "coco_results:read_coco_results_of",
        list_key="image_id",
    ),
    "amg": Format("sa1b:write_amg", "_amg.json", "sa1b:read_amg", list_key="segmentation"),
    "labelme": Format("labelme:write_labelme", ".json", "labelme:read_labelme", json_key="shapes"),
    "yolo": Format("yolo:write_yolo", ".txt", "yolo:read_yolo", suffixes=(".txt",), read_suffixes=(".txt",)),
    "label_map": Format(
        "label_map_png:write_label_map_png", "_label_map.png", "label_map_png:read_label_map_png",
        read_suffixes=(".png",),
    ),
    "cutouts": Format("pictures:write_cutouts_of", "_cutouts"),
}  # fmt: skip


def write_as(path: FilePath, name: str | None, results: Results, options: dict[str, Any]) -> None:
    """Write results in the format of a name, or else of a path's suffix.

    Raises:
        OSError: If it cannot be written.
        TypeError: If an option is unknown.
        ValueError: If the name or the suffix is, or the masks do not fit the format.
    """
    if name is None:
        suffix = Path(path).suffix.lower()
        name = next((known for known, row in FORMATS.items() if suffix in row.suffixes), None)
        if name is None:
            suffixes = ", ".join(suffix for row in FORMATS.values() for suffix in row.suffixes)
            raise ValueError(f"{path} must end in {suffixes}, or `format` be one of {', '.join(FORMATS)}.")
    write = _function(_row(name).writer)
    check_known_options(options, _options_of(write, 2), f"the format {name!r}")
    write(path, results, **options)


def read_as(path: FilePath, name: str | None, image: Any, options: dict[str, Any]) -> AnnotatedImage:
    """Read a file in the format of a name, or else the one that the file looks like.

    Args:
        path: of the file.
        name: of the format.
        image: of the masks; for formats whose files do not say its size.
        options: of the format.

    Raises:
        OSError: If the file cannot be read.
        TypeError: If an option is unknown.
        ValueError: If the format is, or the file is not of it.
    """
    if name is None:
        name = _looks_like(path)
    reader = _row(name).reader
    if reader is None:
        readable = ", ".join(known for known, row in FORMATS.items() if row.reader)
        raise ValueError(f"the format must be one that can be read, {readable}, got {name!r}.")
    read = _function(reader)
    known = _options_of(read, 1)
    check_known_options(options, [option for option in known if option != "image"], f"the format {name!r}")
    return read(path, **({"image": image} if "image" in known else {}), **options)


def _looks_like(path: FilePath) -> str:
    suffix = Path(path).suffix.lower()
    for name, row in FORMATS.items():
        if suffix in row.read_suffixes:
            return name
    try:
        document = json.loads(read_text(path, "SA-1B, COCO or LabelMe")) if suffix == ".json" else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a whole JSON file, but: {error}.") from error
    first = document[0] if isinstance(document, list) and document else None
    for name, row in FORMATS.items():
        if row.json_key is not None and isinstance(document, dict) and row.json_key in document:
            return name
        if row.list_key is not None and isinstance(first, dict) and row.list_key in first:
            return name
    raise ValueError(
        f"{path} must be JSON of SA-1B, COCO, LabelMe or Meta's amg.py, a .txt of YOLO or a .png label map, but it "
        "looks like none; pass `format` if it is."
    )


def _row(name: str) -> Format:
    if name not in FORMATS:
        hint = did_you_mean(str(name), FORMATS, otherwise="see docs/results.md for what each is.")
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}, got {name!r}; {hint}")
    return FORMATS[name]


def _function(place: str) -> Callable[..., Any]:
    file, function = place.split(":")
    return getattr(import_module(f".{file}", __package__), function)


def _options_of(function: Callable[..., Any], positional: int) -> list[str]:
    return list(inspect.signature(function).parameters)[positional:]
