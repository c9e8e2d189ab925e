"""Work spread over several workers, such as a model on each of several devices, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(items: Iterable[Item], workers: Sequence[Callable[[Item], Result]]) -> Generator[Result]:
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
    free: SimpleQueue[Callable[[Item], Result]] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def work(item: Item) -> Result:
        worker = free.get()
        try:
            return worker(item)
        finally:
            free.put(worker)

    waiting: deque[Future[Result]] = deque()
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
