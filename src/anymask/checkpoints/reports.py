"""What is wrong with a checkpoint, in words: keys grouped, with what the file looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from .formats.key_map import HUB_PARTS, META_PARTS, TIED_KEY, TIED_TO

MAX_GROUPS = 8
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class CheckpointError(ValueError):
    """A file or folder that is no SAM checkpoint, or not all of one. The message says why and what to do."""


def group_keys(names: Iterable[str]) -> str:
    """Names of tensors in one line, those that differ in numbers alone together: `blocks.*.norm1.weight (12 keys)`.

    Where that leaves too many groups, names that begin with the same word are together.
    """
    names = list(names)
    groups = _groups(names, lambda name: re.sub(r"(?<=\.)\d+(?=\.)", "*", name))
    if len(groups) > MAX_GROUPS:
        groups = _groups(names, lambda name: f"{name.split('.')[0]}.*")
    shown = [
        f"{group} ({len(members)} keys)" if len(members) > 1 else members[0]
        for group, members in list(groups.items())[:MAX_GROUPS]
    ]
    rest = sum(len(members) for members in list(groups.values())[MAX_GROUPS:])
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _groups(names: Iterable[str], group_of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(group_of(name), []).append(name)
    return groups


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


def find_misshapen(
    tensors: Mapping[str, Tensor], expected: Mapping[str, torch.Size]
) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
    """Tensors of other shapes than the model's: name to the shape in the file and in the model, see `key_problems`."""
    return {
        name: (tuple(tensor.shape), tuple(expected[name]))
        for name, tensor in tensors.items()
        if name in expected and tensor.shape != expected[name]
    }


def check_tensors(path: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights of a SAM that no model can compute with; other tensors pass.

    Args:
        path: Of the file or folder, for the message.
        tensors: Under Meta's names or the hub's.

    Raises:
        CheckpointError: If weights are whole numbers, NaN or infinite, or one tensor has two names and two values.
    """
    own = {name: tensor for name, tensor in tensors.items() if name.startswith((*META_PARTS, *HUB_PARTS))}
    wrong = {name: tensor.dtype for name, tensor in own.items() if tensor.dtype not in _DTYPES}
    if wrong:
        dtypes = ", ".join(sorted({str(dtype).removeprefix("torch.") for dtype in wrong.values()}))
        raise CheckpointError(
            f"{path} must hold weights of {', '.join(str(dtype).removeprefix('torch.') for dtype in _DTYPES)}, but "
            f"{group_keys(wrong)} are {dtypes}; take the file from before it was quantised."
        )
    spoilt = [name for name, tensor in own.items() if not _is_finite(tensor)]
    if spoilt:
        raise CheckpointError(
            f"{path} must hold finite weights, but NaN or infinity is in {group_keys(spoilt)}; take a checkpoint from "
            f"before its training failed."
        )
    if TIED_KEY in own and TIED_TO in own and not torch.equal(own[TIED_KEY].double(), own[TIED_TO].double()):
        raise CheckpointError(
            f"{path} must hold one positional encoding, but {TIED_KEY} and {TIED_TO}, two names of it, have different "
            f"values; remove the one that is wrong."
        )


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are; without a copy of them, and NaN and infinity show in the extremes."""
    return tensor.numel() == 0 or bool(torch.stack(torch.aminmax(tensor)).isfinite().all())
