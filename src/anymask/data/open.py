"""`open_dataset`: a path, and what lies there is recognised. Each format is one line of a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..results.formats.files import read_text
from ..support.unknown_names import check_known_name, check_known_options
from .readers.coco import read_coco_dataset
from .readers.files import files_with, image_files, subfolder
from .readers.folders import read_mask_folder
from .readers.medical import NIFTI_SUFFIXES, read_medsam_npy, read_medsam_npz, read_nifti_folder
from .readers.sidecars import read_bsds_folder, read_labelme_folder, read_sa1b_folder, read_yolo_folder
from .samples import MaskDataset
from .synthetic.held_out import read_held_out_scenes

FORMATS: dict[str, tuple[Callable[..., MaskDataset], tuple[str, ...]]] = {
    "masks": (read_mask_folder, ("kind", "ignore_value")),
    "coco": (read_coco_dataset, ("images",)),
    "sa1b": (read_sa1b_folder, ()),
    "labelme": (read_labelme_folder, ()),
    "yolo": (read_yolo_folder, ("class_names",)),
    "medsam_npy": (read_medsam_npy, ()),
    "medsam_npz": (read_medsam_npz, ()),
    "nifti": (read_nifti_folder, ("window", "axis", "min_pixels", "value_range")),
    "bsds": (read_bsds_folder, ()),
    "synthetic": (read_held_out_scenes, ()),
}
"""Readers by name, and the options that each knows."""


def open_dataset(path: str | Path, format: str | None = None, **options: Any) -> MaskDataset:  # noqa: A002
    """A data set of whatever lies at a path.

    Args:
        path: of a folder, a COCO file or an npz file; or "synthetic:200" for 200 drawn scenes that sam-vit-nano was not
            trained on.
        format: one of `FORMATS`; by default what it looks like.
        **options: of the format's reader.

    Raises:
        OSError: If there is nothing at the path.
        TypeError: If an option is unknown.
        ValueError: If the format is unknown, or the path does not hold it.
    """
    if format is None:
        format, path = _looks_like(path)  # noqa: A001
    check_known_name(format, FORMATS, "`format` must be one of anymask's formats of data")
    read, known = FORMATS[format]
    check_known_options(options, known, f"the format {format!r}")
    return read(path, **options)


def _looks_like(path: str | Path) -> tuple[str, str | Path]:
    """The format of what lies at a path, and the path that its reader takes."""
    if str(path).split(":")[0] == "synthetic":
        return "synthetic", path
    path = Path(path)
    if path.is_file():
        found = {".json": "coco", ".npz": "medsam_npz"}.get(path.suffix.lower())
        if found is None:
            raise ValueError(
                f"{path} must be a folder, a .json of COCO or an .npz with imgs and gts; or pass `format`."
            )
        return found, path
    if not path.is_dir():
        raise FileNotFoundError(f"{path} must be a folder or a file of data, but there is nothing.")
    if files_with(path, NIFTI_SUFFIXES):
        return "nifti", path
    if subfolder(path, ["imgs"]) and subfolder(path, ["gts"]) and files_with(path, [".npy"]):
        return "medsam_npy", path
    if not image_files(path) and files_with(path, [".npz"]):
        return "medsam_npz", path
    if json_files := files_with(path, [".json"]):
        return _json_format(path, json_files)
    if files_with(path, [".mat"]):
        return "bsds", path
    labels = subfolder(path, ["labels"])
    is_yolo = labels is not None and files_with(labels, [".txt"])
    return ("yolo" if is_yolo else "masks"), path


def _json_format(folder: Path, files: list[Path]) -> tuple[str, Path]:
    """By the keys of the first file that is of a known format: one COCO file for all, or a file for each image."""
    kinds = {"images": "coco", "image": "sa1b", "shapes": "labelme"}
    for file in files:
        try:
            document = json.loads(read_text(file, "data"))
        except ValueError:
            continue
        key = next((key for key in kinds if isinstance(document, dict) and key in document), None)
        if key == "images" and "annotations" in document:
            if len(files) > 1:
                names = ", ".join(other.name for other in files[:5])
                raise ValueError(
                    f"{folder} must hold one file of COCO, got {len(files)} JSON files, {names}; name one."
                )
            return "coco", file
        if key in ("image", "shapes"):
            return kinds[key], folder
    return "masks", folder
