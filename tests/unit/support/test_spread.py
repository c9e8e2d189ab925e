import threading
import time

import pytest

from anymask.support.spread import spread


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
