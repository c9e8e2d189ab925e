"""Sizes of chunks, and what counts as running out of memory."""

from types import SimpleNamespace

import pytest
import torch

from anymask.support import chunks as memory


def test_masks_per_chunk_counts_bytes():
    assert memory.masks_per_chunk(torch.zeros(3, 256, 256)) == 64
    assert memory.masks_per_chunk(torch.zeros(3, 128, 128)) == 256
    assert memory.masks_per_chunk(torch.zeros(1, 1, 4096, 4096)) == 1


def test_parts_at_a_time():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    with torch.no_grad():
        assert memory.parts_at_a_time(100, cpu, cpu_bytes=350) == 3
        assert memory.parts_at_a_time(100, cpu, cpu_bytes=99) == 1
        assert memory.parts_at_a_time(0, cpu, cpu_bytes=99) == 99
        assert memory.parts_at_a_time(2**20, cuda, cpu_bytes=99) == 512
    assert memory.parts_at_a_time(100, cpu, cpu_bytes=350) >= 2**31  # gradients keep every part anyway


def test_slices():
    assert memory.slices(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert memory.slices(6, 3) == [slice(0, 3), slice(3, 6)]
    assert memory.slices(2, 10**30) == [slice(0, 2)]
    assert memory.slices(0, 3) == [slice(0, 0)]


def model_on(device, dtype=torch.float32):
    vision = SimpleNamespace(hidden_size=768, patch_size=16, image_size=1024)
    return SimpleNamespace(device=torch.device(device), dtype=dtype, config=SimpleNamespace(vision_config=vision))


def test_one_image_at_a_time_on_a_cpu():
    assert memory.encoder_batch_size(model_on("cpu"), (1, 3, 1024, 1024)) == 1


@pytest.mark.parametrize(
    ("free_gib", "dtype", "expected"),
    [(0.1, torch.float32, 1), (3, torch.float32, 4), (3, torch.float16, 8), (80, torch.float32, 16)],
)
def test_free_memory_decides_on_cuda(monkeypatch, free_gib, dtype, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free_gib * 2**30), 2**40))
    # 4096 tokens x 768 channels x 32 values x 4 bytes = 384 MiB per image in float32
    assert memory.encoder_batch_size(model_on("cuda", dtype), (1, 3, 1024, 1024)) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert memory.is_out_of_memory(error) is expected


def test_the_allocator_of_this_machine_is_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory.is_out_of_memory(caught.value)


def test_fewer_at_a_time_where_memory_does_not_suffice():
    seen, told = [], []

    def double(some):
        seen.append(some)
        if len(some) > 2:
            raise torch.OutOfMemoryError
        return [2 * item for item in some]

    parts = list(memory.run_within_memory(double, [1, 2, 3, 4, 5], 5, told.append))
    assert parts == [[2, 4], [6, 8], [10]] and told == [2]
    assert seen == [[1, 2, 3, 4, 5], [1, 2], [3, 4], [5]]
    with pytest.raises(torch.OutOfMemoryError):
        list(memory.run_within_memory(lambda some: double(some * 3), [1, 2], 2, told.append))
    with pytest.raises(ZeroDivisionError):
        list(memory.run_within_memory(lambda some: 1 / 0, [1], 1, pytest.fail))
