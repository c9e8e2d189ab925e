"""One thread that runs the model, and the line of those who wait for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import RequestError

Value = TypeVar("Value")

MOST_WAITING = 64


@dataclass(eq=False)
class _Job:
    work: Callable[[], Any]
    client: str | None
    is_long: bool
    future: Future[Any] = field(default_factory=Future)

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.work())
        except BaseException as error:
            self.future.set_exception(error)


class ModelWorker:
    """Runs jobs one after another in a thread of its own.

    A job that carries a client's id takes the place of one of the same client that still waits, so that pointers that
    move are answered for where they are. A future that is cancelled while it waits is never run.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        """Start the thread.

        Args:
            most_waiting: Jobs in line at most.
        """
        self._most_waiting = most_waiting
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        with self._changed:
            return sum(not job.future.cancelled() for job in self._jobs)

    def submit(self, work: Callable[[], Value], *, client: str | None = None, is_long: bool = False) -> Future[Value]:
        """Put a job in line.

        Args:
            work: Is called in the worker's thread.
            client: Whose waiting job this replaces; that one fails with status 409.
            is_long: Whether it calls `give_way` now and then; another long one does not come in between.

        Raises:
            RequestError: If too many wait already.
        """
        job = _Job(work, client, is_long)
        replaced = []
        with self._changed:
            if client is not None:
                replaced = [waiting for waiting in self._jobs if waiting.client == client]
            kept = [waiting for waiting in self._jobs if waiting not in replaced and not waiting.future.cancelled()]
            if len(kept) >= self._most_waiting or self._is_closed:
                raise RequestError(
                    503, f"At most {self._most_waiting} requests may wait for the model; ask again later."
                )
            self._jobs = deque([*kept, job])
            self._changed.notify()
        for old in replaced:
            if old.future.set_running_or_notify_cancel():
                old.future.set_exception(RequestError(409, "A newer request of the same client took this one's place."))
        return job.future

    def give_way(self) -> None:
        """Run what waits and is not long; for long jobs, which call this in the worker's thread."""
        while (job := self._next(lambda waiting: not waiting.is_long)) is not None:
            job.run()

    def close(self) -> None:
        """Cancel what waits and end the thread after what runs."""
        with self._changed:
            self._is_closed = True
            waiting, self._jobs = self._jobs, deque()
            self._changed.notify()
        for job in waiting:
            job.future.cancel()
        self._thread.join()

    def _next(self, may_run: Callable[[_Job], bool]) -> _Job | None:
        with self._changed:
            for job in self._jobs:
                if may_run(job):
                    self._jobs.remove(job)
                    return job
        return None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._is_closed)
                if self._is_closed:
                    return
                job = self._jobs.popleft()
            job.run()
