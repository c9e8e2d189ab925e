"""What happens to an option that nobody knows: an error that names the near one, everywhere in the package."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


def check_known_options(given: Iterable[str], known: Collection[str], owner: str) -> None:
    """Raises TypeError for the first of the given option names that is not among the known ones.

    Args:
        given: names that the caller passed.
        known: names that are understood.
        owner: who understands them, for the message, e.g. "SamProcessor".
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(sorted(known))}."
            raise TypeError(f"{owner} has no option {name!r}; {hint}")
