import errno
import json
import sys
from pathlib import Path, PurePosixPath

import pytest

from anymask.cli.batch import Report, is_finished, report_all, work_through
from anymask.cli.files import Photo

A, B, C = (Photo(f"{name}.jpg", PurePosixPath(name)) for name in "abc")


def outputs(folder: Path) -> dict:
    return {
        photo: {"one": folder / f"{photo.stem}_1", "two": folder / "sub" / f"{photo.stem}_2"} for photo in (A, B, C)
    }


def writes(photo, paths):
    if photo is B:
        raise MemoryError
    for path in paths.values():
        path.touch()
    return {"size": 3}


def test_what_fails_is_reported_and_the_rest_is_done(tmp_path):
    reports = list(work_through(outputs(tmp_path), lambda: writes, resume=False))
    assert [report.status for report in reports] == ["done", "failed", "done"]
    assert sorted(path.name for path in tmp_path.rglob("*_*")) == ["a_1", "a_2", "c_1", "c_2"]
    done, failed = reports[0].as_dict(), reports[1].as_dict()
    assert done.pop("seconds") >= 0
    assert done == {
        "photo": "a.jpg",
        "status": "done",
        "outputs": {"one": str(tmp_path / "a_1"), "two": str(tmp_path / "sub/a_2")},
        "size": 3,
    }
    assert failed == {"photo": "b.jpg", "status": "failed", "error": "MemoryError"}


def test_resuming_skips_what_is_finished_and_does_the_rest(tmp_path):
    calls = []

    def work(photo, paths):
        calls.append(photo)
        return {}

    paths = outputs(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("a_1", "sub/a_2", "b_1"):  # b was killed between its files
        (tmp_path / name).touch()
    assert is_finished(paths[A])
    assert not is_finished(paths[B])
    reports = list(work_through(paths, lambda: work, resume=True))
    assert calls == [B, C]
    assert "seconds" not in reports[0].as_dict()
    assert [report.status for report in reports] == ["skipped", "done", "done"]
    assert [report.status for report in work_through(paths, lambda: work, resume=False)] == ["done"] * 3


def test_nothing_is_loaded_where_nothing_is_left_to_do(tmp_path):
    paths = {A: {"cutouts": tmp_path}}
    [report] = work_through(paths, pytest.fail, resume=True)
    assert report.status == "skipped"


def reports():
    yield Report(A, "done", {"one": Path("a_1")}, {"size": 3}, 1.25)
    yield Report(B, "failed", {}, {}, error=ValueError("two\nlines"))
    yield Report(C, "skipped", {"one": Path("c_1")}, {})


def test_lines_for_people(capsys):
    assert report_all(reports(), 3, False, lambda report: f"size {report.facts['size']}") == 1
    said = capsys.readouterr()
    assert said.out == "a.jpg: size 3 in 1.2 s\n  a_1\nc.jpg: finished before, skipped\n"
    assert said.err == "anymask: b.jpg: two lines\nanymask: 1 of 3 photos failed\n"


def test_lines_for_machines(capsys):
    assert report_all(reports(), 3, True, str) == 1
    said = capsys.readouterr()
    assert [json.loads(line)["status"] for line in said.out.splitlines()] == ["done", "failed", "skipped"]
    assert said.err == ""


def test_all_done_is_0(capsys):
    assert report_all(iter([Report(C, "skipped", {}, {})]), 1, False, str) == 0


def test_progress_on_a_terminal_leaves_the_lines_as_they_are(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert report_all(reports(), 3, True, str) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert all(json.loads(line) for line in said.out.splitlines())
    assert "Photos" in said.err


def test_a_folder_in_the_place_of_a_file_is_no_result(tmp_path):
    for name in ("overlay", "cutouts"):
        (tmp_path / name).mkdir()
    assert is_finished({"cutouts": tmp_path / "cutouts"})
    assert not is_finished({"overlay": tmp_path / "overlay"})


def test_a_full_disk_ends_the_run(tmp_path):
    def work(photo, paths):
        raise ValueError("cannot be written") from OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ValueError, match="cannot be written"):
        list(work_through(outputs(tmp_path), lambda: work, resume=False))
