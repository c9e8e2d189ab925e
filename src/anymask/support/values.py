"""What a setting may be: a table of rules per place, and one sentence for what breaks one."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

Rule = tuple[str, Callable[[Any], bool]]
"""What a value must be: in words, which follow "must be", and as a test."""


def is_whole(value: Any, lowest: int, highest: float = math.inf) -> bool:
    """Whether this is a whole number from `lowest` to `highest`; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and lowest <= int(value) <= highest


def is_number(value: Any, lowest: float = -math.inf, highest: float = math.inf) -> bool:
    """Whether this is a finite number from `lowest` to `highest`; True and False are none."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and lowest <= value <= highest


def check_values(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Check every value that has a rule.

    Args:
        values: By name; those without a rule pass.
        rules: By the same names.

    Raises:
        ValueError: If a value breaks its rule; the message says which, what it must be and what it is.
    """
    for name, value in values.items():
        if name in rules and not rules[name][1](value):
            raise ValueError(f"{name} must be {rules[name][0]}, got {value!r}.")
