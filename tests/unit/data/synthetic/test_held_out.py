"""Held-out scenes: the same ones at every call, none of a training run's."""

import numpy as np

from anymask.data.synthetic.held_out import MIN_MASK_PIXELS, read_held_out_scenes


def test_scenes_repeat():
    first, again = (list(read_held_out_scenes("synthetic:2", (48, 64)).samples()) for _ in range(2))
    assert [sample.name for sample in first] == ["scene-0", "scene-1"]
    for one, other in zip(first, again, strict=True):
        assert one.image.shape == (48, 64, 3)
        assert np.array_equal(one.image, other.image) and np.array_equal(one.masks, other.masks)
        assert (one.masks.sum(axis=(1, 2)) >= MIN_MASK_PIXELS).all()


def test_two_hundred_by_default():
    assert len(read_held_out_scenes()) == 200
