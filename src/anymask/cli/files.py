"""Files of the command line: photos found, results written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

PHOTO_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
OVERLAY_ENDING = "_overlay.png"
MASKS_ENDING = "_masks.json"


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Photos that the paths stand for: files as they are, folders by the photos that lie in them, by name.

    A folder's overlays of an earlier run are left out, and so is whatever is given twice. A file that does not exist
    is kept: opening it reports it, and the others are still done.

    Raises:
        ValueError: If a folder holds no photos.
    """
    photos: dict[Path, None] = {}  # a set that keeps its order
    for path in paths:
        if not path.is_dir():
            photos[path] = None
            continue
        found = [
            entry
            for entry in sorted(path.iterdir())
            if entry.suffix.lower() in PHOTO_SUFFIXES and not entry.name.endswith(OVERLAY_ENDING) and entry.is_file()
        ]
        if not found:
            raise ValueError(f"{path} must hold photos, but no file there ends in {', '.join(sorted(PHOTO_SUFFIXES))}")
        photos.update(dict.fromkeys(found))
    return list(photos)


def output_paths(photo: Path, folder: Path) -> tuple[Path, Path]:
    """Where the overlay and the masks of a photo are written."""
    return folder / (photo.stem + OVERLAY_ENDING), folder / (photo.stem + MASKS_ENDING)


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file that appears complete or not at all, and leaves nothing else behind.

    `write` fills a temporary file in the same folder, which then takes the place of `path` in one step, so that a
    reader, a full disk or a killed run never meets half a file.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp keeps others out; a result is an ordinary file
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    """The mask of permissions for new files, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
