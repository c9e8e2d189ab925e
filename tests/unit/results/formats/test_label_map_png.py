import numpy as np
import pytest
from PIL import Image

from anymask.masks.record import make_record
from anymask.masks.rle import mask_to_rle, rle_to_mask
from anymask.results.formats.annotated_image import AnnotatedImage
from anymask.results.formats.label_map_png import label_map_of, read_label_map_png, write_label_map_png


def grid_of(count):
    """As many masks of one pixel as asked for, in one row, the rest background."""
    records = []
    for index in range(count):
        mask = np.zeros((2, count), bool)
        mask[1, index] = True
        records.append(make_record(mask_to_rle(mask)))
    return AnnotatedImage(records, (2, count))


@pytest.mark.parametrize("priority", ["score", "small_first", "large_first"])
def test_round_trip(annotated, priority, tmp_path):
    write_label_map_png(tmp_path / "a.png", annotated, priority=priority)
    expected = label_map_of(annotated, priority)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"  # shown in colours, read as numbers
        np.testing.assert_array_equal(np.asarray(picture), expected)
        assert len(set(map(tuple, np.asarray(picture.convert("RGB")).reshape(-1, 3)))) == len(np.unique(expected))
    read = read_label_map_png(tmp_path / "a.png")
    assert [record["id"] for record in read.records] == np.unique(expected)[1:].tolist()
    for record in read.records:
        np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), expected == record["id"])


@pytest.mark.parametrize(("count", "mode"), [(255, "P"), (256, "I;16")])
def test_more_masks_than_a_palette_holds(count, mode, tmp_path):
    write_label_map_png(tmp_path / "a.png", grid_of(count), priority="small_first")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == mode
        assert np.asarray(picture)[1].tolist() == list(range(1, count + 1))
    assert len(read_label_map_png(tmp_path / "a.png").records) == count


def test_nothing(nothing, tmp_path):
    write_label_map_png(tmp_path / "a.png", nothing)
    read = read_label_map_png(tmp_path / "a.png")
    assert (read.records, read.size_hw) == ([], nothing.size_hw)


def test_bad_files(tmp_path, annotated):
    with pytest.raises(FileNotFoundError, match="must be a file, but there is none"):
        read_label_map_png(tmp_path / "a.png")
    Image.new("RGB", (3, 4)).save(tmp_path / "colours.png")
    with pytest.raises(ValueError, match=r"must be numbers .* got colours of mode RGB"):
        read_label_map_png(tmp_path / "colours.png")
    write_label_map_png(tmp_path / "whole.png", annotated)
    content = (tmp_path / "whole.png").read_bytes()
    for cut in (0, 20, len(content) // 2):
        (tmp_path / "cut.png").write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"cut\.png must be a PNG label map, whole, but"):
            read_label_map_png(tmp_path / "cut.png")
