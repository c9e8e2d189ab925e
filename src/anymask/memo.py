"""What follows from weights and sizes alone is computed once, and again when the weights have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from .memory import is_accelerator

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The last value computed, kept while the tensors that it follows from are the same and unchanged.

    Nothing is kept where gradients are asked for, under `torch.compile` and autocast, and of tensors whose changes
    PyTorch does not count, which are those made in inference mode and on the meta device. Copies of a model begin with
    nothing.
    """

    def __init__(self) -> None:
        self._last: tuple[Any, Sequence[Tensor], Value] | None = None

    def get(self, compute: Callable[[], Value], tensors: Sequence[Tensor], *key: Any) -> Value:
        """The value of `compute()`, which follows from `tensors` and `key` alone; not to be changed by the caller."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return compute()
        if any(tensor.is_inference() or tensor.is_meta for tensor in tensors):
            return compute()
        if any(torch.is_autocast_enabled(device) for device in {tensor.device.type for tensor in tensors}):
            return compute()
        state = (*key, *(_state(tensor) for tensor in tensors))
        if self._last is not None and self._last[0] == state:
            return self._last[2]
        with torch.inference_mode(False), torch.no_grad():  # a later call may be in another mode
            value = compute()
        # The tensors are kept as well: as long as they are, no other tensor can have their addresses.
        self._last = (state, [tensor.detach() for tensor in tensors], value)
        return value

    def __deepcopy__(self, memo: dict) -> Memo[Value]:
        return Memo()

    def __reduce__(self) -> tuple:
        return Memo, ()


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

        None on an accelerator, which a comparison would wait for, under `torch.compile` and where gradients are asked
        for.
        """
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return None
        if any(is_accelerator(tensor.device) for tensor in tensors):
            return None
        tensors = tuple(_without_repetition(tensor) for tensor in tensors)
        number, last = self._last
        if last and all(_equal(before, now) for before, now in zip(last, tensors, strict=True)):
            return number
        number = next(self._numbers)
        self._last = number, [tensor.clone() for tensor in tensors]
        return number

    def __deepcopy__(self, memo: dict) -> SameNumbers:
        return SameNumbers()

    def __reduce__(self) -> tuple:
        return SameNumbers, ()


def _without_repetition(tensor: Tensor) -> Tensor:
    """A tensor without its expanded dimensions."""
    return tensor[tuple(slice(None) if stride else slice(1) for stride in tensor.stride())]


def _equal(before: Tensor, now: Tensor) -> bool:
    return before.dtype == now.dtype and torch.equal(before, now)
