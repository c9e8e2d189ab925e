from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
import tifffile
import tiffslide
import zarr

from anymask.tiling.sources import LargeImage, large_image, map_xy, open_raster, pixel_xy, window_around

TRANSFORM = (0.5, 0.0, 500000.0, 0.0, -0.5, 5000000.0)
CRS = "EPSG:32632"


def test_rasters_are_read_in_windows(tmp_path):
    bands = np.random.default_rng(0).integers(1, 4000, (5, 70, 90)).astype(np.uint16)
    bands[:, 10:20, 30:50] = 0
    profile = dict(driver="GTiff", height=70, width=90, count=5, dtype="uint16", nodata=0)
    with rasterio.open(tmp_path / "s.tif", "w", crs=CRS, transform=rasterio.Affine(*TRANSFORM), **profile) as raster:
        raster.write(bands)
    with pytest.raises(ValueError, match=r"5 bands must come with `bands`"):
        open_raster(tmp_path / "s.tif")
    image = open_raster(tmp_path / "s.tif", bands=(3, 2, 1))
    assert (image.size_hw, image.crs, image.transform) == ((70, 90), CRS, TRANSFORM)
    pixels, is_valid = image.read((20, 5, 60, 33))
    expected = np.moveaxis(bands[[3, 2, 1], 5:33, 20:60], 0, -1)
    assert not is_valid[5:15, 10:30].any() and is_valid.sum() == 28 * 40 - 200
    np.testing.assert_array_equal(pixels[is_valid], expected[is_valid])
    assert (pixels[~is_valid] == expected[is_valid].min()).all()
    small, valid, factor = image.read_small(40, 25)
    assert factor == 3 and small.shape == (24, 30, 3)
    np.testing.assert_array_equal(small[2, 4], bands[[3, 2, 1], 6:9, 12:15].mean(axis=(1, 2)).astype(np.uint16))
    assert not valid[4:6, 10:16].any()
    with pytest.raises(OSError, match="must be a raster that rasterio reads"):
        open_raster(__file__)


def test_the_map_and_back():
    transform = (0.5, 0.1, 500000.0, 0.2, -0.5, 5000000.0)
    pixels = np.array([[3.0, 4.0], [70.5, 12.25]])
    x, y = map_xy(pixels, transform)
    expected = [rasterio.Affine(*transform) @ tuple(pixel) for pixel in pixels]
    np.testing.assert_allclose(np.stack([x, y], axis=1), expected)
    np.testing.assert_allclose(pixel_xy(np.stack([x, y], axis=1), transform), pixels, atol=1e-6)


def test_windows_stay_in_the_image():
    assert window_around((50, 60, 70, 80), 40, (200, 300)) == (40, 50, 80, 90)
    assert window_around((2, 195, 4, 199), 40, (200, 300)) == (0, 160, 40, 200)
    assert window_around((2, 195, 4, 199), 400, (200, 300)) == (0, 0, 300, 200)


@pytest.mark.parametrize(
    ("shape", "bands", "message"),
    [
        ((4,), None, r"must have shape \(height, width\) or \(height, width, bands\), got \(4,\)"),
        ((4, 5, 6), None, "6 bands must come with `bands`"),
        ((4, 5, 6), (0, 1, 6), r"must be of the image's 6 bands, counted from 0, got \(0, 1, 6\)"),
    ],
)
def test_images_that_cannot_be(shape, bands, message):
    with pytest.raises(ValueError, match=message):
        LargeImage(np.zeros(shape, np.uint8), bands=bands)
    with pytest.raises(ValueError, match=r"`valid` must have the image's size \(4, 5\), got \(5, 4\)"):
        LargeImage(np.zeros((4, 5), np.uint8), valid=np.ones((5, 4), bool))


def test_memory_maps_and_nan(tmp_path):
    pixels = np.arange(35.0).reshape(5, 7)
    pixels[2, 3] = np.nan
    np.save(tmp_path / "a.npy", pixels)
    image = LargeImage(np.load(tmp_path / "a.npy", mmap_mode="r"), nodata=float("nan"))
    read, is_valid = image.read((2, 1, 6, 4))
    assert np.argwhere(~is_valid).tolist() == [[1, 1]]
    np.testing.assert_array_equal(read, np.nan_to_num(pixels[1:4, 2:6], nan=9.0))  # 9 is the lowest there


@pytest.mark.parametrize("nodata", [np.nan, -9999.0])
def test_what_is_no_colour_in_a_single_band_is_replaced_there(nodata):
    pixels = np.random.default_rng(0).uniform(5, 200, (20, 30, 4)).astype(np.float32)
    pixels[2:6] = pixels[10, 7, 1] = pixels[12, 8, :3] = nodata  # whole pixels, a band, and the three that are read
    shown = pixels[..., :3]
    read, is_valid = LargeImage(pixels, nodata=nodata, bands=(0, 1, 2)).read((0, 0, 30, 20))
    assert np.flatnonzero(~is_valid.all(axis=1)).tolist() == [2, 3, 4, 5]
    known = (shown != nodata) & ~np.isnan(shown)
    np.testing.assert_array_equal(read, np.where(known, shown, shown[known].min()))


def test_a_square_shows_something_where_all_of_its_pixels_do():
    pixels = np.arange(100, 163, dtype=np.int16).reshape(7, 9)
    pixels[3, 4] = -9999
    small, is_valid, factor = LargeImage(pixels, nodata=-9999).read_small(3, 6)
    assert factor == 3 and np.argwhere(~is_valid).tolist() == [[1, 1]]
    assert small[1, 1] == small[0, 0] == pixels[:3, :3].mean()


@pytest.mark.parametrize("how", ["alpha", "alpha and nodata", "mask", "grey and alpha"])
def test_alpha_bands_and_masks_say_where_there_is_nothing(tmp_path, how):
    chance = np.random.default_rng(0)
    shown = np.ones((40, 50), bool)
    shown[5:12, 20:31] = False
    n_colours = 1 if how == "grey and alpha" else 3
    colours = chance.integers(1, 256, (n_colours, 40, 50)).astype(np.uint8)
    with_alpha = how != "mask"
    profile = dict(driver="GTiff", height=40, width=50, count=n_colours + with_alpha, dtype="uint8")
    profile |= dict(alpha="yes") if with_alpha else {}
    if how == "alpha and nodata":  # which GDAL's own mask takes instead of alpha
        profile["nodata"] = 0
        colours[:, 15:18, 12:14] = 0  # an opaque black is a colour
    place = dict(crs=CRS, transform=rasterio.Affine(*TRANSFORM))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "w", **profile, **place) as file:
        file.write(np.concatenate([colours, 255 * shown[None]]) if with_alpha else colours)
        if not with_alpha:
            file.write_mask(shown)
    pixels, is_valid = open_raster(tmp_path / "a.tif").read((10, 2, 45, 33))
    np.testing.assert_array_equal(is_valid, shown[2:33, 10:45])
    expected = np.moveaxis(colours, 0, -1)[2:33, 10:45] if n_colours == 3 else colours[0, 2:33, 10:45, None]
    np.testing.assert_array_equal(pixels[is_valid][:, :3], np.broadcast_to(expected, (31, 35, 3))[is_valid])
    if how == "alpha":  # one that is asked for by number is a colour
        assert open_raster(tmp_path / "a.tif", bands=(3, 1, 0)).read((10, 2, 45, 33))[1] is None


SCENE = np.random.default_rng(1).integers(1, 255, (150, 190, 3), dtype=np.uint8)


@contextmanager
def memmap(folder):
    np.save(folder / "scene.npy", SCENE)
    yield np.load(folder / "scene.npy", mmap_mode="r")


@contextmanager
def raster(folder):
    profile = dict(driver="GTiff", height=150, width=190, count=3, dtype="uint8", tiled=True, blockxsize=64)
    place = dict(crs=CRS, transform=rasterio.Affine(*TRANSFORM))
    with rasterio.open(folder / "scene.tif", "w", **profile, blockysize=64, **place) as written:
        written.write(np.moveaxis(SCENE, -1, 0))
    yield open_raster(folder / "scene.tif")


@contextmanager
def zarr_array(folder):
    array = zarr.create_array(store=folder / "scene.zarr", shape=SCENE.shape, chunks=(64, 64, 3), dtype="uint8")
    array[:] = SCENE
    yield zarr.open_array(folder / "scene.zarr", mode="r")


def pyramid(folder):
    with tifffile.TiffWriter(folder / "slide.tif") as written:
        written.write(SCENE, tile=(64, 64), photometric="rgb", subifds=1)
        written.write(SCENE[::2, ::2], tile=(64, 64), photometric="rgb", subfiletype=1)
    return folder / "slide.tif"


@contextmanager
def tifffile_as_zarr(folder):
    with tifffile.imread(pyramid(folder), aszarr=True) as store:
        yield zarr.open_group(store, mode="r")["0"]


@contextmanager
def tiffslide_level(folder):
    with tiffslide.TiffSlide(pyramid(folder)) as slide:
        yield slide.zarr_group["0"]


@pytest.mark.parametrize("source", [memmap, raster, zarr_array, tifffile_as_zarr, tiffslide_level])
def test_everything_with_a_shape_and_slices_is_read_alike(source, tmp_path):
    with source(tmp_path) as opened:
        image = large_image(opened)
        assert image.size_hw == (150, 190)
        pixels, is_valid = image.read((60, 30, 131, 99))
        np.testing.assert_array_equal(pixels, SCENE[30:99, 60:131])
        assert is_valid is None
        small, _, factor = image.read_small(95, 70)
        assert factor == 2
        np.testing.assert_array_equal(small, SCENE.reshape(75, 2, 95, 2, 3).mean(axis=(1, 3)).astype(np.uint8))
