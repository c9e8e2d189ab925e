"""Which operations make the host wait for an accelerator, recorded where there is none."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Shapes that follow from values, and values that go to the host. In inference mode some operations show whole, of which
# only parts show otherwise.
WAITING = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten.repeat_interleave.Tensor,
    aten.repeat_interleave.self_Tensor,
    aten._unique2.default,
    aten._local_scalar_dense.default,
    aten.item.default,
    aten.is_nonzero.default,
    aten.equal.default,
}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
TO_HOST = {torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__}


class HostWaits:
    """A context that collects, in `names`, the operations for which the host would wait on an accelerator."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._modes = (_Operations(self.names), _ToHost(self.names))

    def __enter__(self) -> "HostWaits":
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class _Operations(TorchDispatchMode):
    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        by_mask = operation in INDEXING and any(index is not None and index.dtype == torch.bool for index in args[1])
        if by_mask or (operation in WAITING and kwargs.get("output_size") is None):
            self.names.append(str(operation))
        return operation(*args, **kwargs)


class _ToHost(TorchFunctionMode):
    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in TO_HOST:
            self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))
