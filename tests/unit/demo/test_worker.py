import threading
from concurrent.futures import CancelledError

import pytest

from anymask.demo.errors import RequestError
from anymask.demo.worker import ModelWorker


@pytest.fixture
def worker():
    worker = ModelWorker(most_waiting=4)
    yield worker
    worker.close()


@pytest.fixture
def held(worker):
    """Hold the worker until the event is set."""
    goes_on, runs = threading.Event(), threading.Event()
    worker.submit(lambda: (runs.set(), goes_on.wait()))
    assert runs.wait(10)
    yield goes_on
    goes_on.set()


def test_jobs_run_in_order_in_one_thread(worker):
    names = []
    futures = [worker.submit(lambda: names.append(threading.current_thread().name)) for _ in range(3)]
    assert [future.result(10) for future in futures] == [None] * 3
    assert names == ["model"] * 3


def test_what_fails_fails_and_the_next_runs(worker):
    failing = worker.submit(lambda: 1 / 0)
    assert worker.submit(lambda: 7).result(10) == 7
    with pytest.raises(ZeroDivisionError):
        failing.result(10)


def test_the_newest_of_a_client_takes_the_place_of_what_waits(worker, held):
    ran = []
    first = worker.submit(lambda: ran.append("first"), client="tab 1")
    other = worker.submit(lambda: ran.append("other"), client="tab 2")
    second = worker.submit(lambda: ran.append("second"), client="tab 1")
    with pytest.raises(RequestError) as refused:
        first.result(10)
    assert refused.value.status == 409
    held.set()
    other.result(10), second.result(10)
    assert ran == ["other", "second"]


def test_what_was_cancelled_is_not_run(worker, held):
    ran = []
    cancelled = worker.submit(lambda: ran.append(1))
    assert cancelled.cancel()
    held.set()
    worker.submit(lambda: None).result(10)
    assert ran == []


def test_the_line_has_an_end_and_what_was_cancelled_does_not_count(worker, held):
    waiting = [worker.submit(lambda: None) for _ in range(4)]
    with pytest.raises(RequestError, match="At most 4"):
        worker.submit(lambda: None)
    waiting[0].cancel()
    worker.submit(lambda: None)


def test_a_long_job_gives_way_to_short_ones(worker, held):
    order = []

    def long(name):
        order.append(f"{name} begins")
        worker.give_way()
        order.append(f"{name} ends")

    one = worker.submit(lambda: long("one"), is_long=True)
    two = worker.submit(lambda: long("two"), is_long=True)
    short = worker.submit(lambda: order.append("short"))
    held.set()
    for future in (one, two, short):
        future.result(10)
    assert order == ["one begins", "short", "one ends", "two begins", "two ends"]


def test_closing_cancels_what_waits():
    worker = ModelWorker()
    goes_on, runs = threading.Event(), threading.Event()
    running, waiting = worker.submit(lambda: (runs.set(), goes_on.wait())[1]), worker.submit(lambda: 1)
    assert runs.wait(10)
    closing = threading.Thread(target=worker.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(10)
    goes_on.set()
    closing.join()
    assert running.result(10)
