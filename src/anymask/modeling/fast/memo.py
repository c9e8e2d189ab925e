"""What follows from weights, sizes and an image is computed once, and again when one of them has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ...support.chunks import is_accelerator

Value = TypeVar("Value")


def can_be_kept(tensors: Sequence[Tensor]) -> bool:
    """Whether what is computed now from these tensors may serve later calls as well.

    Not where gradients are asked for, under `torch.compile`, `torch.jit.trace` and autocast, and not of tensors whose
    changes PyTorch does not count, which are those made in inference mode and on the meta device.
    """
    if torch.is_grad_enabled() or _is_traced():
        return False
    if any(tensor.is_inference() or tensor.is_meta for tensor in tensors):
        return False
    return not any(torch.is_autocast_enabled(device) for device in {tensor.device.type for tensor in tensors})


class Memo(Generic[Value]):
    """The last value computed, kept while the tensors that it follows from are the same and unchanged.

    Copies of a model begin with nothing. A change through `.data` (`weight.data += 1`) is one that PyTorch does not
    count and nothing here notices: change weights under `torch.no_grad()`, or assign to `.data`.
    """

    def __init__(self) -> None:
        self._last: tuple[Any, Sequence[Tensor], Value] | None = None

    def get(self, compute: Callable[[], Value], tensors: Sequence[Tensor], *key: Any) -> Value:
        """The value of `compute()`, which follows from `tensors` and `key` alone; not to be changed by the caller."""
        if not can_be_kept(tensors):
            return compute()
        state = (*key, *(_state(tensor) for tensor in tensors))
        last = self._last  # read once: another thread may store what it computed for something else
        if last is not None and last[0] == state:
            return last[2]
        self._last = last = None  # frees what was kept, before as much again is computed
        with torch.inference_mode(False), torch.no_grad():  # a later call may be in another mode
            value = compute()
        # The tensors are kept as well: as long as they are, no other tensor can have their addresses.
        self._last = (state, [tensor.detach() for tensor in tensors], value)
        return value

    def __deepcopy__(self, memo: dict) -> Memo[Value]:
        return Memo()

    def __reduce__(self) -> tuple:
        return Memo, ()


def _is_traced() -> bool:
    """Whether what is computed becomes a program for other inputs."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]


def _state(tensor: Tensor) -> tuple:
    """Differs between tensors, and between a tensor and itself after a change in place."""
    return tensor.data_ptr(), tensor._version, tensor.dtype, tensor.device, tensor.shape, tensor.stride()


class SameNumbers:
    """Tells whether tensors that need not be the same hold the same numbers as last time.

    A copy is kept and compared, because nothing tells whether a tensor made in inference mode was changed in place.
    """

    def __init__(self) -> None:
        self._numbers = count()  # a number is given once, also to threads that meet here
        self._last: tuple[int, Sequence[Tensor]] = next(self._numbers), ()

    def recognise(self, *tensors: Tensor) -> int | None:
        """A number that stays as long as those of the tensors do.

        None on an accelerator, which a comparison would wait for, and under `torch.compile` and `torch.jit.trace`.
        """
        if _is_traced():
            return None
        if any(is_accelerator(tensor.device) for tensor in tensors):
            return None
        number, last = self._last
        if len(last) == len(tensors) and all(_equal(*pair) for pair in zip(last, tensors, strict=True)):
            return number
        number = next(self._numbers)
        self._last = number, [_clone(tensor) for tensor in tensors]
        return number

    def __deepcopy__(self, memo: dict) -> SameNumbers:
        return SameNumbers()

    def __reduce__(self) -> tuple:
        return SameNumbers, ()


def _clone(tensor: Tensor) -> Tensor:
    """A copy that is expanded where the tensor is."""
    return _without_repetition(tensor).clone().expand(tensor.shape)


def _equal(before: Tensor, now: Tensor) -> bool:
    if before.dtype != now.dtype or before.shape != now.shape:
        return False
    return torch.equal(_without_repetition(before), _without_repetition(now))


def _without_repetition(tensor: Tensor) -> Tensor:
    """A tensor without its expanded dimensions."""
    return tensor[tuple(slice(None) if stride else slice(1) for stride in tensor.stride())]
