"""What happens to a name that nobody knows: an error that says the near one, everywhere in the package."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


def check_known_options(given: Iterable[str], known: Collection[str], owner: str) -> None:
    """Raise TypeError for the first of the given option names that is not among the known ones.

    Args:
        given: names that the caller passed.
        known: names that are understood.
        owner: who understands them, for the message, e.g. "SamProcessor".
    """
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known, otherwise=f"it knows {', '.join(sorted(known))}.")
            raise TypeError(f"{owner} has no option {name!r}; {hint}")


def check_known_name(name: str, known: Collection[str], requirement: str) -> None:
    """Raise ValueError for a name that is not among the known ones.

    Args:
        name: what came.
        known: what could have been meant.
        requirement: what must hold, for the message, e.g. "`protocol` must be one that is known".
    """
    if name not in known:
        hint = did_you_mean(name, known, otherwise=f"there are {', '.join(known)}.")
        raise ValueError(f"{requirement}, got {name!r}; {hint}")


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The end of an error message about a name: "did you mean 'size'?".

    Args:
        name: what came.
        known: what could have been meant.
        otherwise: the end of the message where nothing known is near.
    """
    near = nearest_name(name, known)
    return otherwise if near is None else f"did you mean {near!r}?"


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one, or None where none is like it."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return near[0] if near else None
