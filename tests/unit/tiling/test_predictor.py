import geopandas
import numpy as np
import pytest
from shapely.geometry import Point
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask.masks.rle import rle_to_mask
from anymask.processing_sam import SamProcessor
from anymask.prompts.prompt import Prompt
from anymask.sam import SAM
from anymask.tiling.predictor import LargeImagePredictor
from anymask.tiling.sources import LargeImage

SIZE_HW = (300, 410)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
TRANSFORM = (2.0, 0.0, 500000.0, 0.0, -2.0, 5000000.0)


@pytest.fixture
def sam():
    return SAM(tiny_model(), processor=SamProcessor(tiny_image_processor()))


def dense(found):
    mask = np.zeros(SIZE_HW, bool)
    left, top, right, bottom = found.box_xyxy
    mask[top:bottom, left:right] = rle_to_mask(found.rle)
    return mask


def test_answers_are_those_of_the_window(sam):
    predictor = LargeImagePredictor(sam, PIXELS, window=64, windows_kept=2)
    (found,) = predictor.predict(points=[[196, 100]])
    left, top, right, bottom = predictor._window(np.array([196, 100, 196, 100.0]))
    assert (right - left, bottom - top) == (64, 64) and left < 196 < right and top < 100 < bottom
    (record,) = sam.predict(PIXELS[top:bottom, left:right], points=[196 - left, 100 - top])[0]
    expected = np.zeros(SIZE_HW, bool)
    expected[top:bottom, left:right] = rle_to_mask(record["segmentation"])
    np.testing.assert_array_equal(dense(found), expected)
    assert found.area == expected.sum() and found.points_xy == ((196.0, 100.0),)


def test_no_answer_holds_what_shows_nothing(sam):
    valid = np.ones(SIZE_HW, bool)
    valid[:, 190:196] = False
    (whole,) = LargeImagePredictor(sam, np.where(valid[..., None], PIXELS, 0), window=64).predict(points=[[200, 100]])
    predictor = LargeImagePredictor(sam, LargeImage(PIXELS, valid=valid), window=64)
    (found,) = predictor.predict(points=[[200, 100]])
    np.testing.assert_array_equal(dense(found), dense(whole) & valid)


def test_a_box_gets_a_window_twice_its_size_and_neighbours_share_one(sam):
    predictor = LargeImagePredictor(sam, PIXELS, window=64, windows_kept=2)
    left, _, right, _ = predictor._window(np.array([104, 50, 204, 90.0]))
    assert right - left == 256 and left <= 54 and right >= 254
    encoded = []
    sam.model.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    predictor.predict(points=[[196, 100], [194, 98]])
    assert len(encoded) == 1
    predictor.predict(boxes=[[104, 50, 204, 90], [0, 0, 30, 30]])
    predictor.predict(points=[[196, 100]])
    assert len(encoded) == 4  # of the three windows the first went, and came again


def test_places_on_the_map(sam):
    image = LargeImage(PIXELS, transform=TRANSFORM, crs="EPSG:32632")
    predictor = LargeImagePredictor(sam, image, window=64)
    (expected,) = predictor.predict(points=[[196, 100]])
    x, y = 500000 + 2 * 196, 5000000 - 2 * 100
    (on_map,) = predictor.predict(points=[[x, y]], crs="EPSG:32632")
    points = [Point(x, y), Point(x + 8, y - 6)]  # of one alone, geopandas makes NumPy warn
    frame = geopandas.GeoDataFrame(geometry=points, crs="EPSG:32632").to_crs("EPSG:4326")
    of_frame, _ = predictor.predict(points=frame)
    for found in (on_map, of_frame):  # degrees and back are off by some 1e-6 pixels
        assert (dense(found) != dense(expected)).mean() < 1e-3
    (box,) = predictor.predict(boxes=[[x, y - 40, x + 60, y]], crs="EPSG:32632")
    (of_pixels,) = predictor.predict(boxes=[[196, 100, 226, 120]])
    assert (dense(box) != dense(of_pixels)).mean() < 1e-3


def test_several_points_of_one_object_share_its_window(sam):
    predictor = LargeImagePredictor(sam, PIXELS, window=64)
    prompt = Prompt(((150, 100), (190, 112)), (1, 0), (140, 90, 200, 120))
    (found,) = predictor.predict(prompts=[prompt], min_mask_region_area=5)
    left, top, right, bottom = predictor._window(np.array([140, 90, 200, 120.0]))
    assert right - left == 128
    asked = Prompt(
        ((150 - left, 100 - top), (190 - left, 112 - top)), (1, 0), (140 - left, 90 - top, 200 - left, 120 - top)
    )
    [[record]] = sam.predict(PIXELS[top:bottom, left:right], prompts=[asked], min_mask_region_area=5)
    np.testing.assert_array_equal(dense(found)[top:bottom, left:right], rle_to_mask(record["segmentation"]))
    assert found.points_xy == ((150, 100), (190, 112))
    image = LargeImage(PIXELS, transform=TRANSFORM, crs="EPSG:32632")
    on_map = Prompt(((500300, 4999800), (500380, 4999776)), (1, 0), (500280, 4999760, 500400, 4999820))
    (same,) = LargeImagePredictor(sam, image, window=64).predict(
        prompts=[on_map], crs="EPSG:32632", min_mask_region_area=5
    )
    np.testing.assert_array_equal(dense(same), dense(found))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (dict(), "Either points, boxes or prompts must be given, got none"),
        (dict(points=[[1, 2]], boxes=[[1, 2, 3, 4]]), "got points and boxes"),
        (dict(points=[[411, 2]]), r"must lie in the image of 410 x 300 pixels, got \[411.0, 2.0"),
        (dict(points=[[1, 2]], labels=[1, 0]), "one for each of 1 points, got 2"),
        (dict(prompts=[Prompt(mask=np.ones(SIZE_HW))]), "must be points and boxes; masks have no window"),
        (dict(points=[[1, 2]], crs="EPSG:4326"), "need an image with a place on earth"),
    ],
)
def test_prompts_that_cannot_be(sam, prompts, message):
    with pytest.raises(ValueError, match=message):
        LargeImagePredictor(sam, PIXELS, window=64).predict(**prompts)
