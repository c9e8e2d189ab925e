"""Which files belong together."""

from pathlib import Path

import pytest

from anymask.data.readers.files import pair_by_stem, stem_of


@pytest.mark.parametrize(
    ("other", "belongs"),
    [
        ("masks/cup.png", "images/cup.jpg"),
        ("masks/cup_mask.png", "images/cup.jpg"),
        ("masks/cup-gt.png", "images/cup.jpg"),
        ("masks/cup_003.png", "images/cup.jpg"),
        ("masks/cup_mask_2.png", "images/cup.jpg"),
        ("masks/cup/left.png", "images/cup.jpg"),
        ("masks/cup_1_mask.png", "images/cup_1.jpg"),
        ("masks/cup_1.png", "images/cup_1.jpg"),
        ("masks/cupboard.png", None),
        ("masks/cup_saucer.png", None),
        ("masks/other.png", None),
    ],
)
def test_stems(other, belongs):
    images = [Path("images/cup.jpg"), Path("images/cup_1.jpg"), Path("images/plate.jpg")]
    pairs = pair_by_stem(images, [Path(other)])
    assert [str(image) for image, found in pairs.items() if found] == ([belongs] if belongs else [])


def test_same_stem_in_several_folders():
    images = [Path("images/train/a.jpg"), Path("images/val/a.jpg")]
    pairs = pair_by_stem(images, [Path("labels/val/a.txt"), Path("labels/train/a.txt")])
    assert {str(image): [str(path) for path in found] for image, found in pairs.items()} == {
        "images/train/a.jpg": ["labels/train/a.txt"],
        "images/val/a.jpg": ["labels/val/a.txt"],
    }


def test_an_image_is_not_its_own_mask():
    image, mask = Path("a.png"), Path("a_mask.png")
    assert pair_by_stem([image, mask], [image, mask])[image] == [mask]


def test_two_endings():
    assert stem_of(Path("x/liver_1.nii.gz")) == "liver_1" and stem_of(Path("a.b.png")) == "a.b"
