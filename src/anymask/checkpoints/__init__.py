"""Checkpoint files of every kind: recognised, read, checked, and written back in Meta's layout.

Read in this order: `loading.py`, what `from_pretrained` does; `formats`, from a file to tensors under the hub's names,
and what model they make; `reading.py`, these put together; `folders.py`, `hub.py` and `adapters.py`, where more than
one file is read; `saving.py`, the way back.
"""

from .adapters import processor_source
from .hub import explained_errors
from .loading import (
    check_nothing_is_offloaded,
    default_processor_options,
    is_checkpoint_file,
    load_pretrained,
    processor_options,
)
from .reading import Checkpoint, read_checkpoint
from .reports import CheckpointError
from .saving import META_SUFFIXES, save_meta_checkpoint

__all__ = [
    "META_SUFFIXES",
    "Checkpoint",
    "CheckpointError",
    "check_nothing_is_offloaded",
    "default_processor_options",
    "explained_errors",
    "is_checkpoint_file",
    "load_pretrained",
    "processor_options",
    "processor_source",
    "read_checkpoint",
    "save_meta_checkpoint",
]
