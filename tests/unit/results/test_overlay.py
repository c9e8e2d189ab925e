import numpy as np
import pytest
import torch
from PIL import Image

from anymask.masks.rle import mask_to_rle, rle_to_coco
from anymask.results.overlay import CLEARLY_DIFFERENT, LUMA, _colours, draw_overlay, palette

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


def test_touching_masks_differ_clearly_and_colours_are_stable():
    # A grid of boxes that share their sides: each touches up to eight others.
    boxes = [(10 * x, 10 * y, 10 * x + 10, 10 * y + 10) for y in range(7) for x in range(9)]
    colours = _colours(boxes)
    np.testing.assert_array_equal(colours, _colours(boxes))
    np.testing.assert_array_equal(colours[:20], _colours(boxes[:20]))  # earlier masks do not depend on later ones
    palette_lab, palette_rgb = palette()
    lab = [palette_lab[np.abs(palette_rgb - colour).sum(axis=1).argmin()] for colour in colours]
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes[:i]):
            if a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]:
                assert np.linalg.norm(lab[i] - lab[j]) >= CLEARLY_DIFFERENT


def test_palette_is_distinct_and_bright():
    _, rgb = palette()
    assert len(np.unique(rgb.round(), axis=0)) == len(rgb) == 24
    assert (rgb.max(axis=1) > 120).all()
    assert (rgb @ LUMA > 80).all()
