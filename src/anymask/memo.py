"""What follows from weights and sizes alone is computed once, and again when the weights have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

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
