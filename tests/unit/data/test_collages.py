"""Pasted objects: their masks are what is visible of them, and others lose what they hide."""

import numpy as np
from PIL import Image
from tests.made_up_photographs import disc

from anymask.data.collages import camera_effects, cut_out, mosaic, paste_objects

RED = Image.fromarray(np.tile(np.array([250, 0, 0, 255], np.uint8), (20, 34, 1)))


def test_a_cut_out_is_trimmed_to_its_mask():
    mask = disc((50, 70), (20, 40), 10)
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    thing = cut_out(image, mask)
    assert thing.size == (21, 21)
    np.testing.assert_array_equal(np.asarray(thing)[..., :3], image[10:31, 30:51])
    np.testing.assert_array_equal(np.asarray(thing)[10, :, 3] > 200, np.arange(21) % 20 > 0)


def test_pasted_masks_say_what_is_visible():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        image, masks = np.full((90, 120, 3), 60, np.uint8), np.ones((1, 90, 120), bool)
        pasted, visible = paste_objects(image, masks, [RED, RED], (0.3, 0.6), rng)
        assert pasted.shape == image.shape and pasted.dtype == np.uint8
        # The picture's own mask comes first; with the objects it divides the picture.
        assert (visible.sum(axis=0) <= 1).all()
        redness = pasted[..., 0].astype(int) - pasted[..., 1]
        for mask in visible[1:]:
            assert redness[mask].mean() > 30
        assert redness[visible[0]].mean() < 15


def test_a_hidden_mask_is_dropped():
    small = disc((90, 120), (45, 60), 4)[None]
    counts = {
        len(paste_objects(np.zeros((90, 120, 3), np.uint8), small, [RED], (2.0, 3.0), np.random.default_rng(seed))[1])
        for seed in range(20)
    }
    assert 1 in counts  # the object alone: it covers most of the picture


def test_a_mosaic_moves_masks_with_their_pictures():
    # White discs on black: in the mosaic, white and the masks must agree.
    pictures = []
    for size_hw in ((60, 80), (70, 50), (64, 65), (90, 40)):
        mask = disc(size_hw, (size_hw[0] // 2, size_hw[1] // 2), 15)
        pictures.append((np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255, mask[None]))
    image, masks = mosaic(pictures, (100, 140), np.random.default_rng(1))
    assert image.shape == (100, 140, 3) and len(masks) == 4 and masks.sum(axis=0).max() == 1
    np.testing.assert_array_equal(masks.any(axis=0), image[..., 0] > 127)


def test_camera_effects_keep_size_and_look():
    image = np.full((40, 56, 3), 128, np.uint8)
    for seed in range(8):
        changed = camera_effects(image, np.random.default_rng(seed))
        assert changed.shape == image.shape and changed.dtype == np.uint8
        assert abs(changed.mean() - 128) < 40
