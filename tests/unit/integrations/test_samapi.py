import base64
import io

import numpy as np
import pytest
from PIL import Image
from tests.unit.demo.conftest import picture

from anymask.integrations.samapi import SamApi
from anymask.masks.polygons import Polygon, polygons_to_rle
from anymask.masks.rle import rle_to_mask

B64 = base64.b64encode(picture()).decode()
# As QuPath's extension sends it: its SAMPromptParameters, where what is not set is null.
RECORDED = {
    "type": "vit_l",
    "bbox": [10, 8, 90, 60],
    "point_coords": None,
    "point_labels": None,
    "b64img": B64,
    "b64mask": None,
    "multimask_output": False,
    "checkpoint_url": "https://nobody.example/model.pth",
}


def mask_of(feature) -> np.ndarray:
    geometry = feature["geometry"]
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    assert all(ring[0] == ring[-1] for polygon in polygons for ring in polygon)
    rings = [[np.array(ring[:-1]) for ring in polygon] for polygon in polygons]
    return rle_to_mask(polygons_to_rle([Polygon(outer, holes) for outer, *holes in rings], (70, 104)))


def png(pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_what_qupath_asks_first(serve):
    client = serve(SamApi)
    assert client.get("/sam/version/").headers["content-type"].startswith("text/plain")
    assert client.get("/sam/weights/?type=vit_b").json() == [{"type": "vit_b", "name": "tiny", "url": ""}]
    assert client.get("/sam/progress/").json() == {"message": None, "percent": -1}


def test_a_box_becomes_an_outline(serve, sam):
    [feature] = serve(SamApi).post("/sam/", json=RECORDED).json()
    [record] = sam.predict(picture(), boxes=[[10, 8, 90, 60]], multimask_output=False)[0].records
    assert (mask_of(feature) == rle_to_mask(record["segmentation"])).all()
    quality = pytest.approx(record["predicted_iou"])
    expected = {"object_idx": 0, "label": "object", "quality": quality, "sam_model": "vit_l"}
    assert feature["type"] == "Feature"
    assert feature["properties"] == expected


def test_a_box_may_end_a_pixel_beyond_the_picture(serve):
    client = serve(SamApi)
    beyond, within = (
        client.post("/sam/", json={**RECORDED, "bbox": box}) for box in ([10, 8, 105, 71], [10, 8, 104, 70])
    )
    assert beyond.status_code == 200 and beyond.json() == within.json()


def test_each_of_several_masks_has_its_own_quality(serve, sam):
    question = {**RECORDED, "bbox": None, "point_coords": [[30, 40], [70, 9]], "point_labels": [1, 0]}
    features = serve(SamApi).post("/sam/", json={**question, "multimask_output": True}).json()
    records = sam.predict(picture(), points=[[[30, 40], [70, 9]]], labels=[[1, 0]], choice="all")[0].records
    qualities = [feature["properties"]["quality"] for feature in features]
    assert qualities == pytest.approx([record["predicted_iou"] for record in records])
    for feature, record in zip(features, records, strict=True):
        assert (mask_of(feature) == rle_to_mask(record["segmentation"])).all()


def test_a_mask_may_go_in(serve, sam):
    mask = np.zeros((70, 104), dtype=np.uint8)
    mask[20:50, 30:70] = 255
    [feature] = serve(SamApi).post("/sam/", json={**RECORDED, "b64mask": png(mask)}).json()
    question = dict(boxes=[[10, 8, 90, 60]], masks=[mask > 0], multimask_output=False)
    [record] = sam.predict(picture(), **question)[0].records
    assert (mask_of(feature) == rle_to_mask(record["segmentation"])).all()


def test_everything(serve, sam):
    question = {"type": "vit_h", "b64img": B64, "points_per_side": 4, "box_nms_thresh": 1.0, "pred_iou_thresh": -9.0}
    question |= {"stability_score_thresh": 0.1, "crop_n_layers": 0, "include_image_edge": False, "output_type": "Multi"}
    features = serve(SamApi).post("/sam/automask/", json=question).json()
    options = dict(points_per_side=4, box_nms_thresh=1.0, pred_iou_thresh=-9.0, stability_score_thresh=0.1)
    records = sam.predict(picture(), **options)[0].records
    assert [feature["properties"]["quality"] for feature in features] == [
        pytest.approx(record["predicted_iou"]) for record in records
    ]
    assert len(records) > 1


@pytest.mark.parametrize(
    ("path", "wrong", "status"),
    [
        ("/sam/", {"b64img": "####"}, 422),
        ("/sam/", {"b64img": None}, 422),
        ("/sam/", {"b64img": base64.b64encode(b"hello").decode()}, 415),
        ("/sam/", {"bbox": [1, 2, 3]}, 422),
        ("/sam/", {"bbox": [200, 8, 300, 60]}, 422),
        ("/sam/", {"bbox": None}, 422),
        ("/sam/", {"point_coords": [[1, "2"]]}, 422),
        ("/sam/", {"point_coords": [[1, 2]], "point_labels": [5]}, 422),
        ("/sam/", {"b64mask": png(np.zeros((3, 4), dtype=np.uint8))}, 422),
        ("/sam/automask/", {"points_per_side": 1000}, 422),
        ("/sam/automask/", {"points_per_side": "7"}, 422),
        ("/sam/automask/", {"crop_n_layers": 2}, 422),
        ("/sam/automask/", {"box_nms_thresh": 7}, 422),
    ],
)
def test_what_cannot_be(serve, path, wrong, status):
    answer = serve(SamApi).post(path, json={**RECORDED, **wrong})
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
