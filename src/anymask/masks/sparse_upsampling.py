"""Exact answers about full-size masks from low-resolution logits, without making full-size logits.

Upsampling is a weighted mean: every pixel of the full-size mask is a mix, with weights that add up to 1, of the K x K
low-resolution logits around it. Pixels with the same K x K logits form a block. If all logits of a block lie above a
threshold, so do all its pixels; if none does, no pixel does. Only blocks in between, along the outline of a mask, need
their pixels computed. Areas, boxes, stability and runs follow exactly from the two kinds of blocks, so cost and memory
follow the outline of the mask, not the image.

`resize.resize_logits` is the plain formula; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from ..geometry.coordinates import ResizeGeometry
from .resize import axis_taps
from .sparse_axis import SparseAxis, widen_extent

# Bytes of float32 pixels computed at a time: on a CPU what stays in a core's cache, elsewhere what keeps the device
# busy.
CHUNK_BYTES_CPU, CHUNK_BYTES_ACCELERATOR = 2**21, 2**26
# Bytes of flags, one per column of pixels and row of blocks, of the masks that are turned into runs together.
RUNS_BYTES = 2**28


@dataclass(frozen=True)
class SparseUpsampler:
    """How the pixels of an image fall into blocks, for masks whose low-resolution logits are all of one size.

    Source: the idea of computing only where coarse values leave it open is that of PointRend (2019); here it is exact.
    """

    rows: SparseAxis
    columns: SparseAxis
    chunk_bytes: int = CHUNK_BYTES_CPU
    runs_bytes: int = RUNS_BYTES

    @classmethod
    def from_geometry(
        cls,
        geometry: ResizeGeometry,
        low_res_size_hw: Sequence[int],
        device: torch.device | str = "cpu",
        *,
        block_size: int | None = None,
        chunk_bytes: int | None = None,
        runs_bytes: int = RUNS_BYTES,
    ) -> SparseUpsampler:
        """Find the blocks of an image; the sizes change time and memory and nothing else.

        Args:
            geometry: How the image became the model's input.
            low_res_size_hw: Height and width of the logits.
            device: Where they are.
            block_size: Pixels of a block along an axis at most; by default what is fastest.
            chunk_bytes: Of pixels that are computed at a time; by default what suits the device.
            runs_bytes: Of flags of the masks that are turned into runs together.
        """
        device = torch.device(device)
        if chunk_bytes is None:
            chunk_bytes = CHUNK_BYTES_CPU if device.type == "cpu" else CHUNK_BYTES_ACCELERATOR
        rows, columns = (
            SparseAxis.from_taps(axis_taps(int(low), padded, resized, original), device, block_size)
            for low, padded, resized, original in zip(
                low_res_size_hw,
                geometry.padded_size_hw,
                geometry.resized_size_hw,
                geometry.original_size_hw,
                strict=True,
            )
        )
        return cls(rows, columns, chunk_bytes, runs_bytes)

    def crop(self, low_res_logits: torch.Tensor, box_xyxy: Sequence[int]) -> tuple[SparseUpsampler, torch.Tensor]:
        """The blocks of a box, its last pixels included, and a view of the logits (..., h, w) that they need."""
        x0, y0, x1, y1 = box_xyxy
        rows, row_inputs = self.rows.between(y0, y1)
        columns, column_inputs = self.columns.between(x0, x1)
        return replace(self, rows=rows, columns=columns), low_res_logits[..., row_inputs, column_inputs]

    def stability_scores(
        self, low_res_logits: torch.Tensor, mask_threshold: float = 0.0, stability_score_offset: float = 1.0
    ) -> torch.Tensor:
        """`measures.stability_scores` of the full-size logits.

        Args:
            low_res_logits: (N, h, w), any floating type.
            mask_threshold: where logits become foreground.
            stability_score_offset: by how much the threshold moves each way.

        Returns:
            (N,) float32 in [0, 1]; 0 where even the lower threshold leaves no pixel.
        """
        higher, lower = mask_threshold + stability_score_offset, mask_threshold - stability_score_offset
        logits = low_res_logits.float()
        inside, undecided = self._decide(logits, lower, higher)
        intersections = self._pixel_counts(inside)
        unions = intersections.clone()
        for mask, _, _, values in self._values_of(logits, undecided):
            intersections.index_add_(0, mask, _marked(values, higher).sum(dim=(0, 1)).long())
            unions.index_add_(0, mask, _marked(values, lower).sum(dim=(0, 1)).long())
        return intersections.float() / unions.clamp(min=1).float()

    def boxes(self, low_res_logits: torch.Tensor, mask_threshold: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """`measures.masks_to_boxes_xyxy` of the full-size masks (N, 4) int64, and which have a pixel at all (N,) bool.

        Args:
            low_res_logits: (N, h, w), any floating type.
            mask_threshold: logits above this are foreground.
        """
        logits = low_res_logits.float()
        inside, undecided = self._decide(logits, mask_threshold, mask_threshold)
        left, right = self.columns.extent(_any(inside, 1))
        top, bottom = self.rows.extent(_any(inside, 2))
        offsets_y, offsets_x = self.rows.tensor("offsets"), self.columns.tensor("offsets")
        # Only blocks that reach beyond the blocks that are foreground as a whole can widen the box.
        beyond_y = (offsets_y[:-1] < top[:, None]) | (offsets_y[1:] - 1 > bottom[:, None])
        beyond_x = (offsets_x[:-1] < left[:, None]) | (offsets_x[1:] - 1 > right[:, None])
        undecided &= beyond_y[:, :, None] | beyond_x[:, None, :]
        for mask, row, column, values in self._values_of(logits, undecided):
            foreground = _marked(values, mask_threshold)
            widen_extent(top, bottom, mask, foreground.amax(dim=1) > 0, offset=offsets_y[row])
            widen_extent(left, right, mask, foreground.amax(dim=0) > 0, offset=offsets_x[column])
        exists = bottom >= 0
        return torch.stack([left, top, right, bottom], dim=1) * exists[:, None], exists

    def runs(
        self,
        low_res_logits: torch.Tensor,
        mask_threshold: float,
        full_height: int,
        origin_xy: Sequence[int] = (0, 0),
    ) -> tuple[np.ndarray, np.ndarray]:
        """`runs_of_each` for one mask (h, w)."""
        return self.runs_of_each(low_res_logits[None], mask_threshold, full_height, origin_xy)[0]

    def runs_of_each(
        self,
        low_res_logits: torch.Tensor,
        mask_threshold: float,
        full_height: int,
        origin_xy: Sequence[int] = (0, 0),
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Foreground runs of full-size masks, as `rle.runs_to_rle` takes them.

        Args:
            low_res_logits: (N, h, w), any floating type.
            mask_threshold: logits above this are foreground.
            full_height: height of the image whose columns the runs follow.
            origin_xy: where in that image pixel (0, 0) of these blocks lies.

        Returns:
            For each mask first positions and positions past the last, (R,) int64, in column-major pixels of the image,
            sorted.
        """
        at_a_time = max(self.runs_bytes // (len(self.rows) * len(self.columns) * self.columns.max_size), 1)
        x0, y0 = (int(coordinate) for coordinate in origin_xy)
        first = x0 * full_height + y0
        # Positions of one mask lie below those of the next.
        stride = int(self.columns.offsets[-1]) * full_height + 1
        runs = []
        for logits in low_res_logits.split(at_a_time):
            positions = self._changes_down_columns(logits.float(), mask_threshold, full_height, stride)
            edges = _sorted_on_host(positions)
            bounds = np.searchsorted(edges, np.arange(len(logits) + 1) * stride)
            for mask, (begin, end) in enumerate(pairwise(bounds)):
                of_mask = edges[begin:end] + (first - mask * stride)
                runs.append((of_mask[0::2], of_mask[1::2]))
        return runs

    def _changes_down_columns(
        self, logits: torch.Tensor, threshold: float, full_height: int, stride: int
    ) -> torch.Tensor:
        """Positions of pixels that differ from the pixel above, and of the ends of what touches the lower border.

        Args:
            logits: (N, h, w) float32.
            threshold: logits above this are foreground.
            full_height: how far columns are from each other.
            stride: how far masks are from each other.
        """
        device, n_rows = logits.device, len(self.rows)
        inside, undecided = self._decide(logits, threshold, threshold)
        # For undecided blocks their line, a row of a mask (M,), column (M,), and pixels (Sy, Sx, M) of bool.
        computed = [
            (mask * n_rows + row, column, values > threshold)
            for mask, row, column, values in self._values_of(logits, undecided)
        ]
        sizes_x, offsets_y = self.columns.tensor("sizes"), self.rows.tensor("offsets")
        mask_at = torch.arange(len(logits), device=device)[:, None] * stride
        line_at, line_sizes = (mask_at + offsets_y[:-1]).flatten(), self.rows.tensor("sizes").repeat(len(logits))
        column_at = self.columns.tensor("offsets") * full_height
        steps_y = torch.arange(self.rows.max_size, device=device)
        steps_x = torch.arange(self.columns.max_size, device=device)
        # The lowest pixels of every block (N * R, C, Sx): they are what the block below begins with.
        lowest = (inside[..., None] & (steps_x < sizes_x[:, None])).flatten(0, 1)
        for line, column, pixels in computed:
            block = torch.arange(len(line), device=device)
            lowest[line, column] = pixels[line_sizes[line] - 1, :, block]
        above = torch.cat([torch.zeros_like(lowest[:1]), lowest[:-1]])
        above[::n_rows] = False  # above a mask is nothing

        changed = (above != lowest) & ~undecided.flatten(0, 1)[..., None]  # a decided block can only change at its top
        line, column, step_x = changed.nonzero(as_tuple=True)
        found = [line_at[line] + column_at[column] + step_x * full_height]
        for line, column, pixels in computed:
            previous = torch.cat([above[line, column].T[None], pixels[:-1]])
            exists = steps_y[:, None] < line_sizes[line]
            step_y, step_x, block = ((pixels != previous) & exists[:, None]).nonzero(as_tuple=True)
            found.append((line_at[line] + column_at[column])[block] + step_x * full_height + step_y)
        mask, column, step_x = lowest.unflatten(0, (-1, n_rows))[:, -1].nonzero(as_tuple=True)
        found.append(mask * stride + offsets_y[-1] + column_at[column] + step_x * full_height)
        return torch.cat(found)

    def _decide(self, logits: torch.Tensor, lower: float, higher: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Blocks (N, R, C) with all pixels above `higher`, and those that may have pixels between the thresholds."""
        inside = self._over_inputs(logits > higher, torch.logical_and)
        possible = self._over_inputs(logits > lower, torch.logical_or)
        return inside, possible & ~inside

    def _over_inputs(self, flags: torch.Tensor, combine: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Combine flags (N, h, w) over the K x K inputs of every block: (N, R, C)."""
        for dim, axis in ((1, self.rows), (2, self.columns)):
            n_windows = flags.shape[dim] - axis.n_taps + 1
            combined = flags.narrow(dim, 0, n_windows)
            for tap in range(1, axis.n_taps):
                combined = combine(combined, flags.narrow(dim, tap, n_windows))
            flags = combined
            if not np.array_equal(axis.starts, np.arange(n_windows)):
                flags = flags.index_select(dim, axis.tensor("starts"))
        return flags

    def _pixel_counts(self, blocks: torch.Tensor) -> torch.Tensor:
        """Pixels (N,) int64 of the marked blocks (N, R, C)."""
        # Sums along a row are exact in float32, since no image is 2^24 pixels wide; whole images need more.
        per_row = blocks.float() @ self.columns.tensor("sizes").float()
        return (per_row.long() * self.rows.tensor("sizes")).sum(dim=1)

    def _values_of(
        self, logits: torch.Tensor, blocks: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Full-size logits of the pixels of marked blocks, some blocks at a time.

        Args:
            logits: (N, h, w) float32.
            blocks: (N, R, C) bool.

        Yields:
            Mask, row and column (M,) of each block, and its pixels (Sy, Sx, M); NaN where a block has no such pixel.
            Blocks come last because they are many and pixels few: all arithmetic then runs along the long axis.
        """
        _, height, width = logits.shape
        flat = logits.reshape(-1)
        starts_y, starts_x = self.rows.tensor("starts"), self.columns.tensor("starts")
        chunk = max(self.chunk_bytes // (4 * self.rows.max_size * self.columns.max_size), 1)
        for indices in blocks.nonzero().split(chunk):
            mask, row, column = indices.T.contiguous()
            corner = (mask * height + starts_y[row]) * width + starts_x[column]
            weights_y, weights_x = self.rows.weights_of(row), self.columns.weights_of(column)
            lines = []
            for tap_y in range(self.rows.n_taps):
                line = flat.index_select(0, corner + tap_y * width) * weights_x[0]
                for tap_x in range(1, self.columns.n_taps):
                    line.addcmul_(flat.index_select(0, corner + (tap_y * width + tap_x)), weights_x[tap_x])
                lines.append(line)
            values = weights_y[0][:, None] * lines[0]
            for weight_y, line in zip(weights_y[1:], lines[1:], strict=True):
                values.addcmul_(weight_y[:, None], line)
            yield mask, row, column, values


def _sorted_on_host(positions: torch.Tensor) -> np.ndarray:
    """Positions (P,) in ascending order; on a CPU NumPy sorts them several times faster than torch."""
    if positions.device.type == "cpu":
        return np.sort(positions.numpy())
    return positions.sort().values.cpu().numpy()


def _marked(values: torch.Tensor, threshold: float) -> torch.Tensor:
    """1.0 where values are above a threshold, 0.0 elsewhere."""
    # Torch compares, adds and looks for maxima several times faster in floats than in booleans.
    return torch.gt(values, threshold, out=torch.empty_like(values))


def _any(flags: torch.Tensor, dim: int) -> torch.Tensor:
    """`flags.any(dim)`, which torch finds several times faster in bytes than in booleans."""
    return flags.view(torch.uint8).amax(dim).bool()
