import numpy as np
import pytest

from anymask.results.colours import (
    CLEARLY_DIFFERENT,
    LUMA,
    choose_colours,
    oklab_to_rgb,
    palette,
    parse_colour,
    rgb_to_oklab,
)

GREY = rgb_to_oklab(np.array([128, 128, 128]))


def chosen(boxes, photo_rgb=None):
    boxes = np.array(boxes).reshape(-1, 4)
    lab = np.broadcast_to(GREY, (len(boxes), 3)) if photo_rgb is None else rgb_to_oklab(np.array(photo_rgb))
    return choose_colours(boxes, lab)


def distances(colours):
    lab = rgb_to_oklab(colours)
    return np.linalg.norm(lab[:, None] - lab[None], axis=-1)


def test_oklab_of_known_colours():
    # White, and the red of sRGB, as the source's table has them.
    np.testing.assert_allclose(rgb_to_oklab(np.array([255, 255, 255])), [1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(rgb_to_oklab(np.array([255, 0, 0])), [0.628, 0.2249, 0.1258], atol=1e-3)
    rgb = np.random.default_rng(0).integers(0, 256, (50, 3))
    np.testing.assert_allclose(oklab_to_rgb(rgb_to_oklab(rgb)), rgb, atol=1e-3)


def test_touching_masks_differ_clearly_and_earlier_colours_are_stable():
    # A grid of boxes that share their sides: each touches up to eight others.
    boxes = [(10 * x, 10 * y, 10 * x + 10, 10 * y + 10) for y in range(7) for x in range(9)]
    colours = chosen(boxes)
    np.testing.assert_array_equal(colours, chosen(boxes))
    np.testing.assert_array_equal(colours[:20], chosen(boxes[:20]))  # earlier masks do not depend on later ones
    apart = distances(colours)
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes[:i]):
            if a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]:
                assert apart[i, j] >= CLEARLY_DIFFERENT


def test_a_wall_may_look_like_one_of_its_windows_but_not_like_its_balcony():
    """A large mask that is coloured last, when all colours are taken by the small ones on it."""
    windows = [(20 * x, 20 * y, 20 * x + 4 + x % 2, 20 * y + 5) for y in range(1, 5) for x in range(1, 9)]
    boxes = [(10, 10, 190, 30), *windows, (0, 0, 200, 120)]
    apart = distances(chosen(boxes))
    assert apart[-1, 0] >= CLEARLY_DIFFERENT
    on_balcony = [number for number, box in enumerate(boxes[1:-1], 1) if box[1] <= 30]
    assert apart[0, on_balcony].min() >= CLEARLY_DIFFERENT


def test_few_masks_are_far_from_each_other_wherever_they_are():
    for count in (2, 3, 5, 8):
        apart = distances(chosen([(100 * i, 0, 100 * i + 5, 5) for i in range(count)]))
        assert apart[~np.eye(count, dtype=bool)].min() >= CLEARLY_DIFFERENT


@pytest.mark.parametrize(
    "photo",
    [(150, 40, 40), (60, 15, 15), (230, 120, 60), (240, 140, 170), (60, 120, 50), (50, 90, 190), (250, 220, 60)],
)
def test_colours_are_far_from_the_photo_underneath(photo):
    colours = chosen([(0, 0, 5, 5), (100, 0, 105, 5)], [photo, photo])
    # In hue and chroma, a and b: the fill keeps the photo's lightness, so orange on dark red is no contrast.
    apart = np.linalg.norm((rgb_to_oklab(colours) - rgb_to_oklab(np.array(photo)))[:, 1:], axis=1)
    assert apart.min() > CLEARLY_DIFFERENT


def test_given_colours_count_for_the_others():
    boxes = np.array([(0, 0, 10, 10), (5, 5, 12, 12)])
    free = choose_colours(boxes, np.stack([GREY, GREY]))
    colours = choose_colours(boxes, np.stack([GREY, GREY]), [free[1], None])
    assert colours[0].tolist() == free[1].astype(int).tolist()
    assert distances(colours)[0, 1] >= CLEARLY_DIFFERENT


def test_colours_as_people_write_them():
    assert (
        parse_colour("#0a0b0c") == parse_colour([10, 11, 12]) == parse_colour(np.array([10.0, 11, 12])) == (10, 11, 12)
    )
    assert parse_colour("orange") == (255, 165, 0)
    for wrong in ("reddish", (1, 2), (1, 2, 300), (-1, 2, 3), 7, ("a", "b", "c")):
        with pytest.raises(ValueError, match="colour"):
            parse_colour(wrong)


def test_palette_is_distinct_and_bright():
    _, rgb = palette()
    assert len(np.unique(rgb.round(), axis=0)) == len(rgb) == 24
    assert (rgb.max(axis=1) > 120).all()
    assert (rgb @ LUMA > 75).all()


def test_none():
    assert chosen([]).shape == (0, 3)
