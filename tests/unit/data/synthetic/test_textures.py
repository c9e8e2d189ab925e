import sys

import numpy as np
import pytest
from PIL import Image

from anymask.data.synthetic import textures
from anymask.data.synthetic.textures import (
    HELD_OUT_PHOTOS,
    TILE,
    TRAINING_PHOTOS,
    TextureBank,
    colour_ramp,
    natural_colour,
)


def test_held_out_photos_are_not_among_the_training_photos():
    assert {"astronaut.png", "chelsea.png", "coffee.png", "horse.png", "rocket.jpg"} == set(HELD_OUT_PHOTOS)
    assert not {photo.file_name for photo in TRAINING_PHOTOS} & set(HELD_OUT_PHOTOS)


def test_every_training_photo_is_free_and_credited():
    for photo in TRAINING_PHOTOS:
        assert photo.licence in ("CC0", "public domain")
        assert photo.credit


def test_training_photos_load_in_the_order_of_the_table():
    photos = textures.load_training_photos()
    assert len(photos) == len(TRAINING_PHOTOS)
    assert all(photo.dtype == np.uint8 for photo in photos)
    assert photos[0].shape == (512, 512)  # brick.png


def test_missing_scikit_image_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"pip install anymask\[train\]"):
        textures.load_training_photos()


@pytest.mark.parametrize("size_hw", [(2, 3), (40, 70), (300, 200), (700, 900)])
def test_surfaces_have_the_asked_size(size_hw):
    rng = np.random.default_rng(0)
    bank = TextureBank(())
    for _ in range(4):
        surface = bank.surface(rng, size_hw, natural_colour(rng))
        assert surface.mode == "RGB" and (surface.height, surface.width) == size_hw


def test_a_crop_never_reaches_outside_its_tile():
    bank = TextureBank(())
    bank.tiles = bank.photo_tiles = (Image.new("L", (TILE, TILE), 200),)
    rng = np.random.default_rng(1)
    for size_hw in ((50, 60), (20, 250), (256, 256)):
        assert all(bank.crop(rng, size_hw).getextrema() == (200, 200) for _ in range(40))


def test_colours_and_ramps_stay_in_range():
    rng = np.random.default_rng(2)
    for _ in range(200):
        colour = natural_colour(rng)
        assert colour.shape == (3,) and colour.min() >= 0 and colour.max() <= 255
        ramp = colour_ramp(rng, colour)
        assert ramp.shape == (256, 3) and ramp.dtype == np.uint8
