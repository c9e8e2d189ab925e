from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from anymask.prompts.prompt import DrawnPrompts
from anymask.results.overlay import draw_overlay
from anymask.results.overlay_marks import BACKGROUND, FOREGROUND, INK, WHITE, draw_prompts

WIDTH, HEIGHT = 160, 120


def grey() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))


def changed(picture: Image.Image) -> np.ndarray:
    """Where a picture is no longer grey: rows and columns as (2, N)."""
    return np.stack(np.nonzero((np.asarray(picture) != 128).any(axis=-1)))


NO_COLOURS = np.zeros((0, 3))
CYAN = (0, 200, 220)


def drawn(colours=NO_COLOURS, **prompts) -> Image.Image:
    picture = grey()
    draw_prompts(picture, DrawnPrompts(**prompts), np.asarray(colours))
    return picture


def test_points_are_discs_around_their_place():
    for label, colour in ((1, FOREGROUND), (0, BACKGROUND)):
        picture = drawn(points_xy=np.array([[100.0, 40.0]]), labels=np.array([label]))
        rows, columns = changed(picture)
        assert abs(rows.mean() - 39.5) <= 0.6
        assert abs(columns.mean() - 99.5) <= 0.6
        assert np.hypot(rows - 39.5, columns - 99.5).max() < 10
        pixels = {tuple(pixel) for pixel in np.asarray(picture)[rows, columns].tolist()}
        assert min(sum(abs(a - b) for a, b in zip(pixel, colour, strict=True)) for pixel in pixels) < 60
        assert max(min(pixel) for pixel in pixels) > 200  # the white of ring and sign


def test_signs_tell_the_labels_apart_without_colours():
    plus, minus = (np.asarray(drawn(points_xy=np.array([[80, 60]]), labels=[label]).convert("L")) for label in (1, 0))
    above, beside = (slice(57, 59), slice(79, 81)), (slice(59, 61), slice(77, 79))
    assert abs(plus[above].mean() - plus[beside].mean()) < 60
    assert abs(minus[above].mean() - minus[beside].mean()) > 100


def test_other_labels_are_not_drawn():
    picture = drawn(points_xy=np.array([[20, 30], [40, 50]]), labels=np.array([-1, -10]))
    assert changed(picture).size == 0


def test_boxes_are_dashed_lines_in_any_order_of_corners():
    picture = drawn(boxes_xyxy=np.array([[30, 20, 110, 90.4]]))
    pixels = np.asarray(picture)
    for row, column in ((20, 30), (20, 110), (90, 30), (90, 110)):
        assert tuple(pixels[row, column]) == WHITE
    for side in (pixels[20, 30:111], pixels[90, 30:111], pixels[20:91, 30], pixels[20:91, 110]):
        whites = (side == WHITE).all(axis=-1)
        assert {tuple(pixel) for pixel in side.tolist()} == {WHITE, INK}
        assert 0.5 < whites.mean() < 0.8
    assert tuple(pixels[19, 70]) == INK
    assert tuple(pixels[55, 70]) == (128, 128, 128)
    np.testing.assert_array_equal(np.asarray(drawn(boxes_xyxy=np.array([[110, 90.4, 30, 20]]))), pixels)


def test_what_reaches_over_the_frame_is_cut_off():
    prompts = dict(points_xy=np.array([[0, 0], [159, 119], [500, -90]]), labels=np.array([1, 0, 1]))
    assert changed(drawn(**prompts, boxes_xyxy=np.array([[-50, -50, 300, 60]]))).size > 0


def test_no_prompts():
    assert changed(drawn()).size == 0


def test_prompts_have_the_colours_of_their_masks():
    owners = dict(point_prompts=np.array([1, 0]), box_prompts=np.array([1]))
    picture = drawn(
        [(1, 2, 3), CYAN],
        points_xy=np.array([[40.0, 60], [120, 60]]),
        labels=np.array([1, 1]),
        boxes_xyxy=np.array([[60, 20, 100, 90]]),
        **owners,
    )
    pixels = np.asarray(picture)
    assert tuple(pixels[20, 60]) == CYAN
    assert np.abs(pixels[50:70, 30:50].astype(int) - CYAN).sum(axis=-1).min() < 60
    assert np.abs(pixels[50:70, 110:130].astype(int) - CYAN).sum(axis=-1).min() > 100


def tagged(masks, texts, **options):
    """Pixels (rows, columns) that a picture with tags has otherwise than one without."""
    photo = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    plain = np.asarray(draw_overlay(photo, masks, **options)).astype(int)
    with_tags = np.asarray(draw_overlay(photo, masks, labels=texts, **options)).astype(int)
    return np.stack(np.nonzero(np.abs(with_tags - plain).sum(axis=-1)))


def block(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_a_tag_is_outside_of_its_mask_and_inside_of_the_picture():
    for mask in (block(40, 40, 100, 90), block(0, 0, 60, 60), block(100, 0, 160, 120), block(0, 60, 160, 120)):
        rows, columns = tagged([mask], ["cup"])
        assert 8 < np.ptp(rows) < 40
        assert 12 < np.ptp(columns) < 60
        assert not mask[rows, columns].any()


def test_a_tag_on_a_mask_of_the_whole_picture_stays_inside():
    assert tagged([block(0, 0, WIDTH, HEIGHT)], ["cup"]).size > 0


def test_a_tag_is_off_prompts_other_masks_and_other_tags():
    mask, above = block(40, 50, 100, 90), block(45, 20, 95, 45)
    rows, columns = tagged([mask, above], ["cup", ""])
    assert not above[rows, columns].any()
    prompts = DrawnPrompts(points_xy=np.array([[70.0, 40]]), labels=np.array([1]), point_prompts=np.array([0]))
    rows, columns = tagged([mask], ["cup"], prompts=prompts)
    assert not ((abs(rows - 40) < 6) & (abs(columns - 70) < 6)).any()
    # Two masks at the same place: each tag is legible.
    one, two = tagged([mask, mask[:, ::-1] & mask], ["A", ""]), tagged([mask, mask[:, ::-1] & mask], ["A", "B"])
    assert two.shape[1] > 1.5 * one.shape[1]


def test_tags_grow_with_the_picture():
    heights = []
    for scale in (1, 10):
        mask = np.zeros((400 * scale, 600 * scale), bool)
        mask[200 * scale : 300 * scale, 200 * scale : 300 * scale] = True
        photo = np.full((*mask.shape, 3), 128, np.uint8)
        plain, with_tag = (np.asarray(draw_overlay(photo, [mask], labels=labels)) for labels in (None, ["cup"]))
        heights.append(np.ptp(np.nonzero((plain != with_tag).any(axis=(1, 2)))[0]))
    assert 6 < heights[1] / heights[0] < 10


def test_many_tags_are_smaller_and_leave_the_picture_to_be_seen():
    photo = np.full((900, 1200, 3), 128, np.uint8)
    masks = np.zeros((200, 900, 1200), bool)
    for index, mask in enumerate(masks):
        y, x = 45 * (index // 10), 120 * (index % 10)
        mask[y + 20 : y + 40, x + 40 : x + 70] = True
    few, many = (
        (
            np.asarray(draw_overlay(photo, masks[:count], labels=["mushroom"] * count)).astype(int)
            - np.asarray(draw_overlay(photo, masks[:count]))
        ).any(axis=-1)
        for count in (2, 200)
    )
    assert many.mean() < 0.25
    assert many.sum() / 200 < 0.75 * few.sum() / 2
    assert many.sum() / 200 > 0.2 * few.sum() / 2


def test_a_covered_mask_has_no_label_and_labels_are_counted():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[30:80, 40:90] = True
    photo = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    one = draw_overlay(photo, [mask, mask], labels=["", "B"])
    two = draw_overlay(photo, [mask, mask], labels=["A", "B"])
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    with pytest.raises(ValueError, match="`labels` must hold one text per mask, got 1 for 2 masks"):
        draw_overlay(photo, [mask, mask], labels=["A"])


def test_text_of_several_scripts_and_lines_is_written():
    for text in ("Straße", "кружка", "φλιτζάνι", "a\nb"):
        assert tagged([block(40, 40, 100, 90)], [text]).size > 0


def test_a_font_of_the_callers():
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"
    photo, mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8), block(40, 40, 100, 90)
    mine, packaged = (draw_overlay(photo, [mask], labels=["cup"], font=font) for font in (path, None))
    assert (np.asarray(mine) != np.asarray(packaged)).any()
