"""Fonts that have the letters of a label.

The packaged font has the Latin, Greek and Cyrillic alphabets, so pictures look alike on every machine. For other
scripts the system's fonts are searched.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont
PACKAGED = Path(__file__).parent / "font" / "DejaVuSansCondensed-Bold.ttf"
_NO_LETTER = "\U0010ffff"  # never a letter: every font draws the sign for what it does not have
_TEST_SIZE = 16


def load_font(text: str, size: int, font: str | os.PathLike[str] | Font | None = None) -> Font:
    """Load a font for a text.

    Args:
        text: what will be written; a warning says which of its letters no font has.
        size: in pixels.
        font: a TrueType or OpenType file, or a font of Pillow's; by default the packaged one, or else the first of the
            system's that has all letters.

    Raises:
        OSError: If there is no such file, or it is no font.
    """
    if isinstance(font, Font):
        return font.font_variant(size=size)
    if font is not None:
        return _open(os.fspath(font), size)
    path = str(PACKAGED)
    if missing := missing_letters(path, text):
        found = _system_font(frozenset(text))
        if found is None:
            warnings.warn(
                f"No font here has the letters {missing!r} of the label {text!r}; pass `font=`, a file that has them.",
                stacklevel=2,
            )
        path = found or path
    return _open(path, size)


def missing_letters(path: str, text: str) -> str:
    """Return the letters of a text that a font file does not have."""
    font = _open(path, _TEST_SIZE)
    blank = bytes(font.getmask(_NO_LETTER))
    letters = [letter for letter in dict.fromkeys(text) if letter.isprintable() and not letter.isspace()]
    return "".join(letter for letter in letters if bytes(font.getmask(letter)) == blank)


def find_font(letters: frozenset[str], folders: Sequence[Path]) -> str | None:
    """Return the first font file in folders, regular ones first, that has all letters, or None."""
    for path in sorted(_font_files(folders), key=lambda path: (not _is_regular(path.name), path.name)):
        try:
            if not missing_letters(str(path), "".join(letters)):
                return str(path)
        except (OSError, ValueError):  # damaged, or of a kind that has no outlines
            continue
    return None


@lru_cache(maxsize=64)
def _system_font(letters: frozenset[str]) -> str | None:
    return find_font(letters, _system_folders())


def _system_folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft/Windows/Fonts"
        return [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts", local]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]


def _font_files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            # Apple's LastResort draws a sign for every script, and letters of none.
            if path.suffix.lower() in (".ttf", ".otf", ".ttc") and "lastresort" not in path.name.lower():
                yield path


def _is_regular(name: str) -> bool:
    return not any(style in name.lower() for style in ("bold", "italic", "oblique", "light", "mono", "serif", "thin"))


def _open(path: str, size: int) -> Font:
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise OSError(f"`font` must be a TrueType or OpenType file, but {path} is none: {error}.") from error
