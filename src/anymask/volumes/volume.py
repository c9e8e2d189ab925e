"""A volume and its slices as SAM sees them: one axis is walked along, the other two are an image.

Voxels are `[i, j, k]` as in the file. The image of a slice has the first of the other two axes as its rows (y) and the
second as its columns (x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..images.windows import Window, shown_range

PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume that is read slice by slice.

    Attributes:
        voxels: (I, J, K), an array or what is sliced like one, such as nibabel's `dataobj`.
        axis: The axis that is walked along.
        spacing: Size of a voxel along each axis, in millimetres.
        affine: (4, 4) from voxels to the scanner's millimetres, or None.
        header: What the file said, to be written with labels; or None.

    Raises:
        ValueError: If there are not three axes, `axis` is none of them, or voxels are no real numbers.
    """

    voxels: Any
    axis: int = 0
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    affine: np.ndarray | None = None
    header: Any = None

    def __post_init__(self) -> None:
        if len(self.voxels.shape) != 3 or min(self.voxels.shape) < 1:
            raise ValueError(f"A volume must have shape (I, J, K), got {tuple(self.voxels.shape)}; pass one channel.")
        if self.axis not in (0, 1, 2):
            raise ValueError(f"`axis` must be 0, 1 or 2, got {self.axis!r}.")
        dtype = getattr(self.voxels, "dtype", None)
        if dtype is not None and dtype.kind not in "buif":
            raise ValueError(f"Voxels must be real numbers, got {dtype}; pass one channel, or the magnitude.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        i, j, k = (int(length) for length in self.voxels.shape)
        return i, j, k

    def __len__(self) -> int:
        return self.shape[self.axis]

    @property
    def slice_size_hw(self) -> tuple[int, int]:
        """Height and width of a slice."""
        height, width = (length for axis, length in enumerate(self.shape) if axis != self.axis)
        return height, width

    def index(self, position: int) -> tuple[Any, ...]:
        """The index of a slice in an array of the volume's shape."""
        return tuple(position if axis == self.axis else slice(None) for axis in range(3))

    def read(self, position: int) -> np.ndarray:
        """A slice (height, width) with its own values."""
        return np.asarray(self.voxels[self.index(position)])


class Windowing:
    """Values of a volume to an image of 8 bits: black at one value, white at another, others clipped.

    Args:
        volume: Whose slices are shown.
        window: Level and width, or the name of one of `images.windows.CT_WINDOWS`.
        value_range: The values of black and white, in its place. Without either, the percentiles `PERCENTILES` of what
            is not zero, as MedSAM takes for all but CT.

    Raises:
        ValueError: If there is no such window, or white is not above black.
    """

    def __init__(self, volume: Volume, window: Window | None = None, value_range: Sequence[float] | None = None):
        self.black, self.white = shown_range(window, value_range) or _percentiles(volume)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(height, width) uint8 of a slice; NaN, what some scanners' programs write outside of the body, is black."""
        shown = np.clip(np.nan_to_num(values.astype(np.float64), nan=self.black), self.black, self.white) - self.black
        return (shown * (255.0 / max(self.white - self.black, 1e-30))).round().astype(np.uint8)


def _percentiles(volume: Volume) -> tuple[float, float]:
    """The window of a volume without units, from every slice or, of many, from evenly spaced ones."""
    positions = np.unique(np.linspace(0, len(volume) - 1, 64).round().astype(int))
    values = np.concatenate([slice_[slice_ != 0].ravel() for slice_ in (volume.read(int(z)) for z in positions)])
    values = values[np.isfinite(values)].astype(np.float64)
    if len(values) == 0:
        return 0.0, 1.0
    black, white = (float(value) for value in np.percentile(values, PERCENTILES))
    if black == white:  # one value beside 0, as in a phantom
        black, white = min(black, 0.0), max(white, 0.0)
    return black, white
