"""What commands do before their work: imports without delay, a model without noise."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..support.garbage import collector_rests

if TYPE_CHECKING:
    from ..sam import SAM


@contextmanager
def quick_imports() -> Iterator[None]:
    """Keep Python's garbage collector away from what is imported, which never becomes garbage.

    The last search, when the process ends, would take nearly a second.
    """
    with collector_rests():
        yield
        gc.freeze()


def load_sam(model: str, device: str, dtype: str) -> SAM:
    """A model and its processor, ready to segment; the arguments are those of `SAM`.

    Raises:
        OSError: If there is no such checkpoint.
        ValueError: If it is another model's, or the device cannot be used here.
    """
    with quick_imports():
        from ..sam import SAM

        keep_libraries_quiet()
        return SAM(model, device=device, dtype=dtype)


def keep_libraries_quiet() -> None:
    """Turn off the bar of loading weights and the log of attempts to reach the hub: an error says what is wrong."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
