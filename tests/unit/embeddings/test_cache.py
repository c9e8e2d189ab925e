import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from anymask import EmbeddingCache, ImageEmbedding
from anymask.embeddings import image_embedding
from anymask.geometry.coordinates import ResizeGeometry

N_BYTES = 4 * 8 * 6 * 5
FILE_BYTES = N_BYTES + 1000  # what a file takes at most, with its header


def embedding(value: float) -> ImageEmbedding:
    geometry = ResizeGeometry((30, 40), (48, 64), (64, 64))
    return ImageEmbedding(torch.full((1, 8, 6, 5), float(value)), geometry, "0" * 64, "{}", name=f"{value:g}")


def keys(cache) -> list[str]:
    return sorted(path.stem for path in cache.folder.glob("*.safetensors"))


def test_what_is_put_comes_back(tmp_path):
    cache = EmbeddingCache(tmp_path / "a" / "b")
    assert cache.get("k1") is None
    cache.put("k1", embedding(3))
    cache.put("k2", embedding(4))
    cache.put("k1", embedding(5))
    assert torch.equal(cache.get("k1").tensor, embedding(5).tensor)
    assert EmbeddingCache(tmp_path / "a" / "b").get("k2").name == "4"
    cache.clear()
    assert (keys(cache), cache.get("k1")) == ([], None)


def test_the_entry_used_longest_ago_goes_first(tmp_path):
    EmbeddingCache(tmp_path).put("k0", embedding(0))
    n_bytes = (tmp_path / "k0.safetensors").stat().st_size
    cache = EmbeddingCache(tmp_path, max_bytes=3 * n_bytes)
    for number in range(3):
        cache.put(f"k{number}", embedding(number))
    assert cache.get("k0") is not None  # so k1 is the oldest
    cache.put("k3", embedding(3))
    assert keys(cache) == ["k0", "k2", "k3"]
    EmbeddingCache(tmp_path, max_bytes=n_bytes).put("k4", embedding(4))
    assert keys(cache) == ["k4"]


def test_a_limit_below_one_entry_is_an_error(tmp_path):
    cache = EmbeddingCache(tmp_path, max_bytes=N_BYTES - 1)
    with pytest.raises(
        ValueError, match=f"must hold one embedding at least, of {N_BYTES} bytes here, got {N_BYTES - 1}"
    ):
        cache.put("k1", embedding(1))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        EmbeddingCache(tmp_path, max_bytes=0)


@pytest.mark.parametrize("content", [b"", b"not a tensor" * 99, None], ids=["empty", "foreign", "cut short"])
def test_damaged_entries_are_missing_and_replaced(tmp_path, content):
    cache = EmbeddingCache(tmp_path)
    cache.put("k1", embedding(1))
    path = tmp_path / "k1.safetensors"
    path.write_bytes(path.read_bytes()[:-5] if content is None else content)
    assert cache.get("k1") is None
    cache.put("k1", embedding(2))
    assert cache.get("k1").name == "2"


def test_a_flipped_bit_is_never_a_result(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.put("k1", embedding(1))
    path = tmp_path / "k1.safetensors"
    whole = path.read_bytes()
    for position in (*range(8, len(whole), 7), len(whole) - 1):  # values of metadata, of the header, of the tensor
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        found = cache.get("k1")
        assert found is None or (torch.equal(found.tensor, embedding(1).tensor) and found.name == "1"), position
    path.write_bytes(whole[:-100] + bytes(100))
    assert cache.get("k1") is None


def test_an_entry_of_another_key_is_missing(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.put("k1", embedding(1))
    (tmp_path / "k1.safetensors").rename(tmp_path / "k2.safetensors")
    assert cache.get("k2") is None
    embedding(2).save(tmp_path / "k2.safetensors")
    assert cache.get("k2") is None


@pytest.mark.parametrize(
    "tensor", [torch.full((1, 8, 6, 5), 2.0), torch.ones(1, 8, 3, 5), torch.ones(1, 8, 6, 5).half()]
)
def test_another_tensor_under_what_was_said_of_the_first_is_missing(tmp_path, tensor):
    cache = EmbeddingCache(tmp_path)
    cache.put("k1", embedding(1))
    path = tmp_path / "k1.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({"image_embedding": tensor}, path, metadata)
    assert cache.get("k1") is None


def test_an_entry_may_be_evicted_while_it_is_used(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.put("k1", embedding(7))
    used = cache.get("k1")
    cache.clear()
    assert torch.equal(used.tensor, embedding(7).tensor)


@pytest.mark.parametrize("moment", ["before it is opened", "before torch opens it"])
def test_an_entry_may_be_evicted_while_it_is_opened(tmp_path, monkeypatch, moment):
    cache = EmbeddingCache(tmp_path)
    cache.put("k1", embedding(7))
    opens, maps = image_embedding.safe_open, torch.UntypedStorage.from_file

    def evicting(open_it):
        def evict_first(*args, **kwargs):
            cache.clear()
            return open_it(*args, **kwargs)

        return evict_first

    if moment == "before it is opened":
        monkeypatch.setattr(image_embedding, "safe_open", evicting(opens))
    else:
        monkeypatch.setattr(torch.UntypedStorage, "from_file", evicting(maps))
    assert cache.get("k1") is None
    assert keys(cache) == []


def test_what_a_killed_process_left_is_swept_up_later(tmp_path):
    cache = EmbeddingCache(tmp_path)
    for name, age in ((".k1.safetensors.abc.part", 7200), (".k2.safetensors.abc.part", 5)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    cache.put("k3", embedding(3))
    assert sorted(os.listdir(tmp_path)) == [".k2.safetensors.abc.part", "k3.safetensors"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"must be one that exists or can be made, but .*; pass another folder"):
            EmbeddingCache(folder)


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache")
    cache.folder.rmdir()
    cache.folder.write_bytes(b"a file now")
    with pytest.warns(UserWarning, match="cannot be written .*; going on without keeping new embeddings"):
        cache.put("k1", embedding(1))
    cache.put("k2", embedding(2))  # warnings are errors here, and there is none
    assert cache.get("k1") is None


def test_a_cleared_folder_is_made_again(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache")
    cache.folder.rmdir()
    cache.put("k1", embedding(1))
    assert keys(cache) == ["k1"]


def test_keys_do_not_leave_the_folder(tmp_path):
    for method in (EmbeddingCache(tmp_path).get, lambda key: EmbeddingCache(tmp_path).put(key, embedding(1))):
        with pytest.raises(ValueError, match=r"A key must consist of letters and digits, got '\.\./k1'"):
            method("../k1")


WORKER = """
import sys
from tests.unit.embeddings.test_cache import FILE_BYTES, embedding
from anymask import EmbeddingCache

first = int(sys.argv[2])
cache = EmbeddingCache(sys.argv[1], max_bytes=4 * FILE_BYTES)
for turn in range(100):
    number = (first + turn) % 9  # the processes write and read the same nine entries
    found = cache.get(f"k{number}")
    if found is None:
        cache.put(f"k{number}", embedding(number))
    else:
        assert found.name == str(number) and (found.tensor == number).all()
print("done")
"""


def test_processes_share_a_folder(tmp_path):
    """Three processes write, read and evict at once: none fails, all that is read is whole, the limit holds after."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WORKER, str(tmp_path), str(3 * number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for number in range(3)
    ]
    assert [process.communicate(timeout=300)[0].strip() for process in processes] == ["done"] * 3
    files = os.listdir(tmp_path)
    assert 1 <= len(files) <= 5
    assert all(name.endswith(".safetensors") for name in files)
    assert sum(os.path.getsize(tmp_path / name) for name in files) <= 4 * FILE_BYTES
