"""How much to do at a time: sizes in bytes, by what a device has, and what counts as running out of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from .devices import is_accelerator
from .exporting import is_being_exported

Items = TypeVar("Items", list[Any], np.ndarray)
Value = TypeVar("Value")

# On a CPU larger chunks fall out of the cache; an accelerator needs work for all its units.
_MASK_CHUNK_BYTES_CPU = 2**24
_MASK_CHUNK_BYTES_ACCELERATOR = 2**29
_PARTS_BYTES_ACCELERATOR = 2**29
# Threads share the last-level cache, so parts do not grow with their number for ever.
_MAX_SHARES = 8
# An encoder layer holds about this many values per token and channel at a time: queries, keys, values, the wide layer,
# copies.
_ENCODER_VALUES_PER_CHANNEL = 32
_MAX_ENCODER_BATCH = 16
# Where free memory is not known.
_FREE_BYTES_UNKNOWN = 2**32
# What CPU allocators and MPS say, which have no error type of their own.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def parts_at_a_time(bytes_each: int, device: torch.device, cpu_bytes: int) -> int:
    """How many parts of a computation to go through at a time, at least 1.

    All, where gradients keep every part anyway, and in an exported or compiled graph, which would hold every step.

    Args:
        bytes_each: what one part takes.
        device: where.
        cpu_bytes: what each of a CPU's threads should have in use at a time: what stays in its cache.
    """
    if torch.is_grad_enabled() or is_being_exported():
        return sys.maxsize
    shares = min(torch.get_num_threads(), _MAX_SHARES)
    budget = _PARTS_BYTES_ACCELERATOR if is_accelerator(device) else cpu_bytes * shares
    return max(budget // max(bytes_each, 1), 1)


def slices(length: int, step: int) -> list[slice]:
    """Cut 0 ... length - 1 into slices of `step`, the last perhaps shorter; one empty slice if there is nothing."""
    return [slice(start, min(start + step, length)) for start in range(0, max(length, 1), min(step, max(length, 1)))]


def masks_per_chunk(low_res_logits: torch.Tensor) -> int:
    """How many masks of the shape of these logits (..., h, w) to post-process at a time, at least 1."""
    height, width = low_res_logits.shape[-2:]
    budget = _MASK_CHUNK_BYTES_ACCELERATOR if is_accelerator(low_res_logits.device) else _MASK_CHUNK_BYTES_CPU
    return max(budget // (4 * height * width), 1)


def encoder_batch_size(model: Any, pixel_values_shape: Sequence[int]) -> int:
    """How many images of this shape (1, 3, H, W) to encode at a time.

    One on a CPU, where a batch gains nothing and its activations leave the cache; on CUDA what fits into half of the
    free memory.
    """
    if model.device.type != "cuda":
        return 1
    config = model.config.vision_config
    tokens = pixel_values_shape[-2] * pixel_values_shape[-1] // config.patch_size**2
    bytes_per_image = tokens * config.hidden_size * _ENCODER_VALUES_PER_CHANNEL * model.dtype.itemsize
    return int(min(max(_free_bytes(model.device) // 2 // bytes_per_image, 1), _MAX_ENCODER_BATCH))


def _free_bytes(device: torch.device) -> int:
    """What can be allocated on an accelerator: what nobody has, and what PyTorch holds and does not use."""
    if device.type != "cuda":
        return _FREE_BYTES_UNKNOWN
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return free_bytes + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def run_within_memory(
    function: Callable[[Items], Value], items: Items, at_a_time: int, on_shortage: Callable[[int], None]
) -> Iterator[Value]:
    """Call a function with some of the items at a time, and with fewer where memory does not suffice.

    Args:
        function: Of some of the items.
        items: In order.
        at_a_time: How many to begin with.
        on_shortage: Is told with how many it goes on.

    Raises:
        RuntimeError: What the function raises; that memory ran out, too, where it was called with one item.
    """
    while len(items):
        now = items[:at_a_time]
        try:
            value = function(now)
        except RuntimeError as error:
            if not is_out_of_memory(error) or len(now) == 1:
                raise
            at_a_time = len(now) // 2
            on_shortage(at_a_time)
            continue
        yield value
        items = items[len(now) :]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that a device's or the host's memory ran out."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)
