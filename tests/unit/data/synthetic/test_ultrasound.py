"""Drawn ultrasound: what of it is known beforehand."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from anymask.data.synthetic.ultrasound import _speckle, draw_ultrasound, ultrasound_dataset


def test_a_seed_draws_one_image_of_any_size():
    first, again = draw_ultrasound(5, (90, 140)), draw_ultrasound(5, (90, 140))
    assert first.image.shape == (90, 140, 3) and first.image.dtype == np.uint8
    assert np.array_equal(first.image, again.image) and np.array_equal(first.masks, again.masks)
    assert not np.array_equal(first.image, draw_ultrasound(6, (90, 140)).image)


def test_speckle_is_fully_developed():
    """The amplitude of a sum of many random waves is Rayleigh's: its deviation is sqrt(4 / pi - 1) of its mean."""
    speckle = _speckle(np.random.default_rng(0), (400, 300))
    assert speckle.mean() == pytest.approx(1)
    assert speckle.std() == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.05)


def test_lesions_are_whole_apart_and_darker_than_around_them():
    contrasts = []
    for sample in ultrasound_dataset(12, first_seed=100):
        assert 1 <= len(sample.masks) <= 3
        assert sample.masks.sum(axis=0).max() == 1
        for mask in sample.masks:
            assert label(mask)[1] == 1
            around = binary_dilation(mask, iterations=12) & ~binary_dilation(sample.masks.any(axis=0), iterations=4)
            contrasts.append(sample.image[mask].mean() / sample.image[around].mean())
    assert np.mean(contrasts) < 0.85 and np.quantile(contrasts, 0.9) < 1
