"""Files of annotations: written whole or not at all, and errors that say what is wrong with one that is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ..atomic_files import write_whole

FilePath = str | os.PathLike[str]


def write_file(path: FilePath, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file that appears complete or not at all.

    Raises:
        OSError: it cannot be written there; the message says so with the path that was asked for.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        write_whole(path, write)
    except OSError as error:
        reason = "there is no such folder" if not path.parent.is_dir() else error.strerror or error
        raise type(error)(f"{path} must be a file that can be written, but: {reason}. Nothing was written.") from error


def write_json(path: FilePath, document: Any) -> None:
    """Writes a document as JSON; NumPy's and torch's numbers and arrays become plain ones."""
    text = json.dumps(document, default=_plain)
    write_file(path, lambda file: _write_bytes(file, text.encode()))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"A record to be written as JSON must hold plain values or arrays, got {type(value).__name__}.")


def _write_bytes(file: BinaryIO, content: bytes) -> None:
    file.write(content)
