import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from anymask.support.atomic_files import check_work_folder, keep_settings, whole_folder, write_json, write_whole


def test_write_whole_replaces_and_sets_ordinary_permissions(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    write_whole(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["ordinary", "result.json"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_write_whole_leaves_nothing_when_it_fails(tmp_path, error):
    def fail(file):
        file.write(b"half")
        raise error

    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_write_whole_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing/a\.json must be .* there is no such folder\. Nothing was"):
        write_whole(tmp_path / "missing" / "a.json", lambda file: file.write(b"new"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder must be a file that can be written, but: it is a folder"):
        write_whole(tmp_path / "folder", lambda file: file.write(b"new"))

    def fails(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"b\.json must be .* but: No space left on device\. Nothing was written"):
        write_whole(tmp_path / "b.json", fails)
    assert os.listdir(tmp_path) == ["folder"]


def test_json_is_written_for_people_too(tmp_path):
    write_json(tmp_path / "scores.json", {"dice": 0.5})
    assert (tmp_path / "scores.json").read_text() == '{\n  "dice": 0.5\n}\n'


def test_numbers_of_numpy_and_torch_become_plain(tmp_path):
    path = tmp_path / "a.json"
    document = {"a": np.float32(0.5), "b": np.arange(3), "c": torch.ones(2), "d": np.int64(4)}
    write_json(path, document, indent=None)
    assert path.read_text() == '{"a": 0.5, "b": [0, 1, 2], "c": [1.0, 1.0], "d": 4}\n'


def test_what_json_cannot_hold_leaves_nothing(tmp_path):
    with pytest.raises(TypeError, match="plain values or arrays, got object"):
        write_json(tmp_path / "a.json", {"a": object()})
    assert not list(tmp_path.iterdir())


def test_names_as_long_as_names_can_be(tmp_path):
    for name in ("n" * 255, "図" * 85):
        write_whole(tmp_path / name, lambda file: file.write(b"new"))
        assert (tmp_path / name).read_bytes() == b"new"


def test_whole_folder_appears_complete_with_ordinary_permissions(tmp_path):
    with whole_folder(tmp_path / "new" / "results") as folder:
        (folder / "a").write_text("a")
        assert not (tmp_path / "new" / "results").exists()
    ordinary = tmp_path / "ordinary"
    ordinary.mkdir()
    assert (tmp_path / "new/results").stat().st_mode == ordinary.stat().st_mode
    assert os.listdir(tmp_path / "new") == ["results"]
    assert os.listdir(tmp_path / "new/results") == ["a"]


def test_whole_folder_replaces_files_of_its_names(tmp_path):
    for name in ("a", "mine"):
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / name).write_text("old")
    with whole_folder(tmp_path / "results") as folder:
        (folder / "a").write_text("new")
    assert {path.name: path.read_text() for path in (tmp_path / "results").iterdir()} == {"a": "new", "mine": "old"}
    assert os.listdir(tmp_path) == ["results"]


def test_whole_folder_takes_away_what_is_its_own(tmp_path):
    for name in ("a.png", "b.png", "mine.txt"):
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / name).write_text("old")
    with whole_folder(tmp_path / "results", lambda name: name.endswith(".png")) as folder:
        (folder / "a.png").write_text("new")
    found = {path.name: path.read_text() for path in (tmp_path / "results").iterdir()}
    assert found == {"a.png": "new", "mine.txt": "old"}
    assert os.listdir(tmp_path) == ["results"]


def test_whole_folders_of_several_writers_do_not_disturb_each_other(tmp_path):
    def write(number):
        for _ in range(40):
            with whole_folder(tmp_path / "results", lambda name: True) as folder:
                for name in ("a", "b"):
                    (folder / name).write_text(str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))  # raises what a writer raised
    assert os.listdir(tmp_path) == ["results"]
    first, second = ((tmp_path / "results" / name).read_text() for name in ("a", "b"))
    assert first == second


def test_whole_folder_follows_a_link(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    with whole_folder(tmp_path / "link") as folder:
        (folder / "a").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "target") == ["a"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_whole_folder_leaves_nothing_when_it_fails(tmp_path, error):
    def fail(folder):
        (folder / "a").write_text("half")
        raise error

    with pytest.raises(type(error)), whole_folder(tmp_path / "results") as folder:
        fail(folder)
    assert os.listdir(tmp_path) == []


def test_a_folder_for_work_is_a_runs(tmp_path):
    for name in ("made", "others", "empty"):
        (tmp_path / name).mkdir()
    keep_settings(tmp_path / "made", {"a": 1})
    (tmp_path / "others/mine.txt").write_text("")
    (tmp_path / "file").write_text("")
    for name in ("made", "empty", "not there"):
        check_work_folder(tmp_path / name)
    for name in ("others", "file"):
        with pytest.raises(FileExistsError, match=f"{name} must be free for what is done"):
            check_work_folder(tmp_path / name)


def test_settings_are_kept_and_compared(tmp_path):
    folder = tmp_path / "run"
    keep_settings(folder, {"model": "one", "sizes": (1, 2)})
    assert json.loads((folder / "settings.json").read_text()) == {"model": "one", "sizes": [1, 2]}
    keep_settings(folder, {"model": "one", "sizes": (1, 2)})
    with pytest.raises(ValueError, match=r"was made with another new, sizes; pass another folder, or the settings in"):
        keep_settings(folder, {"model": "one", "sizes": (1, 3), "new": 1})
    keep_settings(tmp_path / "nested", {"options": {"points": 8, "nms": 0.7}, "model": "one"})
    with pytest.raises(ValueError, match=r"was made with another model, options\.points; pass"):
        keep_settings(tmp_path / "nested", {"options": {"points": 9, "nms": 0.7}, "model": {"name": "one"}})
