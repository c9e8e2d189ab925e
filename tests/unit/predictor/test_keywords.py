"""Foreign keywords are answered with what does the same here; that the known ones are all is in test_sam.py."""

import pytest

from anymask.predictor.keywords import ELSEWHERE, PredictOptions, check_keywords

KNOWN = tuple(PredictOptions.__annotations__)


@pytest.mark.parametrize(
    "name",
    [
        "verbose",
        "save",
        "show",
        "imgsz",
        "conf",
        "device",
        "text",
        "point_coords",
        "input_points",
        "box",
        "bands",
        "page",
    ],
)
def test_names_of_other_packages_are_answered(name):
    with pytest.raises(TypeError, match=f"SAM.predict has no option '{name}': .*") as caught:
        check_keywords({name: 1}, KNOWN, "SAM.predict")
    assert "did you mean" not in str(caught.value)


def test_slips_of_the_keyboard_are_answered_with_the_nearest_name():
    with pytest.raises(TypeError, match="did you mean 'points_per_side'"):
        check_keywords({"points_per_sied": 3}, KNOWN, "SAM.predict")
    check_keywords({"points": 1}, KNOWN, "SAM.predict")


def test_no_answer_is_about_a_known_name():
    assert not set(ELSEWHERE) & set(KNOWN)
