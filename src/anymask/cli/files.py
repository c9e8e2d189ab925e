"""Files of the command line: photos found, results named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

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
