"""Formats by name and suffix: what `Results.save` writes and `Results.load` reads."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...images.load import image_size_hw, load_image
from ...support.atomic_files import write_whole
from ...support.unknown_names import check_known_options, did_you_mean
from .annotated_image import AnnotatedImage
from .coco import read_coco, write_coco
from .cutouts import write_cutouts
from .files import FilePath, read_text
from .label_map_png import read_label_map_png, write_label_map_png
from .labelme import read_labelme, write_labelme
from .sa1b import read_sa1b, write_sa1b
from .yolo import read_yolo, write_yolo


@dataclass(frozen=True)
class Format:
    """How a format is written and read.

    Attributes:
        write: called with path, results and options.
        suffixes: of the files that are written so where no format is named.
        read: called with a path and options, or None where nothing can be read back.
        json_key: by which a JSON file of this format is told from those of the others.
    """

    write: Callable[..., Any]
    suffixes: tuple[str, ...] = ()
    read: Callable[..., AnnotatedImage] | None = None
    json_key: str | None = None


def _write_overlay(
    path: FilePath, results: Any, *, image: Any = None, labels: Any = False, prompts: bool = True
) -> None:
    kind, options = _PICTURES[Path(path).suffix.lower() if Path(path).suffix.lower() in _PICTURES else ".png"]
    picture = results.plot(image, labels=labels, prompts=prompts)
    write_whole(path, lambda file: picture.save(file, format=kind, **options))


def _write_cutouts(path: FilePath, results: Any, *, image: Any = None) -> list[Path]:
    return write_cutouts(path, results, results.image_to_draw_on(image))


def _write_coco(
    path: FilePath, results: Any, *, segmentation: str = "rle", tolerance: float = 0.0, class_names: Any = None
) -> None:
    write_coco(path, [results], segmentation=segmentation, tolerance=tolerance, class_names=class_names)


def _read_coco(path: FilePath, *, name: str | None = None) -> AnnotatedImage:
    images = read_coco(path)
    chosen = images if name is None else [image for image in images if image.name == name]
    if len(chosen) != 1:
        raise ValueError(
            f"{path} must hold one image{f' named {name!r}' if name else ''}, got {len(chosen)} of {len(images)}; pass "
            "the `name` of one, or read all with anymask.results.formats.coco.read_coco."
        )
    return chosen[0]


_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
    ".jpg": ("JPEG", {"quality": 92}),
    ".jpeg": ("JPEG", {"quality": 92}),
    ".webp": ("WEBP", {"quality": 90}),
}

FORMATS: dict[str, Format] = {
    "overlay": Format(_write_overlay, suffixes=tuple(_PICTURES)),
    "sa1b": Format(write_sa1b, suffixes=(".json",), read=read_sa1b, json_key="image"),
    "coco": Format(_write_coco, read=_read_coco, json_key="images"),
    "labelme": Format(write_labelme, read=read_labelme, json_key="shapes"),
    "yolo": Format(write_yolo, suffixes=(".txt",), read=read_yolo),
    "label_map": Format(write_label_map_png, read=read_label_map_png),
    "cutouts": Format(_write_cutouts),
}


def format_to_write(path: FilePath, name: str | None, options: dict[str, Any]) -> Format:
    """The format of a name, or else of a path's suffix, with the options checked.

    Raises:
        TypeError: an option is unknown.
        ValueError: the name or the suffix is.
    """
    if name is None:
        suffix = Path(path).suffix.lower()
        name = next((known for known, kind in FORMATS.items() if suffix in kind.suffixes), None)
        if name is None:
            suffixes = ", ".join(suffix for kind in FORMATS.values() for suffix in kind.suffixes)
            raise ValueError(f"{path} must end in {suffixes}, or `format` be one of {', '.join(FORMATS)}.")
    _check_name(name)
    _check_options(name, FORMATS[name].write, 2, options)
    return FORMATS[name]


def read_as(path: FilePath, name: str | None, image: Any, options: dict[str, Any]) -> AnnotatedImage:
    """Reads a file in the format of a name, or else the one that the file looks like.

    Raises:
        OSError: the file cannot be read.
        TypeError: an option is unknown.
        ValueError: the format is, or the file is not of it.
    """
    if name is None:
        name = _looks_like(path)
    _check_name(name)
    read = FORMATS[name].read
    if read is None:
        readable = ", ".join(known for known, kind in FORMATS.items() if kind.read)
        raise ValueError(f"the format must be one that can be read, {readable}, got {name!r}.")
    _check_options(name, read, 1, options)
    if name == "yolo" and "size_hw" not in options:
        if image is None:
            raise ValueError("a file of YOLO does not say the image's size; pass `image`, or `size_hw`.")
        options = {**options, "size_hw": image_size_hw(load_image(image))}
    return read(path, **options)


def _looks_like(path: FilePath) -> str:
    suffix = Path(path).suffix.lower()
    if suffix == ".txt":
        return "yolo"
    if suffix == ".png":
        return "label_map"
    try:
        keys = json.loads(read_text(path, "SA-1B, COCO or LabelMe")) if suffix == ".json" else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a whole JSON file, but: {error}.") from error
    for name, kind in FORMATS.items():
        if kind.json_key is not None and isinstance(keys, dict) and kind.json_key in keys:
            return name
    raise ValueError(
        f"{path} must be JSON of SA-1B, COCO or LabelMe, a .txt of YOLO or a .png label map, but it looks like none; "
        "pass `format` if it is."
    )


def _check_name(name: str) -> None:
    if name not in FORMATS:
        hint = did_you_mean(str(name), FORMATS, otherwise="pass one of them.")
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}, got {name!r}; {hint}")


def _check_options(name: str, function: Callable[..., Any], positional: int, options: dict[str, Any]) -> None:
    known = list(inspect.signature(function).parameters)[positional:]
    check_known_options(options, known, f"the format {name!r}")
