"""Masks and boxes of `Results` under the names that users of Ultralytics know: `.masks.xy`, `.boxes.conf` and so on.

The names are theirs, the values ours: pixels of the original image, and boxes that span the centres of the outermost
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..masks.polygons import rles_to_polygons
from ..masks.rle import mask_to_rle
from .formats.annotated_image import join_outlines


class Masks(np.ndarray):
    """(N, H, W) bool: a NumPy array, and the outlines of its masks."""

    @property
    def xy(self) -> list[np.ndarray]:
        """The outline (K, 2) float32 of each mask, in pixels, its parts joined, its holes filled; (0, 2) for none."""
        rles = [mask_to_rle(mask) for mask in np.asarray(self)]
        return [
            join_outlines(parts).astype(np.float32) if parts else np.zeros((0, 2), np.float32)
            for parts in rles_to_polygons(rles, holes=False)
        ]

    @property
    def xyn(self) -> list[np.ndarray]:
        """`xy` as fractions of the image's width and height."""
        height, width = self.shape[-2:]
        return [outline / np.array([width, height], np.float32) for outline in self.xy]

    @property
    def data(self) -> torch.Tensor:  # type: ignore[override]
        """The masks as a tensor that shares their memory."""
        return torch.from_numpy(self.view(np.ndarray))


@dataclass(frozen=True)
class Boxes:
    """Boxes of N masks, as tensors.

    Attributes:
        xyxy: (N, 4) float32: left, top, right, bottom, in pixels.
        conf: (N,) float32: how sure a detector was, or else the predicted IoU; NaN where neither is known.
        cls: (N,) float32: the numbers of the classes, whose names are `Results.names`.
        orig_shape: height and width of the image.
    """

    xyxy: torch.Tensor
    conf: torch.Tensor
    cls: torch.Tensor
    orig_shape: tuple[int, int]

    @property
    def id(self) -> None:
        """Numbers of tracks, which are not known."""
        return

    @property
    def xywh(self) -> torch.Tensor:
        """(N, 4): x and y of the centre, width, height."""
        return torch.cat([(self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2, self.xyxy[:, 2:] - self.xyxy[:, :2]], dim=1)

    @property
    def xyxyn(self) -> torch.Tensor:
        """`xyxy` as fractions of the image's width and height."""
        return self.xyxy / self._size_whwh()

    @property
    def xywhn(self) -> torch.Tensor:
        """`xywh` as fractions of the image's width and height."""
        return self.xywh / self._size_whwh()

    @property
    def data(self) -> torch.Tensor:
        """(N, 6): `xyxy`, `conf` and `cls` side by side."""
        return torch.cat([self.xyxy, self.conf[:, None], self.cls[:, None]], dim=1)

    def __len__(self) -> int:
        return len(self.xyxy)

    def _size_whwh(self) -> torch.Tensor:
        height, width = self.orig_shape
        return torch.tensor([width, height, width, height], dtype=self.xyxy.dtype, device=self.xyxy.device)
