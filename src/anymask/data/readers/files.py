"""Finding files that belong together: images in a folder, and what lies beside them under the same stem."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ...images.files import IMAGE_SUFFIXES
from ...images.load import load_image

# What may follow an image's stem in the name of its mask: cup_mask.png, cup-gt.png, cup_1.png, cup_mask_002.png.
_AFTER_STEM = re.compile(r"([_\-. ](masks?|labels?|segs?|gts?|annotations?|instances?|objects?|matte|[0-9]+))+", re.I)
_TWO_SUFFIXES = (".nii.gz",)
IMAGE_FOLDERS = ("images", "imgs", "image", "img", "photos")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "gts", "gt", "segmentations", "labelled")


def stem_of(path: Path) -> str:
    """A file's name without its ending, of which ".nii.gz" is one; its accents as most systems write them.

    macOS writes an accent as a character of its own, so that files that were copied from there may have either.
    """
    stem = path.stem
    for suffix in _TWO_SUFFIXES:
        if path.name.lower().endswith(suffix):
            stem = path.name[: -len(suffix)]
    return unicodedata.normalize("NFC", stem)


def files_with(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files of a folder and its subfolders with one of the endings, sorted; hidden ones are left out."""
    wanted = tuple(suffixes)
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(wanted)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder and its subfolders, sorted."""
    return files_with(folder, IMAGE_SUFFIXES)


def name_below(folder: Path, path: Path) -> str:
    """How a sample is called: the path of its file below the data set's folder, with `/` on every system."""
    return path.relative_to(folder).as_posix()


def read_image(path: Path) -> np.ndarray:
    """An image file as (H, W, 3), of the dtype and values of `anymask.load_image`."""
    return np.asarray(load_image(path))


def subfolder(folder: Path, names: Iterable[str]) -> Path | None:
    """The first subfolder of one of these names, whatever its case."""
    found = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return next((found[name] for name in names if name in found), None)


def pair_by_stem(
    images: Iterable[Path], others: Iterable[Path], stem_of_image: Callable[[Path], str] = stem_of
) -> dict[Path, list[Path]]:
    """For each image those other files that its stem names.

    That is the same stem, one with "_mask", "_2" ... behind it, or a file in a folder of that stem, or in its masks/.
    Where two images claim a file, the longer stem has it. Images of one stem in several folders get the files whose
    folders are alike: train/a.jpg gets masks/train/a.png.
    """
    by_stem: dict[str, list[Path]] = {}
    for image in images:
        by_stem.setdefault(stem_of_image(image), []).append(image)
    pairs: dict[Path, list[Path]] = {image: [] for group in by_stem.values() for image in group}
    for other in others:
        stem = _claiming_stem(other, by_stem)
        if stem is None:
            continue
        candidates = [image for image in by_stem[stem] if image != other]
        if candidates:
            pairs[max(candidates, key=lambda image: _shared_folders(image, other))].append(other)
    return pairs


def _claiming_stem(other: Path, by_stem: dict[str, list[Path]]) -> str | None:
    stem = stem_of(other)
    ends = [match.start() for match in re.finditer(r"[_\-. ]", stem)]
    shorter = [stem[:end] for end in reversed(ends) if stem[:end] in by_stem and _AFTER_STEM.fullmatch(stem[end:])]
    # p1/scan_mask.png is of p1/scan.png, though p2/scan_mask.png has its stem.
    beside = [one for one in shorter if any(image.parent == other.parent for image in by_stem[one])]
    if beside:
        return beside[0]
    same = by_stem.get(stem, [])
    # Where masks are looked for among the images, p1/scan.png is not the mask of p2/scan.png.
    if any(image != other and (other not in same or image.parent == other.parent) for image in same):
        return stem
    if shorter:
        return shorter[0]
    folder = other.parent.parent if other.parent.name.lower() in MASK_FOLDERS else other.parent
    named = [unicodedata.normalize("NFC", one.name) for one in (other.parent, folder)]
    return next((name for name in named if name in by_stem), None)


def _shared_folders(one: Path, other: Path) -> int:
    return len(set(one.parent.parts) & set(other.parent.parts))
