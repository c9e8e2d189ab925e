"""Work that several threads share: the parts of a computation, and items for several workers.

`map_in_threads` has each part computed by a thread of one core: for many small steps, on machines that are busy. Torch
cuts every step into as many pieces as it may use cores, and waits until all are done. Where another process has one of
the cores, hundreds of small steps each wait for a piece whose thread does not run. Parts that are independent need not
wait for each other, so here each goes from its beginning to its end on one thread.

`spread` gives items to workers, such as a model on each of several devices.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Barrier
from typing import TypeVar

import torch

Item = TypeVar("Item")
Value = TypeVar("Value")


def parallel_threads(device: torch.device) -> int:
    """How many threads `map_in_threads` would use: those that torch may, on a CPU and without gradients; else 1.

    One too where a mode watches what is computed (a counter of operations, autocast), for modes belong to a thread.
    """
    if device.type != "cpu" or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return 1
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return 1
    return torch.get_num_threads()


def map_in_threads(function: Callable[[Item], Value], items: Sequence[Item], threads: int) -> Iterator[Value]:
    """`map(function, items)`, without gradients; each thread computes on one core.

    Args:
        function: What nothing else depends on while it runs.
        items: Its arguments.
        threads: What `parallel_threads` gave.

    Yields:
        The results in order, each as soon as it is there. Who stops asking waits for what has begun, and for no more.
    """
    threads = min(threads, len(items))
    if threads < 2:
        yield from map(function, items)
        return
    here = torch.get_num_threads()
    in_inference_mode, all_started = torch.is_inference_mode_enabled(), Barrier(threads + 1)

    def settle() -> None:
        torch.get_num_threads()  # this thread is known to torch from now on, and will not ask again
        torch.set_num_threads(1)  # of this thread, but also of threads that torch meets for the first time
        all_started.wait()

    def run(item: Item) -> Value:
        with torch.inference_mode(in_inference_mode), torch.no_grad():
            return function(item)

    with ThreadPoolExecutor(threads, initializer=settle) as pool:
        futures = [pool.submit(run, item) for item in items]
        all_started.wait()
        torch.set_num_threads(here)  # what is new to torch gets as many as this thread again
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def spread(items: Iterable[Item], workers: Sequence[Callable[[Item], Value]]) -> Generator[Value]:
    """Give each item to a worker that is free, and yield the results in the items' order.

    Each worker has one item at a time and a thread for it: PyTorch lets go of Python's lock while a device computes.
    One worker alone works in the caller's thread, item by item.

    Args:
        items: Read at most twice as far ahead as there are workers. An error of theirs comes after the results of the
            items before it.
        workers: Give the same result for the same item.
    """
    if len(workers) == 1:
        yield from map(workers[0], items)
        return
    free: SimpleQueue[Callable[[Item], Value]] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def work(item: Item) -> Value:
        worker = free.get()
        try:
            return worker(item)
        finally:
            free.put(worker)

    waiting: deque[Future[Value]] = deque()
    source, source_error = iter(items), None
    with ThreadPoolExecutor(len(workers)) as pool:
        try:
            while source_error is None:
                try:
                    item = next(source)
                except StopIteration:
                    break
                except Exception as error:
                    source_error = error
                else:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) == 2 * len(workers):
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if source_error is not None:
                raise source_error
        finally:  # after an error, or where the reader stops early
            for future in waiting:
                future.cancel()
