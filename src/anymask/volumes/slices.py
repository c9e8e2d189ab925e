"""What is found in slices, kept in a folder until a volume is done, so that a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..masks.rle import as_rle, rle_to_coco
from ..support.atomic_files import keep_settings, write_json
from .volume import Volume, Windowing


class SliceStore:
    """Masks by name, a file each in one folder, whole or not at all.

    Args:
        folder: Made if it is not there; None keeps nothing.
        volume: Whose slices they are of.
        windowing: What the slices looked like.
        settings: What else the masks follow from, such as the model's name.

    Raises:
        ValueError: If the folder is of another volume or of other settings.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        volume: Volume,
        windowing: Windowing,
        settings: Mapping[str, Any] | None,
    ):
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            # Of the voxels one slice: all would take a reading more.
            voxels = hashlib.sha256(volume.read(len(volume) // 2).tobytes()).hexdigest()[:16]
            own = {"shape": volume.shape, "axis": volume.axis, "voxels": voxels}
            keep_settings(self.folder, {**(settings or {}), **own, "shown": [windowing.black, windowing.white]})

    def masks(self, name: str, find: Callable[[], list[Any]]) -> list[Any]:
        """The masks under a name, each an RLE; found now unless they are there."""
        if self.folder is None:
            return find()
        path = self.folder / f"{name}.json"
        if not path.exists():
            write_json(path, [rle_to_coco(as_rle(mask)) for mask in find()], indent=None)
        masks: list[Any] = json.loads(path.read_bytes())
        return masks
