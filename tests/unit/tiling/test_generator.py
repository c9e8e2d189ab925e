"""Segment everything in tiles, with a generator that finds every connected region of one colour exactly."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
from scipy import ndimage

from anymask.masks.rle import mask_to_rle, rle_to_mask
from anymask.tiling import stitch
from anymask.tiling.generator import TiledGenerator
from anymask.tiling.grid import make_grid
from anymask.tiling.pieces import PieceStore
from anymask.tiling.sources import LargeImage


class ColourRegions:
    """Finds each 4-connected region of one value above 0."""

    def __init__(self):
        self.windows = 0

    def generate(self, image, *, output_mode):
        assert output_mode == "uncompressed_rle"
        self.windows += 1
        records = []
        for value in np.unique(image[image > 0]):
            labels, count = ndimage.label(image == value)
            for number in range(1, count + 1):
                mask = labels == number
                y, x = np.argwhere(mask)[0]
                records.append(
                    {
                        "segmentation": mask_to_rle(mask),
                        "predicted_iou": 0.9,
                        "stability_score": 0.95,
                        "point_coords": [[float(x), float(y)]],
                    }
                )
        return records


def random_scene(size_hw=(330, 470), count=60, seed=0):
    """Ellipses up to 40 pixels wide, each with a colour of its own, and one long band across everything."""
    generator = np.random.default_rng(seed)
    image = np.zeros(size_hw, np.uint16)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    for value in range(1, count + 1):
        centre_x, centre_y = generator.uniform(0, size_hw[1]), generator.uniform(0, size_hw[0])
        radius_x, radius_y = generator.uniform(3, 20, 2)
        image[((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 <= 1] = value
    image[150:162, 10:460] = 1000
    image[40:300, 222:231] = 1000
    return image


def dense(found, size_hw):
    mask = np.zeros(size_hw, bool)
    left, top, right, bottom = found.box_xyxy
    mask[top:bottom, left:right] = rle_to_mask(found.rle)
    return mask


def regions(image):
    """The exact answer, as a set of masks' bytes."""
    return {
        rle_to_mask(record["segmentation"]).tobytes()
        for record in ColourRegions().generate(image, output_mode="uncompressed_rle")
    }


@pytest.mark.parametrize(("tile", "halo"), [(97, 50), (128, 64), (60, 45)])
def test_tiles_give_what_the_whole_gives(tile, halo):
    image = random_scene()
    found = list(TiledGenerator(ColourRegions(), tile=tile, halo=halo, full_image=False).generate(image))
    masks = [dense(one, image.shape) for one in found]
    assert {mask.tobytes() for mask in masks} == regions(image)
    assert len(masks) == len(regions(image))  # each once
    for one, mask in zip(found, masks, strict=True):
        assert one.area == mask.sum() and one.score == 0.9 and len(one.points_xy) >= 1


def test_the_start_of_the_grid_changes_nothing():
    image = random_scene(seed=3)
    tiled = TiledGenerator(ColourRegions(), tile=80, halo=50, full_image=False)
    expected = {dense(one, image.shape).tobytes() for one in tiled.generate(image)}
    shifted = np.pad(image, ((23, 0), (37, 0)))
    of_shifted = {dense(one, shifted.shape)[23:, 37:].tobytes() for one in tiled.generate(shifted)}
    assert of_shifted == expected


def test_stitching_does_not_depend_on_the_order(tmp_path):
    image = random_scene(seed=5)
    tiled = TiledGenerator(ColourRegions(), tile=80, halo=50, full_image=False)
    expected = [(one.box_xyxy, one.rle) for one in tiled.generate(image, work_folder=tmp_path)]
    tiles = make_grid(image.shape, 80, 50)
    store = PieceStore(tmp_path, tiled._settings(LargeImage(image), {}))
    for seed in range(3):
        random.Random(seed).shuffle(tiles)
        assert [(one.box_xyxy, one.rle) for one in stitch.stitch_objects(tiles, store)] == expected


def test_a_chain_of_pieces_is_one_object():
    image = np.zeros((400, 500), np.uint8)
    image[20:380, 30:470] = 7
    generator = ColourRegions()
    found = list(TiledGenerator(generator, tile=100, halo=20, full_image=True).generate(image))
    assert len(found) == 1  # the chain of pieces, which the whole image only confirms
    assert found[0].area == 360 * 440 and found[0].box_xyxy == (30, 20, 470, 380)


class OnlyInTheWhole(ColourRegions):
    """Sees nothing in windows of more than 64 pixels."""

    def generate(self, image, *, output_mode):
        return super().generate(image, output_mode=output_mode) if max(image.shape) <= 64 else []


def test_large_objects_are_enlarged():
    image = np.zeros((200, 250), np.uint8)
    image[40:160, 52:200] = 9
    (found,) = TiledGenerator(OnlyInTheWhole(), tile=63, halo=10, full_image=True).generate(image)
    assert found.box_xyxy == (52, 40, 200, 160) and found.area == 120 * 148


def test_nodata_is_never_segmented():
    image = random_scene()
    image[100:200, 100:200] = 7
    generator = ColourRegions()
    found = list(TiledGenerator(generator, tile=100, halo=50, full_image=True).generate(LargeImage(image, nodata=7)))
    assert not any((dense(one, image.shape) & (image == 7)).any() for one in found)
    image = np.full((200, 250), 9, np.uint8)
    image[:41, :] = image[:, :51] = image[90, 100] = 7  # not at the edges of squares of 4 pixels
    (found,) = TiledGenerator(OnlyInTheWhole(), tile=63, halo=10).generate(LargeImage(image, nodata=7))
    assert found.area > 0.9 * (image == 9).sum() and not (dense(found, image.shape) & (image == 7)).any()
    empty = LargeImage(np.full((300, 200), 7, np.uint8), nodata=7)
    generator = ColourRegions()
    assert list(TiledGenerator(generator, tile=100, halo=20).generate(empty)) == [] and generator.windows == 0


def test_a_stopped_run_goes_on_with_the_tiles_that_are_missing(tmp_path):
    image = random_scene(seed=2)

    class Stops(ColourRegions):
        def generate(self, image, *, output_mode):
            if self.windows == 7:
                raise KeyboardInterrupt
            return super().generate(image, output_mode=output_mode)

    first, second = Stops(), ColourRegions()
    with pytest.raises(KeyboardInterrupt):
        list(TiledGenerator(first, tile=90, halo=50).generate(image, work_folder=tmp_path))
    resumed = list(TiledGenerator(second, tile=90, halo=50).generate(image, work_folder=tmp_path))
    undisturbed = list(TiledGenerator(ColourRegions(), tile=90, halo=50).generate(image))
    assert resumed == undisturbed
    assert second.windows == len(make_grid(image.shape, 90, 50)) - 7 + 1  # and the whole image
    with pytest.raises(ValueError, match="was made with another tile; pass another folder"):
        list(TiledGenerator(second, tile=91, halo=50).generate(image, work_folder=tmp_path))
    masked = LargeImage(image, valid=np.ones(image.shape[:2], bool))
    with pytest.raises(ValueError, match="was made with another valid; pass another folder"):
        list(TiledGenerator(second, tile=90, halo=50).generate(masked, work_folder=tmp_path))


def test_tiles_of_the_same_image_with_another_mask_are_refused(tmp_path):
    image = random_scene(seed=2)
    for refused, row in ((False, 5), (False, 5), (True, 9)):
        valid = np.arange(image.shape[0])[:, None] > np.full(image.shape[1], row)
        tiles = TiledGenerator(ColourRegions(), tile=90, halo=50)
        with pytest.raises(ValueError, match="another pixels") if refused else nullcontext():
            list(tiles.generate(LargeImage(image, valid=valid), work_folder=tmp_path))
