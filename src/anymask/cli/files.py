"""Files of the command line: photos found, results named, nothing overwritten that was given."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from .start import quick_imports

_URL_SCHEMES = ("http://", "https://")


@dataclass(frozen=True)
class Photo:
    """A photo that is not read yet.

    Attributes:
        source: path or URL, as given or found.
        stem: what its results are called, without an ending; below a glob's fixed part the folders as well.
    """

    source: str
    stem: PurePosixPath


def find_photos(arguments: Iterable[str], is_result: Callable[[str], bool] = lambda name: False) -> list[Photo]:
    """Photos that paths, folders, globs and URLs stand for, each once.

    Results are named after photos: `cup.jpg` by `cup`, or by `cup.jpg` where there is a `cup.png` beside it. A file
    that does not exist is kept: opening it reports it, and the others are still done.

    Args:
        arguments: as in `anymask.predictor.sources.open_source`, but no videos.
        is_result: tells by its name what an earlier run left in a folder.

    Raises:
        FileNotFoundError: If none of the arguments exists.
        ValueError: If a folder holds no photos, or an argument is a video.
    """
    names: dict[str, str] = {}  # of each photo's source
    missing = 0
    for argument in arguments:
        found = _found(argument, is_result)
        missing += found is None
        names.update(found or {argument: Path(argument).name or "photo"})
    if missing == len(names):
        raise FileNotFoundError(f"a photo must exist, but there is none at {', '.join(map(repr, names))}")
    stems = Counter(PurePosixPath(name).with_suffix("") for name in names.values())
    photos = []
    for source, name in names.items():
        stem = PurePosixPath(name).with_suffix("")
        photos.append(Photo(source, stem if stems[stem] == 1 else PurePosixPath(name)))
    return photos


def _found(argument: str, is_result: Callable[[str], bool]) -> dict[str, str] | None:
    """Names of the photos that an argument stands for, by source; None where nothing is there."""
    if argument.startswith(_URL_SCHEMES):
        return {argument: Path(urlsplit(argument).path).name or "photo"}
    is_glob = any(character in argument for character in "*?[") and not os.path.lexists(argument)
    if not os.path.isdir(argument) and not is_glob:
        return {argument: Path(argument).name} if os.path.lexists(argument) else None
    with quick_imports():
        from ..predictor.sources import open_source

    try:
        opened = open_source(argument)
    except FileNotFoundError:
        return None
    if opened.count is None:
        raise ValueError(f"{argument} must stand for photos, but there are videos; read these with SAM.predict")
    found = {str(image.origin): image.name or "photo" for image in opened.images}
    photos = {source: name for source, name in found.items() if not is_result(name)}
    if not photos:
        raise ValueError(f"{argument} must hold photos, but holds nothing but results of an earlier run")
    return photos


def prepare_folder(folder: Path) -> None:
    """Creates a folder for results, and sees that files can be written to it before work begins.

    Raises:
        OSError: If that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError as error:
        raise FileExistsError(f"--output must be a folder, but {folder} is a file; name another") from error
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"--output must be a folder that can be written to, but {folder} is not: {reason}") from error


def check_outputs(outputs: Mapping[Photo, Iterable[Path]]) -> None:
    """Results replace results of earlier runs, but never a photo of this run nor each other.

    Raises:
        ValueError: If they would.
    """
    owners = {os.path.realpath(photo.source): photo for photo in outputs}
    for photo, paths in outputs.items():
        for path in paths:
            owner = owners.setdefault(os.path.realpath(path), photo)
            if owner is not photo:
                raise ValueError(
                    f"each photo must have results of its own, but those of {photo.source} would overwrite {path}, "
                    f"which belongs to {owner.source}; take the two into different folders with --output"
                )
