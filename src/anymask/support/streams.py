"""Standard output whose reader goes, or that cannot be written."""

from __future__ import annotations

import contextlib
import os
from typing import Any


class ReaderMayGo:
    """A stream of text that goes on into nothing when its reader has gone, as in `anymask ... | head -1`.

    So does one that was closed before Python began, as by `anymask ... >&-`, for which Python has None.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = open(os.devnull, "w") if stream is None else stream  # noqa: SIM115 - for the whole process

    def write(self, text: str) -> int:
        """Write text, and drop it where nobody reads any more."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            write_to_nothing(self._stream)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, and drop it likewise."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            write_to_nothing(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def write_to_nothing(stream: Any) -> None:
    """Let what a stream could not write, which Python would try again at its end, and all that comes go into nothing.

    Args:
        stream: A stream of a file descriptor; one that has none, as in tests, is left alone.
    """
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
