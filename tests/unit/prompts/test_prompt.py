"""What a prompt may say, and what is drawn of it."""

import numpy as np
import pytest

from anymask.prompts.prompt import DrawnPrompts, Prompt, check_prompt, clip_prompt, drawn_prompts, join_prompts

MASK = np.arange(12).reshape(3, 4) > 5


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(points_xy=((8.1, 2),), labels=(1,)), r"Points of prompt 3 must lie .* x in \[0, 7\] .*got \(8\.1, 2\)"),
        (Prompt(points_xy=((1, 1), (2, -1.5)), labels=(1, 1)), r"got \(2, -1\.5\)"),
        (Prompt(points_xy=((float("nan"), 1),), labels=(1,)), "must lie in the image"),
        (Prompt(box_xyxy=(1, 1, 9, 2)), "The box of prompt 3 must lie in the image"),
        (Prompt(box_xyxy=(3, 1, 2, 2)), r"x0 <= x1 and y0 <= y1 in pixels, got \[3, 1, 2, 2\]"),
        (Prompt(box_xyxy=(1, 2, 2, 1)), "x0 <= x1 and y0 <= y1"),
        (Prompt(((1, 2),), (5,)), r"Labels of prompt 3 must be 1 \(foreground\), 0 .*, got \[5\]"),
        (Prompt(((1, 2),), ()), "one label per point; the labels of prompt 3 are 0 for 1 points"),
    ],
)
def test_outside_of_the_image(prompt, message):
    with pytest.raises(ValueError, match=message):
        check_prompt(prompt, (5, 7), " of prompt 3")


def test_the_border_is_inside_and_detectors_may_overshoot_by_a_pixel():
    check_prompt(Prompt(((0, 0), (7, 5)), (1, 0), (0, 0, 7, 5)), (5, 7))
    check_prompt(Prompt(((-1, 6),), (1,), (-0.5, -1, 8, 6)), (5, 7))


def test_boxes_one_pixel_wide_or_high_are_boxes():
    """Those of our own results lie between the centres of the outermost pixels."""
    check_prompt(Prompt(box_xyxy=(3, 1, 3, 4)), (5, 7))
    check_prompt(Prompt(box_xyxy=(3, 1, 3, 1)), (5, 7))


def test_what_has_no_place_may_lie_anywhere():
    check_prompt(Prompt(((-50, 90), (-10, -10)), (-1, -10)), (5, 7))


def test_clipping():
    clipped = clip_prompt(Prompt(((-3, 2), (9, 9), (-10, -10)), (1, 0, -10), (2, -40, 90, 4)), (5, 7))
    assert clipped.points_xy == ((0, 2), (7, 5), (-10, -10))
    assert clipped.box_xyxy == (2, 0, 7, 4)
    for box in ((-9, 1, 0, 3), (7, 1, 9, 3), (1, 5, 3, 9), (1, float("nan"), 3, 4)):
        with pytest.raises(ValueError, match=r"must show a part of the image of 7 x 5 pixels"):
            clip_prompt(Prompt(box_xyxy=box), (5, 7))
    with pytest.raises(ValueError, match="must be finite"):
        clip_prompt(Prompt(((float("inf"), 1),), (1,)), (5, 7))


def test_what_is_drawn():
    drawn = drawn_prompts([Prompt(((1, 2), (3, 4)), (1, 0)), Prompt(box_xyxy=(1, 2, 3, 4)), Prompt(mask=MASK)])
    np.testing.assert_array_equal(drawn.points_xy, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(drawn.labels, [1, 0])
    np.testing.assert_array_equal(drawn.boxes_xyxy, [[1, 2, 3, 4]])
    assert (drawn.point_prompts.tolist(), drawn.box_prompts.tolist()) == ([0, 0], [1])
    both = join_prompts(drawn, drawn, 3)
    assert (both.point_prompts.tolist(), both.box_prompts.tolist()) == ([0, 0, 3, 3], [1, 4])
    assert len(both.points_xy) == len(both.labels) == 4
    assert join_prompts(None, drawn, 0).box_prompts.tolist() == [1]
    assert join_prompts(None, None, 0) is None
    assert DrawnPrompts(boxes_xyxy=np.zeros((2, 4))).box_prompts.tolist() == [-1, -1]
    with pytest.raises(ValueError, match="`box_prompts` must be one per row, got 1 for 2"):
        DrawnPrompts(boxes_xyxy=np.zeros((2, 4)), box_prompts=np.array([0]))
    nothing = drawn_prompts([])
    assert (nothing.points_xy.shape, nothing.labels.shape, nothing.boxes_xyxy.shape) == ((0, 2), (0,), (0, 4))
