"""Examples and the prompts that stand for their masks."""

import numpy as np
import pytest
from PIL import Image

from anymask.evaluation.nano.examples import folder_examples, held_out_scenes
from anymask.evaluation.tasks.clicks import innermost_pixel_xy


def test_click_is_the_middle_of_a_square():
    mask = np.zeros((12, 17), dtype=bool)
    mask[2:9, 4:11] = True
    assert innermost_pixel_xy(mask).tolist() == [7, 5]


def test_click_of_a_cut_off_object_stays_away_from_the_frame():
    mask = np.zeros((9, 20), dtype=bool)
    mask[:, :5] = True  # touches three sides
    column, row = innermost_pixel_xy(mask)
    assert column == 2 and 2 <= row <= 6


def test_click_is_inside_a_ring():
    rows, columns = np.mgrid[:31, :41]
    radius = np.hypot(rows - 15, columns - 20)
    ring = (radius > 6) & (radius < 12)
    column, row = innermost_pixel_xy(ring).astype(int)
    assert ring[row, column]


def test_held_out_scenes_repeat():
    first, again = (list(held_out_scenes(2, (48, 64))) for _ in range(2))
    assert [example.name for example in first] == ["scene-0", "scene-1"]
    for one, other in zip(first, again, strict=True):
        assert one.image.shape == (48, 64, 3) and one.masks.shape[1:] == (48, 64)
        assert np.array_equal(one.image, other.image) and np.array_equal(one.masks, other.masks)


def test_folder_of_photographs(tmp_path):
    masks = np.zeros((3, 20, 30), dtype=bool)
    masks[0, :10] = masks[1, 5:, 5:] = True
    masks[2, 0, 0] = True  # too small to be asked for
    Image.new("RGB", (30, 20), (1, 2, 3)).save(tmp_path / "a.png")
    np.savez_compressed(tmp_path / "a_masks.npz", masks)
    Image.new("RGB", (9, 9)).save(tmp_path / "without.jpg")
    (example,) = folder_examples(tmp_path)
    assert example.name == "a.png" and example.image[0, 0].tolist() == [1, 2, 3]
    assert np.array_equal(example.masks, masks[:2])


def test_folder_without_pairs_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="must hold images with masks of the same stem"):
        list(folder_examples(tmp_path))


def test_masks_of_another_size_are_an_error(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    np.savez_compressed(tmp_path / "a_masks.npz", np.ones((1, 20, 31), dtype=bool))
    with pytest.raises(ValueError, match=r"size of their image \(20, 30\), got \(20, 31\)"):
        list(folder_examples(tmp_path))
