"""Data to train and evaluate on. Read `samples`, one of the `readers`, `open`, `checks`, `augment`.

`synthetic` draws scenes; `photographs` come from tars, `collages` are made of them.
"""

from .checks import DataReport, check
from .open import open_dataset
from .readers.columns import read_columns
from .samples import BrokenSampleError, MaskDataset, Sample

__all__ = ["BrokenSampleError", "DataReport", "MaskDataset", "Sample", "check", "open_dataset", "read_columns"]
