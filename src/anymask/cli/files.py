"""Files of the command line: photos found, results named, nothing overwritten that was given."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import typer

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


def find_photos(arguments: Iterable[str], owner_of: Callable[[str], str | None] = lambda name: None) -> list[Photo]:
    """Find the photos that paths, folders, globs and URLs stand for, each once.

    Results are named after photos: `cup.jpg` by `cup`, or by `cup.jpg` where there is a `cup.png` beside it. A file
    that does not exist is kept: opening it reports it, and the others are still done.

    Args:
        arguments: as in `anymask.predictor.sources.open_source`, but no videos.
        owner_of: tells of a picture that is named like a result which photo's it would be, by its stem; in folders and
            globs such pictures are passed over, and said to be.

    Raises:
        FileNotFoundError: If none of the arguments exists.
        ValueError: If a folder holds no photos, or an argument is a video.
    """
    names: dict[str, str] = {}  # of each photo's source
    places: set[str] = set()
    missing = 0
    for argument in arguments:
        path = os.path.expanduser(argument)
        found = _found(path, owner_of)
        named = found or {path: Path(argument).name or "photo"}
        new = {source: name for source, name in named.items() if _place(source) not in places}
        missing += found is None and bool(new)
        places.update(map(_place, new))
        names.update(new)
    if missing == len(names):
        raise FileNotFoundError(f"a photo must exist, but there is none at {', '.join(map(repr, names))}")
    paths = {source: _below(name) for source, name in names.items()}
    stems = Counter(path.with_suffix("") for path in paths.values())
    return [
        Photo(source, path.with_suffix("") if stems[path.with_suffix("")] == 1 else path)
        for source, path in paths.items()
    ]


def _place(source: str) -> str:
    """The same for `cup.jpg` and `./cup.jpg`."""
    return source if source.startswith(_URL_SCHEMES) else os.path.abspath(source)


def _below(name: str) -> PurePosixPath:
    """A name without what would lead out of the folder for results, as the `..` of a glob does."""
    parts = PurePosixPath(os.path.normpath(name)).parts
    return PurePosixPath(*(part for part in parts if part not in ("..", "/")))


def _found(argument: str, owner_of: Callable[[str], str | None]) -> dict[str, str] | None:
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
    photos = {source: name for source, name in found.items() if owner_of(name) is None}
    if not photos:
        raise ValueError(f"{argument} must hold photos, but holds nothing but results of an earlier run")
    results = [source for source in found if source not in photos]
    if results:
        others = f" and {len(results) - 1} more" if len(results) > 1 else ""
        typer.echo(
            f"anymask: passed over {results[0]}{others}, named like results of an earlier run; a photo of such a name "
            f"is taken where it is given itself",
            err=True,
        )
    return photos


def check_is_photo(source: str) -> None:
    """Refuse a video by its name, before it is downloaded, and say what takes it.

    Raises:
        ValueError: If it is a video.
    """
    from ..predictor.sources import VIDEO_SUFFIXES

    suffix = PurePosixPath(urlsplit(source).path if source.startswith(_URL_SCHEMES) else source).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        raise ValueError(f"{source} must be a photo, but it is a video: SAM.predict({source!r}, stream=True) reads it")


def prepare_folder(folder: Path, what: str = "--output") -> None:
    """Create a folder for results, and see that files can be written to it before work begins.

    Args:
        folder: To write to.
        what: The option that says so, for messages.

    Raises:
        OSError: If that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError as error:
        raise FileExistsError(f"{what} must be a folder, but {folder} is a file; name another") from error
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{what} must be a folder that can be written to, but {folder} is not: {reason}") from error


def prepare_file(path: Path, what: str) -> None:
    """`prepare_folder` for a file that is written when all is done.

    Raises:
        OSError: If it cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{what} must be a file, but {path} is a folder; name a file in it")
    prepare_folder(path.parent, f"the folder of {what}")


def check_outputs(outputs: Mapping[Photo, Iterable[Path]], coco_file: Path | None = None) -> None:
    """Check that results replace results of earlier runs, but never a photo of this run nor each other.

    Args:
        outputs: Of each photo.
        coco_file: Of all of them together.

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
    if coco_file is not None and os.path.realpath(coco_file) in owners:
        source = owners[os.path.realpath(coco_file)].source
        raise ValueError(f"--coco-file must be a file of its own, but {coco_file} belongs to {source}; name another")
