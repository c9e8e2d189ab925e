"""Checkpoint files of every kind: recognised, read, checked, and written back in Meta's layout.

`SamModel.from_pretrained("sam_vit_b_01ec64.pth")` comes here. A file is read (`files.py`), taken out of its wrappers
(`wrappers.py`) and renamed (`key_map.py`); its tensors' shapes say what the model is (`architecture.py`), and what does
not fit is reported by group (`reports.py`), with the name of the relative that it belongs to (`relatives.py`).
`loading.py` puts these in order, `saving.py` is the way back.
"""

from .hub import explained_errors
from .loading import (
    Checkpoint,
    default_processor_options,
    is_checkpoint_file,
    load_pretrained,
    processor_options,
    read_checkpoint,
)
from .reports import CheckpointError
from .saving import META_SUFFIXES, save_meta_checkpoint

__all__ = [
    "META_SUFFIXES",
    "Checkpoint",
    "CheckpointError",
    "default_processor_options",
    "explained_errors",
    "is_checkpoint_file",
    "load_pretrained",
    "processor_options",
    "read_checkpoint",
    "save_meta_checkpoint",
]
