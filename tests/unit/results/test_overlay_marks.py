import numpy as np
import pytest
from PIL import Image

from anymask.prompts.prompt import DrawnPrompts
from anymask.results.overlay import draw_overlay
from anymask.results.overlay_marks import BACKGROUND, FOREGROUND, INK, WHITE, draw_prompts, draw_tag

WIDTH, HEIGHT = 160, 120


def grey() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))


def changed(picture: Image.Image) -> np.ndarray:
    """Where a picture is no longer grey: rows and columns as (2, N)."""
    return np.stack(np.nonzero((np.asarray(picture) != 128).any(axis=-1)))


def drawn(**prompts) -> Image.Image:
    picture = grey()
    draw_prompts(picture, DrawnPrompts(**prompts))
    return picture


def test_points_are_discs_around_their_place():
    for label, colour in ((1, FOREGROUND), (0, BACKGROUND)):
        picture = drawn(points_xy=np.array([[100.0, 40.0]]), labels=np.array([label]))
        rows, columns = changed(picture)
        assert abs(rows.mean() - 39.5) <= 0.6
        assert abs(columns.mean() - 99.5) <= 0.6
        assert np.hypot(rows - 39.5, columns - 99.5).max() < 10
        pixels = {tuple(pixel) for pixel in np.asarray(picture)[rows, columns].tolist()}
        assert min(sum(abs(a - b) for a, b in zip(pixel, colour, strict=True)) for pixel in pixels) < 30
        assert max(min(pixel) for pixel in pixels) > 200  # the white of ring and sign


def test_signs_tell_the_labels_apart_without_colours():
    plus, minus = (np.asarray(drawn(points_xy=np.array([[80, 60]]), labels=[label]).convert("L")) for label in (1, 0))
    above = slice(56, 59), slice(79, 81)
    assert plus[above].mean() > minus[above].mean() + 30


def test_other_labels_are_not_drawn():
    picture = drawn(points_xy=np.array([[20, 30], [40, 50]]), labels=np.array([-1, -10]))
    assert changed(picture).size == 0


def test_boxes_are_lines_in_any_order_of_corners():
    picture = drawn(boxes_xyxy=np.array([[30, 20, 110, 90.4]]))
    pixels = np.asarray(picture)
    for row, column in ((20, 70), (90, 70), (55, 30), (55, 110)):
        assert tuple(pixels[row, column]) == WHITE
    assert tuple(pixels[19, 70]) == INK
    assert tuple(pixels[55, 70]) == (128, 128, 128)
    np.testing.assert_array_equal(np.asarray(drawn(boxes_xyxy=np.array([[110, 90.4, 30, 20]]))), pixels)


def test_what_reaches_over_the_frame_is_cut_off():
    prompts = dict(points_xy=np.array([[0, 0], [159, 119], [500, -90]]), labels=np.array([1, 0, 1]))
    assert changed(drawn(**prompts, boxes_xyxy=np.array([[-50, -50, 300, 60]]))).size > 0


def test_no_prompts():
    assert changed(drawn()).size == 0


def test_a_tag_stays_inside():
    colour = np.array([200.0, 40, 90])
    for centre in ((80, 60), (0, 0), (159, 119)):
        picture = grey()
        draw_tag(picture, "cup", centre, colour)
        rows, columns = changed(picture)
        assert 8 < np.ptp(rows) < 40
        assert 12 < np.ptp(columns) < 60
        # Its frame is whole: the lines at its four sides are ink, but for the rounded corners.
        for line in (rows.min(), rows.max()):
            assert (np.asarray(picture)[line, columns.min() + 4 : columns.max() - 3] == INK).all()


def test_labels_lie_on_what_is_seen_of_their_mask():
    large, small = np.zeros((2, HEIGHT, WIDTH), bool)
    large[10:110, 5:155] = True
    small[20:100, 5:110] = True
    photo = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    plain = np.asarray(draw_overlay(photo, [large, small])).astype(int)
    tagged = np.asarray(draw_overlay(photo, [large, small], labels=["A", ""])).astype(int)
    rows, columns = np.nonzero(np.abs(tagged - plain).sum(axis=-1))
    assert columns.min() >= 110  # right of the smaller mask, which lies on top
    assert rows.max() < 110


def test_a_covered_mask_has_no_label_and_labels_are_counted():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[30:80, 40:90] = True
    photo = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    one = draw_overlay(photo, [mask, mask], labels=["", "B"])
    two = draw_overlay(photo, [mask, mask], labels=["A", "B"])
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    with pytest.raises(ValueError, match="`labels` must hold one text per mask, got 1 for 2 masks"):
        draw_overlay(photo, [mask, mask], labels=["A"])


def test_text_of_any_script_is_written():
    for text in ("Straße", "кружка", "杯子", "a\nb"):
        picture = grey()
        draw_tag(picture, text, (80, 60), np.array([200.0, 40, 90]))
        assert changed(picture).size > 0
