"""Drawn scenes that no training run has seen, the same ones at every call, as a data set to evaluate on.

They are 256 x 256, whatever a model's frame: scores of models of different frames are then of the same pictures.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ..samples import Entry, MaskDataset, Sample, sample_of_masks
from .scenes import draw_scene

HELD_OUT_SCENES = 2
"""First word of the seeds of held-out scenes; those of training have another, so no scene is in both."""

MIN_MASK_PIXELS = 64
DEFAULT_COUNT = 200


def read_held_out_scenes(name: str | Path = "synthetic", size_hw: tuple[int, int] = (256, 256)) -> MaskDataset:
    """Held-out scenes.

    Args:
        name: "synthetic", or "synthetic:50" for 50 of them.
        size_hw: of the scenes.

    Raises:
        ValueError: If what follows the colon is no number of 1 or more.
    """
    _, _, count = str(name).partition(":")
    if count and not (count.isdecimal() and int(count) > 0):
        raise ValueError(f"held-out scenes must be asked for as 'synthetic' or 'synthetic:50', got {str(name)!r}.")
    entries = [Entry(f"scene-{index}", partial(_draw, index, size_hw)) for index in range(int(count or DEFAULT_COUNT))]
    return MaskDataset(entries, f"{len(entries)} held-out scenes")


def _draw(index: int, size_hw: tuple[int, int]) -> Sample:
    scene = draw_scene(np.random.SeedSequence((HELD_OUT_SCENES, index)), size_hw)
    return sample_of_masks(
        f"scene-{index}", scene.image, [mask for mask in scene.masks if mask.sum() >= MIN_MASK_PIXELS]
    )
