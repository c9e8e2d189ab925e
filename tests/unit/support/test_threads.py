import threading
import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from anymask.support.threads import map_in_threads, parallel_threads, spread

CPU = torch.device("cpu")


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


def threads_of_a_new_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return seen[0]


@torch.no_grad()
def test_each_thread_has_one_core_and_nobody_else_is_told(three_threads):
    seen = list(map_in_threads(lambda item: (item, torch.get_num_threads(), threading.get_ident()), range(20), 3))
    assert [item for item, _, _ in seen] == list(range(20))
    assert {threads for _, threads, _ in seen} == {1}
    assert threading.get_ident() not in {thread for _, _, thread in seen}
    assert torch.get_num_threads() == threads_of_a_new_thread() == 3


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_mode_goes_along(mode, three_threads):
    with mode():
        (result, *_) = map_in_threads(lambda item: torch.ones(2) * item, [1, 2], 3)
    assert not result.requires_grad
    assert result.is_inference() == (mode is torch.inference_mode)


@torch.no_grad()
def test_errors_come_through(three_threads):
    def fail(item):
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        list(map_in_threads(fail, range(4), 3))
    assert torch.get_num_threads() == threads_of_a_new_thread() == 3


@torch.no_grad()
def test_who_stops_asking_does_not_wait_for_the_rest(three_threads):
    begun, may_go_on = [], threading.Event()

    def wait_after_the_first(item):
        begun.append(item)
        if item:
            may_go_on.wait()
        return item

    results = map_in_threads(wait_after_the_first, range(50), 3)
    assert next(results) == 0
    threading.Timer(0.2, may_go_on.set).start()
    results.close()
    assert len(begun) <= 4


@torch.no_grad()
def test_one_item_or_one_thread_stays_where_it_is(three_threads):
    here = threading.get_ident()
    assert list(map_in_threads(lambda item: threading.get_ident(), [0], 3)) == [here]
    assert list(map_in_threads(lambda item: threading.get_ident(), [0, 1], 1)) == [here, here]
    assert list(map_in_threads(lambda item: item, [], 3)) == []


def test_how_many_threads(three_threads):
    assert parallel_threads(CPU) == 1  # gradients
    with torch.no_grad():
        assert parallel_threads(CPU) == 3
        assert parallel_threads(torch.device("meta")) == 1
        with torch.autocast("cpu", torch.bfloat16):
            assert parallel_threads(CPU) == 1
        with FlopCounterMode(display=False):
            assert parallel_threads(CPU) == 1
        with torch.device("cpu"):
            assert parallel_threads(CPU) == 1


def slower_for_even(item):
    time.sleep(0.02 * (item % 2 == 0))
    return item * item


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_results_are_in_the_order_of_the_items(n_workers):
    assert list(spread(range(11), [slower_for_even] * n_workers)) == [item * item for item in range(11)]
    assert list(spread([], [slower_for_even] * n_workers)) == []


def test_workers_work_at_once_each_on_one_item():
    both = threading.Barrier(2, timeout=10)  # breaks unless two workers stand at it together
    busy = {"a": threading.Lock(), "b": threading.Lock()}

    def worker(name):
        def work(item):
            assert busy[name].acquire(blocking=False)
            both.wait()
            busy[name].release()
            return name, item

        return work

    results = list(spread(range(6), [worker("a"), worker("b")]))
    assert [item for _, item in results] == list(range(6))
    assert {name for name, _ in results} == {"a", "b"}


def test_items_are_read_a_little_ahead():
    read = []

    def items():
        for item in range(20):
            read.append(item)
            yield item

    results = spread(items(), [slower_for_even] * 2)
    assert next(results) == 0
    assert read == [0, 1, 2, 3]
    results.close()
    assert read == [0, 1, 2, 3]


def test_an_error_comes_in_its_place():
    def invert(item):
        return 6 / item

    results = spread([1, 2, 0, 3], [invert, invert])
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_an_error_of_the_items_comes_after_the_results_before_it(n_workers):
    def items():
        yield from range(3)
        raise OSError("the camera is gone")

    results = spread(items(), [slower_for_even] * n_workers)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(OSError, match="the camera is gone"):
        next(results)
