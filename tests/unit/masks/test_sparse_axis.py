"""Which pixels share their inputs, and how these blocks are cut."""

import numpy as np
import pytest
import torch

from anymask.masks.resize import axis_taps
from anymask.masks.sparse_axis import SparseAxis


def blocks_of(low, original):
    """Of an axis that is resized once, without padding."""
    return SparseAxis.from_taps(axis_taps(low, low, low, original), torch.device("cpu"))


@pytest.mark.parametrize(("low", "original"), [(16, 61), (16, 16), (12, 5), (4, 200)])
def test_blocks_hold_the_weights_of_their_pixels(low, original):
    starts, weights = axis_taps(low, low, low, original)
    blocks = blocks_of(low, original)
    assert blocks.offsets[0] == 0 and blocks.offsets[-1] == original
    for block, (begin, end) in enumerate(zip(blocks.offsets[:-1], blocks.offsets[1:], strict=True)):
        assert (starts[begin:end] == blocks.starts[block]).all()
        np.testing.assert_array_equal(blocks.weights[block, :, : end - begin].T, weights[begin:end])
        assert blocks.weights[block, :, end - begin :].isnan().all()


def test_blocks_at_the_ends_are_cut():
    """Of 600 pixels over 128 inputs most blocks have 4 or 5, the first and the last 8 and 11."""
    blocks = SparseAxis.from_taps(axis_taps(128, 512, 512, 600), torch.device("cpu"))
    assert blocks.max_size == 5
    assert len(blocks) == 126 + 1 + 2


def test_between_are_the_blocks_of_some_pixels():
    blocks = blocks_of(16, 61)
    part, inputs = blocks.between(20, 30)
    first = int(np.searchsorted(blocks.offsets, 20, side="right")) - 1
    assert part.offsets[0] <= 20 and part.offsets[-1] > 30
    np.testing.assert_array_equal(part.starts + inputs.start, blocks.starts[first : first + len(part)])
    assert inputs.stop == blocks.starts[first + len(part) - 1] + blocks.n_taps
