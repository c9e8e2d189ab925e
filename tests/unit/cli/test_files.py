from pathlib import Path

import pytest

from anymask.cli.files import find_photos, output_paths


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


def test_folders_stand_for_their_photos_by_name(tmp_path):
    b, a, _text, _overlay, upper = touch(tmp_path, "b.jpg", "a.png", "notes.txt", "b_overlay.png", "C.JPEG")
    (tmp_path / "folder.jpg").mkdir()
    assert find_photos([tmp_path]) == [upper, a, b]


def test_files_are_kept_as_given_and_only_once(tmp_path):
    (a,) = touch(tmp_path, "a.dat")
    missing = tmp_path / "missing.jpg"
    assert find_photos([missing, a, a]) == [missing, a]
    (photo,) = touch(tmp_path, "photo.jpg")
    assert find_photos([photo, tmp_path]) == [photo]


def test_folder_without_photos_is_an_error(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match=r"must hold photos, but no file there ends in \.bmp, "):
        find_photos([tmp_path])


def test_output_names():
    assert output_paths(Path("in/a.b.jpg"), Path("out")) == (Path("out/a.b_overlay.png"), Path("out/a.b_masks.json"))
