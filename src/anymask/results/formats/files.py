"""Files of annotations: written whole or not at all, and errors that say what is wrong with one that is read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...support.atomic_files import write_whole

FilePath = str | os.PathLike[str]


def write_json(path: FilePath, document: Any) -> None:
    """Writes a document as JSON; NumPy's and torch's numbers and arrays become plain ones."""
    text = json.dumps(document, default=_plain)
    write_whole(path, lambda file: file.write(text.encode()))


def read_text(path: FilePath, format_name: str) -> str:
    """The text in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} must be a file of {format_name}, but there is no such file.") from None


def read_json(path: FilePath, format_name: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, is cut off, or is no object.
    """
    try:
        document = json.loads(read_text(path, format_name))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a whole file of {format_name}, but: {error}.") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} must be {format_name}, an object in braces, got a {type(document).__name__}.")
    return document


@contextmanager
def reading(path: FilePath, format_name: str, place: str) -> Iterator[None]:
    """Turns whatever a foreign document causes into a ValueError that says where in which file."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path} must be {format_name}, but {place} has no {error}.") from error
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} must be {format_name}, but {place} is not understood: {error}") from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"A record to be written as JSON must hold plain values or arrays, got {type(value).__name__}.")
