"""Tars in, photographs with masks out; the held-out ones are fixed, and series stay together."""

import numpy as np
import pytest
from tests.made_up_photographs import disc

from anymask.data.photographs import read_sources, series_name, split_held_out


def test_images_and_masks_come_back_as_they_were_written(data_folder):
    sources = read_sources(data_folder / "photos")
    assert {name: len(photographs) for name, photographs in sources.items()} == {"street": 24, "yard": 60}
    photograph = sources["yard"][3]
    assert photograph.name == "yard/00004" and photograph.image().shape == (60, 80, 3)
    np.testing.assert_array_equal(photograph.masks()[1], disc((60, 80), (20, 60), 9))
    np.testing.assert_array_equal(photograph.masks(np.array([1])), photograph.masks()[1:])


def test_alpha_of_a_cut_out_is_kept(data_folder):
    (stamp,) = read_sources(data_folder / "cutouts")["stamps"]
    alpha = np.asarray(stamp.rgba().getchannel("A"))
    np.testing.assert_array_equal(alpha > 127, disc((40, 30), (20, 15), 14))


def test_a_folder_without_tars_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must hold tars"):
        read_sources(tmp_path)


def test_held_out_photographs_are_few_fixed_and_of_series_of_their_own(data_folder):
    photographs = read_sources(data_folder / "photos")["yard"]
    training, held_out = split_held_out(photographs)
    assert len(held_out) == 10 and len(training) == 50
    assert not {photograph.series for photograph in training} & {photograph.series for photograph in held_out}
    again, _ = split_held_out(photographs[::-1])
    assert {photograph.name for photograph in again} == {photograph.name for photograph in training}


@pytest.mark.parametrize(
    ("original", "series"),
    [
        ("IMG_0718_scaled_1_png_jpg.rf.005f2a1d.jpg", "IMG_071"),
        ("left000029--2-", "left00002"),
        ("rose.jpg", "rose.jpg"),
        ("cup7.jpg", "cup7.jpg"),
    ],
)
def test_series_are_told_by_the_first_number(original, series):
    assert series_name(original) == series
