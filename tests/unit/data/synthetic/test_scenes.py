import numpy as np
import pytest

from anymask.data.synthetic.canvas import MAX_MASKS, MIN_AREA_SHARE
from anymask.data.synthetic.scenes import draw_scene

SIZE_HW = (96, 128)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed, SIZE_HW) for seed in range(12)]


def test_the_same_seed_draws_the_same_scene_and_another_seed_another():
    first, again, other = draw_scene(3, SIZE_HW), draw_scene(3, SIZE_HW), draw_scene(4, SIZE_HW)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.masks, again.masks)
    assert np.array_equal(first.parent, again.parent)
    assert not np.array_equal(first.image, other.image)


def test_shapes_and_types(scenes):
    for scene in scenes:
        assert scene.image.shape == (*SIZE_HW, 3) and scene.image.dtype == np.uint8
        assert scene.masks.shape == (len(scene.parent), *SIZE_HW) and scene.masks.dtype == bool
        assert scene.parent.dtype == np.int64
        assert 1 <= len(scene.masks) <= MAX_MASKS


def test_no_mask_is_empty_or_tiny(scenes):
    for scene in scenes:
        assert scene.masks.sum(axis=(1, 2)).min() >= MIN_AREA_SHARE * SIZE_HW[0] * SIZE_HW[1]


def test_siblings_never_overlap(scenes):
    for scene in scenes:
        for parent in np.unique(scene.parent):
            assert scene.masks[scene.parent == parent].sum(axis=0).max() <= 1


def test_a_part_lies_inside_its_parent(scenes):
    assert any((scene.parent >= 0).any() for scene in scenes)
    for scene in scenes:
        for part, parent in zip(scene.masks, scene.parent, strict=True):
            if parent >= 0:
                assert not (part & ~scene.masks[parent]).any()


def test_own_photos_replace_the_bundled_ones():
    photo = np.arange(70 * 90 * 3, dtype=np.uint64).reshape(70, 90, 3).astype(np.uint8)
    assert draw_scene(5, SIZE_HW, photos=[photo]).image.shape == (*SIZE_HW, 3)
    assert draw_scene(5, SIZE_HW, photos=()).image.shape == (*SIZE_HW, 3)


def test_a_size_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"size_hw must be at least 32 pixels each way, got \(16, 64\)"):
        draw_scene(0, (16, 64))
