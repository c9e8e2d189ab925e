import numpy as np
import pytest
from PIL import Image

from anymask.data.synthetic.canvas import Canvas, Window, coverage, soften, window_around


def canvas_of(owners, parents):
    canvas = Canvas((len(owners), len(owners[0])))
    canvas.owners = Image.fromarray(np.array(owners, dtype=np.int32))
    canvas.parents = parents
    return canvas


def test_visible_masks_of_a_hand_written_map():
    # Object 1 with part 2, which has part 3; object 4; object 5 is painted over.
    owners = np.array([[1, 1, 1, 0, 0, 4], [1, 2, 3, 0, 0, 4], [1, 2, 2, 0, 0, 4], [1, 1, 1, 0, 0, 4]])
    masks, parent = canvas_of(owners, [0, 0, 1, 2, 0, 0]).visible_masks()
    assert parent.tolist() == [-1, 0, 1, -1]
    assert np.array_equal(masks[0], np.isin(owners, (1, 2, 3)))
    assert np.array_equal(masks[1], np.isin(owners, (2, 3)))
    assert np.array_equal(masks[2], owners == 3)
    assert np.array_equal(masks[3], owners == 4)


def test_a_part_that_is_nearly_its_parent_is_dropped_and_its_own_parts_move_up():
    owners = np.array([[1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2], [2, 2, 2, 2, 2, 2, 3, 3, 3, 2, 2]])
    masks, parent = canvas_of(owners, [0, 0, 1, 2]).visible_masks()
    assert parent.tolist() == [-1, 0]
    assert np.array_equal(masks[1], owners == 3)


def test_only_the_largest_masks_are_kept():
    owners = np.repeat(np.arange(1, 41), np.arange(1, 41))[None, :]
    masks, _ = canvas_of(owners, [0] * 41).visible_masks()
    assert masks.sum(axis=(1, 2)).tolist() == list(range(11, 41))


def test_a_canvas_without_objects_has_no_masks():
    masks, parent = Canvas((5, 7)).visible_masks()
    assert masks.shape == (0, 5, 7) and parent.shape == (0,)


def test_painting_covers_pixels_and_gives_half_covered_ones_to_the_owner():
    canvas = Canvas((4, 6))
    alpha = Image.fromarray(np.array([[255, 128, 127, 0]], dtype=np.uint8))
    canvas.paint(Image.new("RGB", (4, 1), (200, 100, 50)), Window(2, 3, 1, 5), alpha, canvas.new_owner())
    assert np.asarray(canvas.owners)[2].tolist() == [0, 1, 1, 0, 0, 0]
    assert np.asarray(canvas.image)[2, 1].tolist() == [200, 100, 50]
    assert np.asarray(canvas.image)[2, 4].tolist() == [0, 0, 0]
    assert np.asarray(canvas.owners).sum() == 2


def test_coverage_of_a_disc_has_its_centre_and_area():
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = np.stack([9.3 + 6.2 * np.cos(turns), 7.6 + 5.1 * np.sin(turns)], axis=1)
    alpha = np.asarray(coverage(outline, (), Window(0, 16, 0, 18)), dtype=float) / 255
    rows, columns = np.mgrid[0:16, 0:18] + 0.5
    assert (alpha * columns).sum() / alpha.sum() == pytest.approx(9.3, abs=0.1)
    assert (alpha * rows).sum() / alpha.sum() == pytest.approx(7.6, abs=0.1)
    assert np.pi * 6.1 * 5.0 <= alpha.sum() <= np.pi * 6.5 * 5.4  # a quarter pixel wider, see `coverage`
    assert np.array_equal(np.asarray(coverage(outline, (), Window(1, 13, 4, 18))) / 255, alpha[1:13, 4:18])


def test_a_hole_is_not_covered():
    outline = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]])
    alpha = np.asarray(coverage(outline, (outline / 3 + 3,), Window(0, 9, 0, 9)))
    assert alpha[4, 4] == 0 and alpha[1, 1] == 255


def test_window_around_stays_inside_the_canvas_and_is_none_outside():
    window = window_around(np.array([[-5.0, 2.5], [3.0, 30.0]]), (20, 10))
    assert (window.top, window.bottom, window.left, window.right) == (1, 20, 0, 5)
    assert window_around(np.array([[40.0, 2.0], [50.0, 6.0]]), (20, 10)) is None


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_soften_blurs_about_as_a_gaussian_of_that_sigma(sigma):
    step = np.zeros((40, 120), dtype=np.uint8)
    step[:, 60:] = 255
    blurred = np.asarray(soften(Image.fromarray(step), sigma), dtype=float)[20]
    slope = np.diff(blurred) / 255  # the blur's kernel
    position = np.arange(len(slope))
    centre = (slope * position).sum()
    assert np.sqrt((slope * (position - centre) ** 2).sum()) == pytest.approx(sigma, rel=0.2)
