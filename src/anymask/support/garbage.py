"""Python's garbage collector, kept away from imports."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_rests() -> Iterator[None]:
    """Collect no garbage meanwhile; afterwards the collector is on or off as before.

    torch and Transformers make hundreds of thousands of objects when they are imported, none of them garbage. Searching
    them again and again takes a good part of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
