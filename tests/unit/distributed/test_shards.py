import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from anymask.distributed.shards import STALE_SECONDS, ShardFolder, shard_slice, work_on_shards


@pytest.fixture
def shards(tmp_path):
    return ShardFolder(tmp_path, 4, ".tar", {"model": "one"})


def claim_of(shards, index):
    return shards.folder / f".shard_{index:05d}.claim.0"


def test_slices_cover_the_list_once():
    images = list(range(23))
    parts = [images[shard_slice(index, 5, 23)] for index in range(5)]
    assert [image for part in parts for image in part] == images and {len(part) for part in parts} == {4, 5}


def test_one_makes_a_shard(shards):
    with shards.claim(2) as is_mine, shards.claim(2) as is_anothers, shards.claim(1) as is_another_one:
        assert (is_mine, is_anothers, is_another_one) == (True, False, True)
    assert list(shards.folder.iterdir()) == [shards.folder / "settings.json"]
    shards.path(2).touch()
    with shards.claim(2) as is_mine:
        assert not is_mine
    assert shards.missing() == [0, 1, 3]
    assert list(work_on_shards(shards, [3, 2, 1])) == [3, 1]


def test_the_claim_of_a_dead_process_is_taken_over(shards):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with shards.claim(0):
        holder = json.loads(claim_of(shards, 0).read_text())
        assert holder["pid"] == os.getpid()
    claim_of(shards, 0).write_text(json.dumps({**holder, "pid": dead.pid}))
    unfinished = [shards.folder / f".shard_00000.{name}.abc.part" for name in ("tar", "counts")]
    for path in unfinished:
        path.touch()
    with shards.claim(0) as is_mine:
        assert is_mine and not any(path.exists() for path in unfinished)


@pytest.mark.parametrize("left", ["", json.dumps({"host": "another", "pid": 1})], ids=["empty", "another machine's"])
def test_of_many_that_find_a_claim_abandoned_one_takes_it_over(shards, left):
    """In every round a claim is there that is old enough, and eight threads begin at the same moment."""
    for index in range(4):
        for _ in range(25):
            claim_of(shards, index).write_text(left)
            os.utime(claim_of(shards, index), (1, 1))
            start, end = threading.Barrier(8), threading.Barrier(8)

            def take(number, index=index, start=start, end=end):
                start.wait()
                with shards.claim(index) as is_mine:
                    end.wait()
                return is_mine

            with ThreadPoolExecutor(8) as pool:
                assert sum(pool.map(take, range(8))) == 1
    assert list(shards.folder.iterdir()) == [shards.folder / "settings.json"]


def test_what_killed_processes_left_is_tidied_away(shards):
    for name in (".shard_00000.claim.1", ".shard_00001.claim.0a1b.new"):
        (shards.folder / name).touch()
    shards.tidy()
    assert list(shards.folder.iterdir()) == [shards.folder / "settings.json"]


def test_the_claim_of_another_machine_is_taken_over_when_it_is_old(shards):
    claim = claim_of(shards, 0)
    claim.write_text(json.dumps({"host": "another", "pid": 1}))
    with shards.claim(0) as is_mine:
        assert not is_mine
    long_ago = claim.stat().st_mtime - STALE_SECONDS - 1
    os.utime(claim, (long_ago, long_ago))
    with shards.claim(0) as is_mine:
        assert is_mine


def test_an_error_gives_the_claim_back(shards):
    with pytest.raises(KeyError), shards.claim(0):
        raise KeyError
    with shards.claim(0) as is_mine:
        assert is_mine


def test_settings_of_another_run_are_refused(shards):
    with pytest.raises(ValueError, match="was made with another model"):
        ShardFolder(shards.folder, 4, ".tar", {"model": "two"})
