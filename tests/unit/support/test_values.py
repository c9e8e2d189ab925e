import numpy as np
import pytest

from anymask.support.values import check_values, is_number, is_whole


def test_whole_numbers():
    assert all(is_whole(value, 1) for value in (1, 2**70, np.int64(3)))
    assert not any(is_whole(value, 1) for value in (0, True, 2.0, "2", None, float("nan"), [1]))
    assert is_whole(5, 1, 5) and not is_whole(6, 1, 5)


def test_numbers():
    assert all(is_number(value) for value in (0, -1.5, np.float32(2), 10**30))
    assert not any(is_number(value) for value in (float("nan"), float("inf"), True, "1", None, 1j))
    assert is_number(1, 0, 1) and not is_number(1.001, 0, 1)


def test_the_first_broken_rule_is_told():
    rules = {"side": ("a whole number from 1 up", lambda value: is_whole(value, 1))}
    check_values({"side": 3, "other": "anything"}, rules)
    with pytest.raises(ValueError, match=r"^side must be a whole number from 1 up, got -3\.$"):
        check_values({"side": -3}, rules)
