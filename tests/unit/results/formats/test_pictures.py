from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anymask.results.formats.pictures import write_cutouts


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)


def test_each_mask_is_cut_out_with_transparency(annotated, masks, photo, tmp_path):
    files = write_cutouts(tmp_path / "new", annotated, photo)
    assert [file.name for file in files] == [
        "photo_0001.png",
        "photo_0002_cup.png",
        "photo_0003_sea-lion.png",
        "photo_0004.png",
    ]
    for file, mask in zip(files, masks, strict=True):
        rows, columns = np.nonzero(mask)
        window = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        with Image.open(file) as cutout:
            assert cutout.mode == "RGBA"
            np.testing.assert_array_equal(np.asarray(cutout)[..., :3], photo[window])
            np.testing.assert_array_equal(np.asarray(cutout)[..., 3], 255 * mask[window])


def test_a_label_cannot_lead_out_of_the_folder(annotated, photo, tmp_path):
    annotated.records[0]["label"] = "../../up"
    first = write_cutouts(tmp_path / "new", annotated, photo)[0]
    assert first == tmp_path / "new" / "photo_0001_-up.png"


def test_nothing_and_empty_masks(nothing, empty_mask, photo, tmp_path):
    assert write_cutouts(tmp_path / "a", nothing, photo) == []
    assert write_cutouts(tmp_path / "a", empty_mask, photo) == []


def test_bad_input(annotated, photo, tmp_path):
    with pytest.raises(ValueError, match=r"the size of the masks, height x width = \(23, 31\), got \(31, 23\)"):
        write_cutouts(tmp_path / "a", annotated, photo.transpose(1, 0, 2))
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file must be a folder that can be made"):
        write_cutouts(tmp_path / "file", annotated, photo)


def test_frames_of_a_video_have_names_of_their_own(annotated, photo, tmp_path):
    for name, stem in (("clip.mp4:000012", "clip_000012"), ("000003", "000003"), ("at 12:30.jpg", "at 12:30")):
        first = write_cutouts(tmp_path, replace(annotated, name=name), photo)[0]
        assert first == tmp_path / f"{stem}_0001.png"


def test_labels_that_are_numbers(annotated, photo, tmp_path):
    annotated.records[0]["label"] = 0
    assert write_cutouts(tmp_path / "a", annotated, photo)[0].name == "photo_0001_0.png"
