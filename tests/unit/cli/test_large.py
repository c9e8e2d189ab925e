"""Photos in tiles, with the packaged model."""

import csv
import json

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform_bounds
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask.cli import large
from anymask.cli.files import find_photos
from anymask.cli.main import app
from anymask.masks.rle import coco_to_rle, rle_area, rle_to_mask
from anymask.processing_sam import SamProcessor
from anymask.sam import SAM
from anymask.tiling.sources import no_place_is_needed

OPTIONS = ["--points-per-side", "4", "--pred-iou-thresh", "0.3", "--stability-score-thresh", "0.3"]


@pytest.fixture
def photo(tmp_path):
    """180 x 260 pixels, 0.0468 MP, with a bright square."""
    pixels = np.full((180, 260, 3), 40, dtype=np.uint8)
    pixels[30:90, 50:120] = (220, 180, 40)
    Image.fromarray(pixels).save(tmp_path / "huge.tif")
    return tmp_path / "huge.tif"


def test_a_photo_above_the_size_is_segmented_in_tiles(photo, tmp_path, capsys):
    arguments = ["segment", str(photo), "--output", str(tmp_path / "out"), "--tiles-above", "0.04", "--json", *OPTIONS]
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    said = capsys.readouterr()
    assert not ended.value.code
    assert len(said.err.splitlines()) == 1 and "huge.tif: 0.0468 megapixels, so it is segmented in tiles" in said.err
    report = json.loads(said.out)
    names = ["huge_coco.json", "huge_labels.tif", "huge_objects.csv", "huge_outlines.geojson"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names  # the folder of tiles is gone
    assert report["mask_count"] > 0

    annotations = json.loads((tmp_path / "out/huge_coco.json").read_text())["annotations"]
    with (tmp_path / "out/huge_objects.csv").open() as file:
        areas = [int(row["area_pixels"]) for row in csv.DictReader(file)]
    assert areas == [rle_area(coco_to_rle(annotation["segmentation"])) for annotation in annotations]
    with no_place_is_needed(), rasterio.open(tmp_path / "out/huge_labels.tif") as raster:
        labels = raster.read(1)
    assert labels.shape == (180, 260) and labels.max() == len(areas) == report["mask_count"]

    with pytest.raises(SystemExit):
        app([*arguments, "--resume"])
    assert json.loads(capsys.readouterr().out)["status"] == "skipped"


def test_prompts_on_a_large_photo_are_answered_in_windows(photo, tmp_path, capsys):
    arguments = ["segment", str(photo), "--output", str(tmp_path / "out"), "--tiles-above", "0.04"]
    with pytest.raises(SystemExit) as ended:
        app([*arguments, "--box", "48,28,122,92", "--point", "80,60 200,150,0"])
    said = capsys.readouterr()
    assert not ended.value.code and "huge.tif: 2 masks" in said.out
    assert "0.0468 megapixels, so prompts are answered in windows around them" in said.err
    annotations = json.loads((tmp_path / "out/huge_coco.json").read_text())["annotations"]
    truth = np.zeros((180, 260), bool)
    truth[30:90, 50:120] = True
    masks = [rle_to_mask(annotation["segmentation"]) for annotation in annotations]
    assert len(masks) == 2 and np.count_nonzero(masks[1] & truth) > 0.9 * np.count_nonzero(masks[1] | truth)
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize("asked", [OPTIONS, [*OPTIONS, "--resume"], ["--box", "48,28,122,92"]])
def test_a_folder_of_others_stays(photo, tmp_path, capsys, asked):
    own = tmp_path / "huge_tiles/0_0.png"  # where tiles of a slide often are
    own.parent.mkdir()
    own.write_text("a tile")
    with pytest.raises(SystemExit) as ended:
        app(["segment", str(photo), "--output", str(tmp_path), "--tiles-above", "0.04", *asked])
    assert ended.value.code and "huge_tiles must be free" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in own.parent.iterdir()] == ["0_0.png"] and own.read_text() == "a tile"


def test_prompts_are_longitude_and_latitude(tmp_path, capsys):
    pixels = np.full((3, 180, 260), 40, dtype=np.uint8)
    pixels[:, 30:90, 50:120] = 220
    place = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)
    profile = dict(driver="GTiff", height=180, width=260, count=3, dtype="uint8", crs="EPSG:32632", transform=place)
    with rasterio.open(tmp_path / "field.tif", "w", **profile) as raster:
        raster.write(pixels)
    corners = transform_bounds("EPSG:32632", "EPSG:4326", *(place @ (49, 91)), *(place @ (121, 29)))
    arguments = ["segment", str(tmp_path / "field.tif"), "--output", str(tmp_path / "out"), "--crs", "EPSG:4326"]
    with pytest.raises(SystemExit) as ended:
        app([*arguments, "--box", ",".join(map(str, corners))])
    assert not ended.value.code
    annotation = json.loads((tmp_path / "out/field_coco.json").read_text())["annotations"][0]
    mask = rle_to_mask(annotation["segmentation"])
    assert np.count_nonzero(mask & (pixels[0] > 128)) > 0.9 * np.count_nonzero(mask | (pixels[0] > 128))
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    assert ended.value.code == 2 and "--crs must come with --point or --box" in capsys.readouterr().err


def test_a_photo_below_the_size_is_not(photo, tmp_path, capsys):
    with pytest.raises(SystemExit):
        app(["segment", str(photo), "--output", str(tmp_path / "out"), "--tiles-above", "0.05", *OPTIONS])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["huge_masks.json", "huge_overlay.png"]
    assert "tiles" not in capsys.readouterr().err


def test_results_are_no_photos(photo, tmp_path, capsys):
    with pytest.raises(SystemExit):
        app(["segment", str(photo), "--output", str(tmp_path), "--tiles-above", "0.04", *OPTIONS])
    with pytest.raises(SystemExit):
        app(["segment", str(tmp_path), "--output", str(tmp_path), "--tiles-above", "0.04", "--resume", *OPTIONS])
    assert "huge.tif: finished before, skipped" in capsys.readouterr().out


def test_a_stopped_run_goes_on_and_ends_the_same(photo, tmp_path):
    [found] = find_photos([str(photo)])
    sam = SAM(tiny_model(), processor=SamProcessor(tiny_image_processor()))
    options = {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    how = dict(options=options, images={}, settings={}, tile=100, halo=20)

    def outputs(name):
        (tmp_path / name).mkdir()
        return large.large_paths(found, tmp_path / name)

    whole, stopped = outputs("whole"), outputs("stopped")
    large.segment_in_tiles(sam, found, whole, resume=False, **how)
    with pytest.raises(OSError):  # all tiles are done when results cannot be written
        large.segment_in_tiles(sam, found, {**stopped, "coco": tmp_path / "nowhere" / "x"}, resume=False, **how)
    assert json.loads(whole["coco"].read_text())["annotations"]
    tiles = sorted((tmp_path / "stopped" / "huge_tiles").glob("tile_*.json"))
    assert len(tiles) == 2 * 3
    tiles[3].unlink()
    made = tiles[0].stat().st_mtime_ns
    with pytest.raises(ValueError, match="made with another options"):
        large.segment_in_tiles(sam, found, stopped, resume=True, **{**how, "options": {"points_per_side": 3}})
    assert tiles[0].stat().st_mtime_ns == made
    large.segment_in_tiles(sam, found, stopped, resume=True, **how)
    for name, path in whole.items():
        assert stopped[name].read_bytes() == path.read_bytes()


def test_a_turned_photo_is_turned_back_and_files_of_other_kinds_are_left_alone(photo, tmp_path):
    with Image.open(photo) as opened:
        exif = Image.Exif()
        exif[0x0112] = 6
        opened.save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "broken.tif").write_bytes(b"no picture")
    assert large.open_large(str(tmp_path / "turned.jpg")).size_hw == (260, 180)
    photos = find_photos([str(tmp_path / name) for name in ("broken.tif", "huge.tif")] + ["https://example.org/a.jpg"])
    assert [photo.stem.name for photo in large.find_large(photos, 0.04)] == ["huge"]


def test_a_raster_of_many_bits_is_found_by_its_size(tmp_path):
    profile = dict(driver="GTiff", height=80, width=90, count=3, dtype="uint16")
    place = dict(crs="EPSG:32632", transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000))
    with rasterio.open(tmp_path / "s.tif", "w", **profile, **place) as raster:
        raster.write(np.ones((3, 80, 90), np.uint16))
    assert large.find_large(find_photos([str(tmp_path / "s.tif")]), 0.008) == []
    assert len(large.find_large(find_photos([str(tmp_path / "s.tif")]), 0.007)) == 1


def test_one_coco_file_for_all_is_refused(photo, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        app(["segment", str(photo), "--tiles-above", "0.04", "--coco-file", str(tmp_path / "all.json")])
    assert ended.value.code == 2 and "--coco-file must come without photos" in capsys.readouterr().err
