import threading

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from anymask.support.threads import map_in_threads, parallel_threads

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
