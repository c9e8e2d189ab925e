import pytest

from anymask.results.formats.files import Entries, read_json, reading


def test_bad_json(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError):
        read_json(path, "COCO JSON")
    for content, message in (
        (b'{"images": [', r"a.json must be a whole file of COCO JSON, but: .* line 1"),
        (b"\x89PNG\xff", "must be a whole file of COCO JSON, but"),
        (b"[1]", "an object in braces, got a list"),
        (b"[" * 100_000, "must be a whole file of COCO JSON"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_json(path, "COCO JSON")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.json must be a file of COCO, but there is no such file."):
        read_json(tmp_path / "nothing.json", "COCO")


def test_errors_say_where():
    with (
        pytest.raises(ValueError, match=r"f\.json must be COCO JSON, but image 3 has no 'width'\."),
        reading("f.json", "COCO JSON", "image 3"),
    ):
        {}["width"]
    with (
        pytest.raises(ValueError, match=r"f\.json must be COCO JSON, but image 3 is not understood: .*iterable"),
        reading("f.json", "COCO JSON", "image 3"),
    ):
        list(4)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(encoding, tmp_path):
    (tmp_path / "a.json").write_text('{"label": "Straße"}', encoding=encoding)
    assert read_json(tmp_path / "a.json", "COCO JSON") == {"label": "Straße"}


def test_what_is_wrong_with_entries_is_said_once():
    entries = Entries("a.json", "shape")
    read = []
    for entry in entries.each([1, "x", None, 4, "y", "z"]):
        with entries.passed_over_if_wrong():
            read.append(int(entry))
            entries.note("are numbers.")
    with pytest.warns(UserWarning, match="of 6 shapes") as warned:
        entries.warn()
    assert read == [1, 4]
    wrong, note = [str(warning.message) for warning in warned]
    assert wrong.startswith("a.json: 4 of 6 shapes were passed over: shape 2 is not understood: invalid literal")
    assert "shape 3" in wrong and "shape 5" in wrong and "shape 6" not in wrong and wrong.endswith(" ...")
    assert note == "a.json: 2 of 6 shapes are numbers."
