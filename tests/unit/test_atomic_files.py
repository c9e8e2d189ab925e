import os
import stat

import pytest

from anymask.atomic_files import write_whole


def test_write_whole_replaces_and_sets_ordinary_permissions(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    write_whole(path, lambda file: file.write(b"new") and None)
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
