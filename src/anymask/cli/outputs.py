"""`--format`: which results are written for a photo, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..results.formats.registry import FORMATS
from ..support.unknown_names import did_you_mean
from .files import Photo

# What is added to a photo's name, by format of `Results.save`, in the order of writing.
ENDINGS = {name: row.ending for name, row in FORMATS.items()}
_JPEG_OVERLAY = "_overlay.jpg"
# Of photos that are segmented in tiles, whatever --format says.
LARGE_ENDINGS = {
    "coco": ENDINGS["coco"],
    "geojson": "_outlines.geojson",
    "geopackage": "_outlines.gpkg",
    "label_raster": "_labels.tif",
    "table": "_objects.csv",
}
DEFAULT_FORMATS = "overlay,sa1b"


def read_formats(given: Iterable[str]) -> list[str]:
    """Read the formats of `--format` options, each a name or several with commas between, in the order of `ENDINGS`.

    Raises:
        ValueError: If one is unknown, or none is given.
    """
    names = {name for text in given for name in text.replace(",", " ").replace("-", "_").split()}
    for name in sorted(names):
        if name not in ENDINGS:
            hint = did_you_mean(name, ENDINGS, otherwise="several go with commas between.")
            raise ValueError(f"--format must be of {', '.join(ENDINGS)}, got {name!r}; {hint}")
    if not names:
        raise ValueError(f"--format must name at least one of {', '.join(ENDINGS)}")
    return [name for name in ENDINGS if name in names]


def output_paths(photo: Photo, folder: Path, formats: Iterable[str], jpeg: bool = False) -> dict[str, Path]:
    """Say where the results of a photo go, by format; overlays as JPEG where that is asked for."""
    endings = {**ENDINGS, "overlay": _JPEG_OVERLAY} if jpeg else ENDINGS
    return {name: folder / f"{photo.stem}{endings[name]}" for name in formats}


def owner_of(name: str) -> str | None:
    """The stem of the photo whose result a picture of this name would be: an overlay, a label map, a cut-out.

    Args:
        name: With the folders below the one that is searched.

    Returns:
        The stem, or None where the name is no result's.
    """
    path = PurePosixPath(name)
    folders = (folder for folder in path.parts[:-1] if folder.endswith(ENDINGS["cutouts"]))
    cutouts_of = next(folders, None)
    if cutouts_of is not None:
        return cutouts_of.removesuffix(ENDINGS["cutouts"])
    endings = (ENDINGS["overlay"], _JPEG_OVERLAY, ENDINGS["label_map"], LARGE_ENDINGS["label_raster"])
    return next((path.name.removesuffix(ending) for ending in endings if path.name.endswith(ending)), None)


def is_cutout(name: str) -> bool:
    """Whether a file of this name in a folder of cut-outs is one of an earlier run."""
    return re.fullmatch(r".*_\d{4,}(_[\w-]*)?\.png", name) is not None
