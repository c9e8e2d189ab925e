import pytest

from anymask.images.windows import CT_WINDOWS, shown_range, window_range


def test_a_window_is_a_level_and_a_width_or_a_name():
    assert window_range((40, 400)) == window_range("abdomen") == (-160, 240)
    assert window_range("lung") == (-1350, 150)
    assert all(width > 0 for _, width in CT_WINDOWS.values())
    assert shown_range(None, None) is None
    assert shown_range("brain", None) == shown_range(None, (0, 80)) == (0, 80)


@pytest.mark.parametrize(
    ("window", "value_range", "message"),
    [
        ("abdomn", None, "got 'abdomn'; did you mean 'abdomen'"),
        ((40, 0), None, "a level and a width above 0"),
        (None, (5, 5), r"black below white, got \(5, 5\)"),
        ((40, 400), (0, 1), "must not both be given"),
    ],
)
def test_what_cannot_be(window, value_range, message):
    with pytest.raises(ValueError, match=message):
        shown_range(window, value_range)
