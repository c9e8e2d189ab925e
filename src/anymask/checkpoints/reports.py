"""What is wrong with a checkpoint, in words: keys grouped, with what the file looks like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

MAX_GROUPS = 8


class CheckpointError(ValueError):
    """A file or folder that is no SAM checkpoint, or not all of one. The message says why and what to do."""


def group_keys(names: Iterable[str]) -> str:
    """Names of tensors in one line, those that differ in numbers alone together: `blocks.*.norm1.weight (12 keys)`."""
    groups = Counter(re.sub(r"(?<=\.)\d+(?=\.)", "*", name) for name in names)
    shown = [name if count == 1 else f"{name} ({count} keys)" for name, count in list(groups.items())[:MAX_GROUPS]]
    rest = list(groups.values())[MAX_GROUPS:]
    return ", ".join(shown) + (f" and {sum(rest)} more" if rest else "")


def key_problems(
    missing: Sequence[str],
    unexpected: Sequence[str],
    misshapen: Mapping[str, tuple[Sequence[int], Sequence[int]]],
) -> str:
    """Missing, unexpected and misshapen keys in one line, or "" where there are none.

    Args:
        missing: names that the model has and the file has not.
        unexpected: names that the file has and the model has not.
        misshapen: name to the shape in the file and in the model.
    """
    problems = []
    if missing:
        problems.append(f"{len(missing)} missing: {group_keys(missing)}")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected: {group_keys(unexpected)}")
    if misshapen:
        shapes = {name: f"{name} {tuple(file)} for {tuple(model)}" for name, (file, model) in misshapen.items()}
        problems.append(f"{len(misshapen)} misshapen: {group_keys(shapes.values())}")
    return "; ".join(problems)
