import numpy as np
import pytest
import torch
from PIL import Image

from anymask.masks.rle import mask_to_rle, rle_to_coco
from anymask.results.colours import LUMA
from anymask.results.overlay import draw_overlay, paste_side_by_side

HEIGHT, WIDTH = 40, 70


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def drawn(photo, masks) -> np.ndarray:
    return np.asarray(draw_overlay(photo, masks))


def test_every_form_of_mask_gives_the_same_picture(photo):
    masks = [rectangle(3, 2, 30, 35), rectangle(25, 10, 60, 20), rectangle(5, 5, 9, 9)]
    expected = drawn(photo, masks)
    assert expected.shape == (HEIGHT, WIDTH, 3)
    assert expected.dtype == np.uint8
    forms = {
        "stack": np.stack(masks),
        "tensor": torch.from_numpy(np.stack(masks)),
        "rle": [mask_to_rle(mask) for mask in masks],
        "coco": [rle_to_coco(mask_to_rle(mask)) for mask in masks],
        "records": [{"segmentation": mask, "area": 1} for mask in masks],
        "rle records": [{"segmentation": rle_to_coco(mask_to_rle(mask))} for mask in masks],
    }
    for name, form in forms.items():
        np.testing.assert_array_equal(drawn(photo, form), expected, err_msg=name)


def test_unmasked_pixels_keep_their_values_and_masked_ones_change(photo):
    mask = rectangle(10, 5, 40, 30)
    picture = drawn(photo, [mask])
    np.testing.assert_array_equal(picture[~mask], photo[~mask])
    assert (picture[mask] != photo[mask]).any(axis=-1).mean() > 0.99


def test_fill_does_not_darken(photo):
    mask = rectangle(10, 5, 60, 35)
    inside = rectangle(11, 6, 59, 34)  # without the outline
    bright = np.maximum(photo, 120)
    for background in (photo, bright, np.zeros_like(photo)):
        before, after = background[inside] @ LUMA, drawn(background, [mask])[inside] @ LUMA
        # Lifting the light can only fall short where a channel is already full.
        assert (after - before).mean() > -1
        assert np.quantile(after - before, 0.05) > -20


def test_smaller_masks_lie_on_top_whatever_the_order(photo):
    large, small = rectangle(2, 2, 60, 38), rectangle(20, 10, 30, 20)
    grey = np.full_like(photo, 128)
    for masks in ([large, small], [small, large]):
        picture = drawn(grey, masks)
        assert tuple(picture[15, 25]) != tuple(picture[30, 50])


def test_where_masks_meet_there_is_one_line_of_one_pixel():
    grey = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
    row = drawn(grey, [rectangle(0, 0, 40, HEIGHT), rectangle(40, 0, WIDTH, HEIGHT)])[20]
    fills = {tuple(row[10]), tuple(row[60])}
    assert len(fills) == 2
    assert [x for x in range(WIDTH) if tuple(row[x]) not in fills] == [40]


def test_frame_of_the_photo_is_no_outline():
    grey = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
    picture = drawn(grey, [np.ones((HEIGHT, WIDTH), dtype=bool)])
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


def test_no_masks_and_empty_masks_leave_the_photo(photo):
    np.testing.assert_array_equal(drawn(photo, []), photo)
    np.testing.assert_array_equal(drawn(photo, [np.zeros((HEIGHT, WIDTH), bool)]), photo)


def test_inputs_are_not_changed(photo):
    before, masks = photo.copy(), [rectangle(1, 1, 20, 20)]
    draw_overlay(photo, masks)
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(masks[0], rectangle(1, 1, 20, 20))


def test_pillow_photo(photo):
    mask = rectangle(1, 1, 20, 20)
    np.testing.assert_array_equal(drawn(Image.fromarray(photo), [mask]), drawn(photo, [mask]))


def test_mask_of_another_size_is_refused(photo):
    with pytest.raises(ValueError, match=r"height x width = 40 x 70, but mask 1 is 70 x 40; pass the photo"):
        draw_overlay(photo, [rectangle(0, 0, 5, 5), rectangle(0, 0, 5, 5).T])


def test_alpha():
    photo = np.random.default_rng(1).integers(60, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    mask, inside = rectangle(10, 5, 60, 35), rectangle(12, 7, 58, 33)
    outlines = np.asarray(draw_overlay(photo, [mask], alpha=0))
    np.testing.assert_array_equal(outlines[inside], photo[inside])
    assert (outlines[5, 20] != photo[5, 20]).any()
    opaque = np.asarray(draw_overlay(photo, [mask], alpha=1, colors=["#204060"]))
    assert (opaque[inside] == (0x20, 0x40, 0x60)).all()
    black = np.zeros_like(photo)
    half = np.asarray(draw_overlay(black, [mask], alpha=0.5, colors=["#204060"]))
    assert (half[inside] == (0x10, 0x20, 0x30)).all()
    for alpha in (-0.1, 1.5):
        with pytest.raises(ValueError, match="`alpha` must be between 0 and 1"):
            draw_overlay(photo, [mask], alpha=alpha)


def test_given_colours_are_taken_in_turn():
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    masks = [rectangle(0, 0, 20, 40), rectangle(25, 0, 45, 40), rectangle(50, 0, 70, 40)]
    picture = np.asarray(draw_overlay(black, masks, alpha=1, colors=["red", (0, 128, 255)]))
    assert [tuple(picture[20, x]) for x in (10, 35, 60)] == [(255, 0, 0), (0, 128, 255), (255, 0, 0)]
    automatic = np.asarray(draw_overlay(black, masks[:1], alpha=1))[20, 10]
    partly = np.asarray(draw_overlay(black, masks, alpha=1, colors=[None, "#010203", None]))
    assert tuple(partly[20, 10]) == tuple(automatic)
    assert tuple(partly[20, 35]) == (1, 2, 3)


def test_boxes_are_drawn_in_their_masks_colours():
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask = rectangle(10, 5, 40, 30)
    mask[15:20, 15:20] = False
    picture = np.asarray(draw_overlay(black, [mask, rectangle(0, 0, 0, 0)], boxes=True, colors=["lime", "red"]))
    for row, column in ((5, 25), (30, 25), (20, 10), (20, 40)):
        assert tuple(picture[row, column]) == (0, 255, 0)
    assert not picture[..., 0].any() or tuple(picture[4, 25]) != (255, 0, 0)


def test_photos_taller_than_a_band_of_rows_have_no_seams():
    height, width = 700, 90
    photo = np.full((height, width, 3), 128, np.uint8)
    mask = np.zeros((height, width), bool)
    mask[3:690, 7:80] = True
    picture = np.asarray(draw_overlay(photo, [mask]))
    rows = picture[20:670]
    np.testing.assert_array_equal(rows, np.broadcast_to(rows[:1], rows.shape))


def test_outlines_are_as_thick_in_every_direction():
    side = 3000
    rows, columns = np.mgrid[:side, :side]
    mask = (rows - 1500) ** 2 + (columns - 1500) ** 2 < 1200**2
    on_line = np.asarray(draw_overlay(np.zeros((side, side, 3), np.uint8), [mask], alpha=0)).any(axis=-1)
    straight = on_line[1500, 1500:].sum()
    diagonal = np.diagonal(on_line[1500:, 1500:]).sum() * np.sqrt(2)
    assert straight == 6
    assert abs(diagonal - straight) < 2


def test_more_masks_than_a_byte_counts():
    rows = np.zeros((300, 300, 4), bool)
    rows[np.arange(300), np.arange(300)] = True
    photo = np.zeros((300, 4, 3), np.uint8)
    picture = np.asarray(draw_overlay(photo, rows, alpha=1, colors=["red", "lime", "blue"]))
    assert (picture.max(axis=-1) > 200).all()


def test_pictures_side_by_side():
    row = np.asarray(
        paste_side_by_side([Image.new("RGB", (7, 5), colour) for colour in ("red", "blue", "black")], gap=2)
    )
    assert row.shape == (5, 25, 3)
    assert (row[:, :7] == (255, 0, 0)).all() and (row[:, 9:16] == (0, 0, 255)).all() and (row[:, 18:] == 0).all()
    assert (row[:, 7:9] == 255).all() and (row[:, 16:18] == 255).all()
