"""CT windows: a level and a width in Hounsfield units, or the name of such a pair, as the values of black and white."""

from __future__ import annotations

from collections.abc import Sequence

from ..support.unknown_names import check_known_name

CT_WINDOWS = {
    "abdomen": (40.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "liver": (75.0, 200.0),
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "soft_tissue": (40.0, 400.0),
}
"""Level and width of the usual presets."""

Window = str | Sequence[float]
"""What says a window: a name of `CT_WINDOWS`, or a level and a width."""


def window_range(window: Window) -> tuple[float, float]:
    """The values that a window shows as black and white: level - width / 2 and level + width / 2.

    Raises:
        ValueError: If there is no window of that name, or a width is not above 0.
    """
    if isinstance(window, str):
        check_known_name(window, CT_WINDOWS, "`window` must be a known CT window or a level and a width")
        window = CT_WINDOWS[window]
    if len(window) != 2 or not window[1] > 0:
        raise ValueError(f"`window` must be a level and a width above 0, as in (40, 400), got {window!r}.")
    level, width = float(window[0]), float(window[1])
    return level - width / 2, level + width / 2


def shown_range(window: Window | None, value_range: Sequence[float] | None) -> tuple[float, float] | None:
    """The values of black and white that either argument says; None where neither does.

    Raises:
        ValueError: If both are given, or one cannot be.
    """
    if window is not None:
        if value_range is not None:
            raise ValueError("`window` and `value_range` must not both be given: they say the same; got both.")
        return window_range(window)
    if value_range is None:
        return None
    if len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ValueError(f"`value_range` must be (black, white) with black below white, got {tuple(value_range)!r}.")
    return float(value_range[0]), float(value_range[1])
