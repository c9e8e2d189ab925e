"""The blocks of `sparse_upsampling.py` along one axis: pixels of an image that mix the same low-resolution inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

# Work that a block costs whatever its size, along one axis, counted in pixels.
_PIXELS_PER_BLOCK = 3


@dataclass(frozen=True)
class SparseAxis:
    """The blocks along one axis. C blocks, at most S pixels each, K low-resolution inputs each.

    A block of unusual size is cut in several, which have the same inputs.

    Attributes:
        starts: (C,) first low-resolution input of each block.
        offsets: (C + 1,) first pixel of each block, and the position past the last pixel.
        weights: (C, K, S) float32 on the device; NaN for pixels that a block does not have, so that no comparison with
            a threshold counts them.
    """

    starts: np.ndarray
    offsets: np.ndarray
    weights: torch.Tensor

    @classmethod
    def from_taps(
        cls, taps: tuple[np.ndarray, np.ndarray], device: torch.device, block_size: int | None = None
    ) -> SparseAxis:
        """Group the pixels of an axis by their inputs.

        Args:
            taps: Inputs and weights of each pixel, as `resize.axis_taps` gives them.
            device: Where the weights go.
            block_size: At how many pixels larger groups are cut; by default where it takes the least time.
        """
        starts, weights = taps
        firsts = np.flatnonzero(np.diff(starts, prepend=-1))
        step = np.arange(len(starts)) - np.repeat(firsts, np.diff(firsts, append=len(starts)))
        block_size = block_size or _best_size(np.diff(firsts, append=len(starts)))
        firsts = np.flatnonzero(step % block_size == 0)
        offsets = np.append(firsts, len(starts))
        sizes = np.diff(offsets)
        block = np.repeat(np.arange(len(firsts)), sizes)
        padded = np.full((len(firsts), weights.shape[1], int(sizes.max())), np.nan, dtype=np.float32)
        padded[block, :, np.arange(len(starts)) - firsts[block]] = weights
        return cls(starts[firsts], offsets, torch.from_numpy(padded).to(device))

    @property
    def n_taps(self) -> int:
        """K, low-resolution inputs of a block."""
        return self.weights.shape[1]

    @property
    def max_size(self) -> int:
        """S, pixels of the largest block."""
        return self.weights.shape[2]

    def __len__(self) -> int:
        return len(self.starts)

    def tensor(self, name: str) -> torch.Tensor:
        """`starts`, `offsets` or `sizes` as an int64 tensor on the device."""
        values = np.diff(self.offsets) if name == "sizes" else getattr(self, name)
        return torch.from_numpy(values).to(self.weights.device)

    def extent(self, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """First and last pixel (N,) of the marked blocks (N, C); the axis' far ends, swapped, if none is marked."""
        offsets = self.tensor("offsets")
        first = torch.where(blocks, offsets[:-1], offsets[-1]).amin(dim=1)
        last = torch.where(blocks, offsets[1:] - 1, -1).amax(dim=1)
        return first, last

    def weights_of(self, blocks: torch.Tensor) -> torch.Tensor:
        """Weights (K, S, M) of some blocks (M,)."""
        # Copying whole blocks and transposing the copy is faster than collecting single numbers.
        chosen = self.weights.index_select(0, blocks).view(len(blocks), self.n_taps * self.max_size)
        return chosen.T.contiguous().view(self.n_taps, self.max_size, len(blocks))

    def between(self, first_pixel: int, last_pixel: int) -> tuple[SparseAxis, slice]:
        """The blocks that hold these pixels, their inputs counted from the first; and these inputs, as a slice."""
        begin = int(np.searchsorted(self.offsets, first_pixel, side="right")) - 1
        end = int(np.searchsorted(self.offsets, last_pixel, side="right"))
        inputs = slice(int(self.starts[begin]), int(self.starts[end - 1]) + self.n_taps)
        blocks = SparseAxis(
            self.starts[begin:end] - inputs.start, self.offsets[begin : end + 1], self.weights[begin:end]
        )
        return blocks, inputs


def widen_extent(
    first: torch.Tensor, last: torch.Tensor, mask: torch.Tensor, present: torch.Tensor, offset: torch.Tensor
) -> None:
    """Take pixels (S, M) that are present in blocks of `mask` (M,) at `offset` (M,) into `first` and `last` (N,)."""
    n_steps = present.shape[0]
    steps = torch.arange(n_steps, device=present.device)[:, None]
    first_step = torch.where(present, steps, n_steps).amin(dim=0)
    last_step = torch.where(present, steps, -1).amax(dim=0)
    any_present = last_step >= 0
    far = torch.iinfo(torch.int64).max
    first.scatter_reduce_(0, mask, torch.where(any_present, offset + first_step, far), "amin")
    last.scatter_reduce_(0, mask, torch.where(any_present, offset + last_step, -1), "amax")


def _best_size(sizes: np.ndarray) -> int:
    """At how many pixels to cut blocks of these sizes (C,).

    Those at the ends are two or three times the size of the others, and would make every block's arrays as large.
    """
    candidates = np.arange(1, sizes.max() + 1)
    pieces = -(-sizes[:, None] // candidates)
    return int(candidates[np.argmin(pieces.sum(axis=0) * (candidates + _PIXELS_PER_BLOCK))])
