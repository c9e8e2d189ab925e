"""What commands do before their work: imports without delay, a device that exists, a model that loads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..pretrained import PACKAGED_CHECKPOINTS

if TYPE_CHECKING:
    from ..sam import SAM


@contextmanager
def quick_imports() -> Iterator[None]:
    """Keeps Python's garbage collector away from what is imported, which never becomes garbage.

    torch and Transformers make a million objects. Searching them again and again takes a tenth of the time in which
    they are imported, and the last search, when the process ends, nearly a second.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def load_sam(model: str, device: str, dtype: str) -> SAM:
    """A model and its processor, ready to segment.

    Args:
        model: packaged name, folder, file of weights or hub id.
        device: a torch device, or "auto" for a GPU where there is one.
        dtype: name of a torch dtype.

    Raises:
        ValueError: If the device cannot be used here, or the model is not to be had.
    """
    with quick_imports():
        import torch
        from transformers.utils import logging

        from ..sam import SAM

        if device != "auto":
            try:
                torch.empty(0, device=device)
            except (RuntimeError, AssertionError) as error:
                raise ValueError(f"--device must be one that torch can use here, got {device!r}: {error}") from error
        logging.disable_progress_bar()  # of loading weights: a blink, and noise where output is kept
        try:
            return SAM(model, device=device, dtype=dtype)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"--model must be {' or '.join(PACKAGED_CHECKPOINTS)}, a folder, a file of weights or a hub id that "
                f"can be reached, got {model!r}: {error}"
            ) from error
