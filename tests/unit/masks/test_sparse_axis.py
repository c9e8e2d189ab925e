"""Which pixels share their inputs, and how these cells are cut; see `test_mask_cells.py` for what they are good for."""

import numpy as np
import pytest
import torch

from anymask.masks.measures import axis_taps
from anymask.masks.sparse_axis import AxisCells


def cells_of(low, original):
    """Of an axis that is resized once, without padding."""
    return AxisCells.from_taps(axis_taps(low, low, low, original), torch.device("cpu"))


@pytest.mark.parametrize(("low", "original"), [(16, 61), (16, 16), (12, 5), (4, 200)])
def test_cells_hold_the_weights_of_their_pixels(low, original):
    starts, weights = axis_taps(low, low, low, original)
    cells = cells_of(low, original)
    assert cells.offsets[0] == 0 and cells.offsets[-1] == original
    for cell, (begin, end) in enumerate(zip(cells.offsets[:-1], cells.offsets[1:], strict=True)):
        assert (starts[begin:end] == cells.starts[cell]).all()
        np.testing.assert_array_equal(cells.weights[cell, :, : end - begin].T, weights[begin:end])
        assert cells.weights[cell, :, end - begin :].isnan().all()


def test_cells_at_the_ends_are_cut():
    """Of 600 pixels over 128 inputs most cells have 4 or 5, the first and the last 8 and 11."""
    cells = AxisCells.from_taps(axis_taps(128, 512, 512, 600), torch.device("cpu"))
    assert cells.max_size == 5
    assert len(cells) == 126 + 1 + 2


def test_between_are_the_cells_of_some_pixels():
    cells = cells_of(16, 61)
    part, inputs = cells.between(20, 30)
    first = int(np.searchsorted(cells.offsets, 20, side="right")) - 1
    assert part.offsets[0] <= 20 and part.offsets[-1] > 30
    np.testing.assert_array_equal(part.starts + inputs.start, cells.starts[first : first + len(part)])
    assert inputs.stop == cells.starts[first + len(part) - 1] + cells.n_taps
