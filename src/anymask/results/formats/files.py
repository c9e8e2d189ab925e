"""Files of annotations that are read, and errors that say what is wrong with one."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FilePath = str | os.PathLike[str]
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: FilePath, format_name: str) -> str:
    """Read the text in a file: UTF-8, with a byte-order mark or without, or UTF-16 with one.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is something else.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} must be a file of {format_name}, but there is no such file.") from None
    return content.decode("utf-16" if content[:2] in _UTF16_MARKS else "utf-8-sig").replace("\r\n", "\n")


def read_json(path: FilePath, format_name: str, kind: type = dict) -> Any:
    """Read the JSON object, or list, in a file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not JSON, is cut off, or is of another kind.
    """
    try:
        document = json.loads(read_text(path, format_name))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a whole file of {format_name}, but: {error}.") from error
    if not isinstance(document, kind):
        shape = "an object in braces" if kind is dict else "a list in brackets"
        raise ValueError(f"{path} must be {format_name}, {shape}, got a {type(document).__name__}.")
    return document


_FOREIGN = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, OSError)  # what documents cause


@contextmanager
def reading(path: FilePath, format_name: str, place: str) -> Iterator[None]:
    """Turn whatever a foreign document causes into an error that says where in which file.

    Raises:
        ValueError: If what is done with the document fails.
    """
    try:
        yield
    except _FOREIGN as error:
        raise ValueError(f"{path} must be {format_name}, but {_fault(place, error)}") from error


class Entries:
    """The entries of a file, read one by one: what is wrong with one is said, and costs nothing but that one.

    Examples:
        >>> from anymask.results.formats.files import Entries
        >>> entries, areas = Entries("a.json", "annotation"), []
        >>> for entry in entries.each([{"area": 4}, {}]):
        ...     with entries.passed_over_if_wrong():
        ...         areas.append(entry["area"])
        >>> areas  # entries.warn() says of the other what was wrong with it
        [4]
    """

    def __init__(self, path: FilePath, noun: str, plural: str | None = None) -> None:
        """Take the file and what its entries are called: "annotation", "line", "shape".

        Args:
            path: is named in warnings.
            noun: of one entry.
            plural: of several; the noun and an s by default.
        """
        self._path, self._noun, self._plural = path, noun, plural or f"{noun}s"
        self._number = 0
        self._wrong: list[str] = []
        self._notes: dict[str, int] = {}

    def each(self, entries: Iterable[Any]) -> Iterator[Any]:
        """Go through the entries, counted from 1."""
        for self._number, entry in enumerate(entries, start=1):
            yield entry

    @contextmanager
    def passed_over_if_wrong(self) -> Iterator[None]:
        """Keep what the entry causes, for `warn`."""
        try:
            yield
        except _FOREIGN as error:
            self._wrong.append(_fault(f"{self._noun} {self._number}", error))

    def note(self, text: str) -> None:
        """Keep something to be said about the entry, which is read all the same; the same text is said once."""
        self._notes[text] = self._notes.get(text, 0) + 1

    def warn(self) -> None:
        """Give one warning for all that was wrong, and one for each note."""
        if self._wrong:
            few = " ".join(self._wrong[:3]) + (" ..." if len(self._wrong) > 3 else "")
            self._say(f"{len(self._wrong)} of {self._number} {self._plural} were passed over: {few}")
        for text, count in self._notes.items():
            self._say(f"{count} of {self._number} {self._plural} {text}")

    def _say(self, text: str) -> None:
        warnings.warn(f"{self._path}: {text}", stacklevel=4)


def _fault(place: str, error: Exception) -> str:
    return f"{place} has no {error}." if isinstance(error, KeyError) else f"{place} is not understood: {error}"
