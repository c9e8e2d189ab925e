"""Files of a large image's objects, read back by other libraries."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from anymask.masks.rle import mask_to_rle, rle_to_coco
from anymask.tiling import outputs
from anymask.tiling.pieces import make_piece
from anymask.tiling.sources import LargeImage
from anymask.tiling.stitch import StitchedObject

SIZE_HW = (600, 700)
TRANSFORM = (0.5, 0.0, 500000.0, 0.0, -0.5, 5000000.0)
CRS = "EPSG:32632"


def ring_and_box():
    ring = np.zeros(SIZE_HW, bool)
    ring[100:560, 90:650] = True
    ring[200:300, 200:400] = False
    box = np.zeros(SIZE_HW, bool)
    box[150:180, 500:530] = True
    return [ring, box]


@pytest.fixture
def image():
    return LargeImage(np.zeros(SIZE_HW, np.uint8), transform=TRANSFORM, crs=CRS)


@pytest.fixture
def saved(tmp_path):
    objects = []
    for number, mask in enumerate(ring_and_box()):
        piece = make_piece(mask, (0, 0), is_cut=False, score=0.9 - number / 10, stability=0.8, point_xy=None)
        objects.append(StitchedObject(piece.box_xyxy, piece.rle, piece.area, piece.score, 0.8, ((1.5, 2.5),)))
    saved = outputs.save_objects(tmp_path / "work", objects)
    assert list(saved) == objects and list(saved.take([1])) == objects[1:]
    return saved


def test_coco(tmp_path, image, saved):
    outputs.write_coco(tmp_path / "o.json", saved, image, "scene.tif")
    document = json.loads((tmp_path / "o.json").read_text())
    assert document["images"] == [{"id": 1, "file_name": "scene.tif", "height": 600, "width": 700}]
    for annotation, mask in zip(document["annotations"], ring_and_box(), strict=True):
        assert annotation["area"] == mask.sum()
        assert annotation["segmentation"] == rle_to_coco(mask_to_rle(mask))
    assert document["annotations"][1]["bbox"] == [500, 150, 30, 30]


def test_geojson_and_geopackage_lie_on_the_map(tmp_path, image, saved):
    outputs.write_geojson(tmp_path / "o.geojson", saved, image)
    outputs.write_geopackage(tmp_path / "o.gpkg", saved, image)
    for name in ("o.geojson", "o.gpkg"):
        frame = geopandas.read_file(tmp_path / name)
        assert frame.crs.to_epsg() == 32632 and frame.geometry.is_valid.all()
        for shape, mask in zip(frame.geometry, ring_and_box(), strict=True):
            painted = rasterize([shape], out_shape=SIZE_HW, transform=rasterio.Affine(*TRANSFORM))
            np.testing.assert_array_equal(painted, mask)
            assert all(part.exterior.is_ccw for part in shape.geoms) or name == "o.gpkg"
        np.testing.assert_allclose(frame.area_map, frame.geometry.area)
        assert frame.area_map[1] == 900 * 0.25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.geojson", "o.gpkg", "work"]


def test_geojson_needs_a_code(tmp_path, saved):
    image = LargeImage(np.zeros(SIZE_HW, np.uint8), transform=TRANSFORM, crs='LOCAL_CS["mine"]')
    with pytest.raises(ValueError, match="must have a reference system with an EPSG code"):
        outputs.write_geojson(tmp_path / "o.geojson", saved, image)


def test_label_raster(tmp_path, image, saved):
    outputs.write_label_raster(tmp_path / "labels.tif", saved, image)
    ring, box = ring_and_box()
    with rasterio.open(tmp_path / "labels.tif") as raster:
        assert (raster.dtypes, raster.nodata, raster.crs.to_epsg()) == (("uint32",), 0, 32632)
        assert tuple(raster.transform)[:6] == TRANSFORM and raster.block_shapes == [(512, 512)]
        np.testing.assert_array_equal(raster.read(1), np.where(box, 2, ring))


def test_table(tmp_path, image, saved):
    outputs.write_table(tmp_path / "o.csv", saved, image)
    head, _, second = (tmp_path / "o.csv").read_text().splitlines()
    assert head == "id,left,top,right,bottom,area_pixels,area_map,predicted_iou,stability_score"
    assert second == "2,500,150,530,180,900,225.0,0.8,0.8"
