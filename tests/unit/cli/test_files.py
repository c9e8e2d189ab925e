import os
from pathlib import Path, PurePosixPath

import pytest

from anymask.cli.files import Photo, check_is_photo, check_outputs, find_photos, prepare_file, prepare_folder
from anymask.cli.outputs import owner_of


def touch(folder: Path, *names: str) -> list[str]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return list(map(str, paths))


def stems(photos: list[Photo]) -> list[str]:
    return [str(photo.stem) for photo in photos]


def test_folders_stand_for_their_photos_by_name(tmp_path):
    b, a, _text, _overlay, upper = touch(tmp_path, "b.jpg", "a.png", "notes.txt", "b_overlay.png", "C.JPEG")
    (tmp_path / "folder.jpg").mkdir()
    photos = find_photos([str(tmp_path)], owner_of)
    assert [photo.source for photo in photos] == [upper, a, b]
    assert stems(photos) == ["C", "a", "b"]


def test_globs_keep_the_folders_below_their_fixed_part(tmp_path):
    inner, outer, _cutout = touch(tmp_path, "sub/a.jpg", "a.jpg", "a_cutouts/0001.jpg")
    photos = find_photos([str(tmp_path / "**" / "*.jpg")], owner_of)
    assert {photo.source: str(photo.stem) for photo in photos} == {outer: "a", inner: "sub/a"}


def test_names_with_brackets_are_files_where_they_exist(tmp_path):
    (bracket,) = touch(tmp_path, "a[1].jpg")
    assert find_photos([bracket]) == [Photo(bracket, PurePosixPath("a[1]"))]


def test_urls_are_named_by_their_path():
    photos = find_photos(["https://example.org/x/cup.jpg?size=2", "http://example.org/"])
    assert stems(photos) == ["cup", "photo"]


def test_files_are_kept_as_given_and_only_once(tmp_path):
    (a,) = touch(tmp_path, "a.dat")
    missing = str(tmp_path / "missing.jpg")
    assert [photo.source for photo in find_photos([missing, a, a])] == [missing, a]
    (photo,) = touch(tmp_path, "photo.jpg")
    assert [found.source for found in find_photos([photo, str(tmp_path)])] == [photo]


def test_one_photo_under_two_spellings_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a.jpg", "b.jpg")
    assert [photo.source for photo in find_photos(["./a.jpg", "a.jpg", "."])] == ["./a.jpg", "./b.jpg"]
    with pytest.raises(FileNotFoundError, match=r"there is none at 'c\.jpg'$"):
        find_photos(["c.jpg", "./c.jpg"])
    urls = ["https://example.org/a.jpg", "https://example.org//a.jpg"]
    assert [photo.source for photo in find_photos(urls)] == urls


def test_links_in_a_circle_are_kept(tmp_path):
    circle = tmp_path / "circle.jpg"
    circle.symlink_to(circle)
    (tmp_path / "up").symlink_to(tmp_path)
    (a,) = touch(tmp_path, "a.jpg")
    assert [photo.source for photo in find_photos([str(tmp_path)])] == [a, str(circle)]
    assert [photo.source for photo in find_photos([str(tmp_path / "**" / "*.jpg")])] == [a, str(circle)]
    check_outputs({photo: [tmp_path / f"{photo.stem}.json"] for photo in find_photos([str(tmp_path)])})


def test_one_stem_with_two_suffixes_keeps_the_suffixes(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "b.jpg")
    assert stems(find_photos([str(tmp_path)])) == ["a.jpg", "a.png", "b"]


def test_a_photo_named_like_a_result_is_not_dropped_without_a_word(tmp_path, capsys):
    a, own, other = touch(tmp_path, "a.jpg", "a_overlay.png", "cat_overlay.png")
    assert [photo.source for photo in find_photos([str(tmp_path)], owner_of)] == [a]
    assert capsys.readouterr().err == (
        f"anymask: passed over {own} and 1 more, named like results of an earlier run; a photo of such a name is taken "
        "where it is given itself\n"
    )
    assert [photo.source for photo in find_photos([other], owner_of)] == [other]


def test_globs_with_dots_name_nothing_outside_the_folder_for_results(tmp_path):
    (tmp_path / "n1").mkdir()
    touch(tmp_path, "n1/p1/x.png", "secret/a.png")
    [photo] = find_photos([str(tmp_path / "n1" / "p*" / ".." / ".." / "secret" / "*.png")])
    assert Path(photo.source).resolve() == tmp_path / "secret" / "a.png"
    assert str(photo.stem) == "secret/a"


def test_the_home_folder_has_a_short_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (a,) = touch(tmp_path, "a.jpg")
    for argument in ("~/a.jpg", "~", "~/*.jpg"):
        assert [photo.source for photo in find_photos([argument])] == [a]


def test_who_gives_a_video_is_told_what_takes_it():
    with pytest.raises(ValueError, match=r"a video: SAM\.predict\('a/x\.mp4', stream=True\)"):
        check_is_photo("a/x.mp4")
    check_is_photo("photo.jpg")


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a photo must exist, but there is none at 'a\.jpg', '.*/\*\.jpg'"):
        find_photos(["a.jpg", str(tmp_path / "*.jpg")])


def test_folder_without_photos_is_an_error(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match=r"must hold images, but no file in .* ends in \.bmp, "):
        find_photos([str(tmp_path)])
    touch(tmp_path, "a_overlay.png")
    with pytest.raises(ValueError, match="holds nothing but results of an earlier run"):
        find_photos([str(tmp_path)], owner_of)


def test_videos_are_no_photos(tmp_path):
    touch(tmp_path, "a.jpg", "b.mp4")
    with pytest.raises(ValueError, match=r"must stand for photos, but there are videos; read these with SAM\.predict"):
        find_photos([str(tmp_path / "*")])


def test_folders_for_results(tmp_path):
    prepare_folder(tmp_path / "new" / "out")
    assert os.listdir(tmp_path / "new" / "out") == []
    (file,) = touch(tmp_path, "file")
    with pytest.raises(FileExistsError, match=r"--output must be a folder, but .*file is a file; name another"):
        prepare_folder(Path(file))
    with pytest.raises(OSError, match=r"must be a folder that can be written to, but .*file/below is not: Not a dir"):
        prepare_folder(Path(file) / "below")
    with pytest.raises(OSError, match="must be a folder that can be written to, but /proc is not: "):
        prepare_folder(Path("/proc"))


def test_a_file_for_the_end_is_looked_at_before(tmp_path):
    prepare_file(tmp_path / "new" / "all.json", "--coco-file")
    assert os.listdir(tmp_path / "new") == []
    with pytest.raises(
        IsADirectoryError, match=r"--coco-file must be a file, but .*new is a folder; name a file in it"
    ):
        prepare_file(tmp_path / "new", "--coco-file")
    (file,) = touch(tmp_path, "file")
    with pytest.raises(OSError, match=r"the folder of --coco-file must be a folder, but .*file is a file"):
        prepare_file(Path(file) / "all.json", "--coco-file")


def test_results_of_two_photos_or_on_a_photo(tmp_path):
    one, other = Photo("in/a.jpg", PurePosixPath("a")), Photo("a.json", PurePosixPath("b"))
    check_outputs({one: [Path("x.json")], other: [Path("y.json")]})
    with pytest.raises(ValueError, match=r"those of a\.json would overwrite x\.json, which belongs to in/a\.jpg"):
        check_outputs({one: [Path("x.json")], other: [Path("x.json")]})
    with pytest.raises(ValueError, match=r"those of in/a\.jpg would overwrite .*a\.json, which belongs to a\.json"):
        check_outputs({one: [Path("a.json").absolute()], other: [Path("x.json")]})
    check_outputs({one: [Path("x.json")]}, Path("all.json"))
    for path in ("in/a.jpg", "x.json"):
        with pytest.raises(
            ValueError, match=rf"--coco-file must be a file of its own, but {path} belongs to in/a\.jpg"
        ):
            check_outputs({one: [Path("x.json")]}, Path(path))
