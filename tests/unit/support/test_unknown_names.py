import pytest

from anymask.support.unknown_names import check_known_name, check_known_options, did_you_mean


def test_known_options_pass():
    check_known_options(["size"], ["size", "resample"], "Owner")


def test_an_unknown_option_names_the_near_one():
    with pytest.raises(TypeError, match="Owner has no option 'resampel'; did you mean 'resample'"):
        check_known_options(["resampel"], ["size", "resample"], "Owner")


def test_an_option_far_from_all_lists_them():
    with pytest.raises(TypeError, match="Owner has no option 'zzz'; it knows resample, size"):
        check_known_options(["zzz"], ["size", "resample"], "Owner")


def test_the_end_of_a_message():
    assert did_you_mean("vit-b", ["vit_l", "vit_b"], otherwise="no") == "did you mean 'vit_b'?"
    assert did_you_mean("resnet", ["vit_l", "vit_b"], otherwise="there are no others.") == "there are no others."


def test_a_name_is_one_of_a_table():
    check_known_name("paper", {"paper": 1, "ritm": 2}, "`protocol` must be one that is known")
    for name, end in (("papr", r"did you mean 'paper'\?$"), ("x", r"there are paper, ritm\.$")):
        with pytest.raises(ValueError, match=rf"^`protocol` must be one that is known, got '{name}'; {end}"):
            check_known_name(name, {"paper": 1, "ritm": 2}, "`protocol` must be one that is known")
