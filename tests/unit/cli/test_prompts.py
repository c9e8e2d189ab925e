import pytest

from anymask.cli.prompts import read_prompts, read_values


def said(points, boxes):
    return [(prompt.points_xy, prompt.labels, prompt.box_xyxy) for prompt in read_prompts(points, boxes)]


def test_no_prompts():
    assert read_prompts([], []) == []


def test_each_option_is_a_prompt_and_its_points_stand_in_it():
    assert said(["450,600", "1,2 3.5,4;5,6,0 7,8,1"], []) == [
        (((450, 600),), (1,), None),
        (((1, 2), (3.5, 4), (5, 6), (7, 8)), (1, 1, 0, 1), None),
    ]


def test_boxes_come_after_points_and_may_have_points():
    assert said(["9,8"], ["1,2,30,40", "5,6,70,80 20,20,0"]) == [
        (((9, 8),), (1,), None),
        ((), (), (1, 2, 30, 40)),
        (((20, 20),), (0,), (5, 6, 70, 80)),
    ]


@pytest.mark.parametrize("text", ["450", "4,5,2", "a,b", "4,5,1,1", "4 5", "4,5,-1"])
def test_points_written_otherwise(text):
    with pytest.raises(ValueError, match=f"--point must be X,Y in pixels, or X,Y,0 .*, got '{text}'"):
        read_prompts([text], [])


@pytest.mark.parametrize("text", ["1,2,3", "", "1,2,3,4,5", "a", "1,2,3,4 5"])
def test_boxes_written_otherwise(text):
    with pytest.raises(ValueError, match=f"--box must be X0,Y0,X1,Y1 in pixels; .*, got '{text}'"):
        read_prompts([], [text])


@pytest.mark.parametrize("text", ["4,5,0", ""])
def test_objects_of_background_alone(text):
    with pytest.raises(ValueError, match=f"must have a foreground point or a box, got '{text}'; --point must be"):
        read_prompts(["1,2", text], [])


def test_windows_are_two_numbers_or_a_name():
    assert read_values(None, "40,400") == {"window": (40, 400)}
    assert read_values(None, "abdomen") == {"window": "abdomen"}
    assert read_values("0,3000", None) == {"value_range": (0, 3000)}
    with pytest.raises(ValueError, match="did you mean 'bone'"):
        read_values(None, "bonn")
    for text in ("40", "40,0", "40;400"):
        with pytest.raises(ValueError, match=r"a level and a width above 0|must be LEVEL,WIDTH"):
            read_values(None, text)
