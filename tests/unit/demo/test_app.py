import hashlib
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.unit.demo.conftest import LIMITS, SIZE_HW, picture

import anymask.demo.app as app_module
from anymask.demo.app import Demo, make_app
from anymask.demo.pictures import Limits, Pictures
from anymask.masks.rle import mask_to_rle, rle_to_mask

POINT = {"points": [[30, 40]], "labels": [1]}


def predict(client, image, **question):
    return client.post(f"/api/images/{image}/predict", json=question)


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_page_and_its_files(client):
    assert "<title>page" in client.get("/").text
    assert client.get("/ort/run.wasm").headers["content-type"] == "application/wasm"
    assert client.get("/manifest.json").json() == {"engine": "server", "api": "api"}


def test_info(client):
    info = client.get("/api/info").json()
    assert {name: info[name] for name in ("model", "image_size", "mask_size", "multimask")} == {
        "model": "tiny",
        "image_size": 80,
        "mask_size": 40,
        "multimask": 3,
    }
    assert info["limits"] == {"bytes": LIMITS.bytes, "pixels": LIMITS.pixels}
    assert [image["name"] for image in info["images"]] == ["named.png"]


def test_an_upload_says_what_it_is(client):
    data = picture()
    said = client.post("/api/images", content=data).json()
    assert said.pop("seconds") >= 0
    assert said == {"id": hashlib.sha256(data).hexdigest(), "height": 70, "width": 104}


def test_masks_are_those_of_sam_predict(client, sam, uploaded):
    expected = sam.predict(pixels_of(picture()), points=[[30, 40], [80, 10]], choice="all")[0]
    for index, point in enumerate(([30, 40], [80, 10])):
        answer = predict(client, uploaded, points=[point]).json()
        wanted = [record for record in expected.records if record["prompt_index"] == index]
        wanted.sort(key=lambda record: -record["predicted_iou"])
        assert [mask["rle"] for mask in answer["masks"]] == [record["segmentation"] for record in wanted]
        assert [mask["area"] for mask in answer["masks"]] == [record["area"] for record in wanted]
        scores = [record["predicted_iou"] for record in wanted]
        assert [mask["score"] for mask in answer["masks"]] == pytest.approx(scores, abs=1e-4)
        for mask in answer["masks"]:
            rows, columns = np.nonzero(rle_to_mask(mask["rle"]))
            assert mask["bbox_xyxy"] == [columns.min(), rows.min(), columns.max(), rows.max()]


def test_boxes_background_points_and_the_single_mask(client, sam, uploaded):
    question = dict(points=[[50, 30], [4, 6]], labels=[1, 0], box=[10, 8, 90, 60], multimask=False)
    [mask] = predict(client, uploaded, **question).json()["masks"]
    [record] = sam.predict(
        pixels_of(picture()), points=[[[50, 30], [4, 6]]], labels=[[1, 0]], boxes=[[10, 8, 90, 60]],
        multimask_output=False,
    )[0].records  # fmt: skip
    assert mask["rle"] == record["segmentation"]


def test_a_token_corrects_the_mask_that_it_stands_for(client, sam, uploaded):
    first = predict(client, uploaded, **POINT).json()
    assert first["logits"] == first["masks"][0]["logits"]
    assert len({mask["logits"] for mask in first["masks"]}) == 3
    [corrected] = predict(
        client, uploaded, points=[[30, 40], [60, 50]], labels=[1, 0], mask=first["masks"][1]["logits"], multimask=False
    ).json()["masks"]
    [[*answers]] = [sam.predict(pixels_of(picture()), points=[[30, 40]], choice="all")]
    order = sorted(range(3), key=lambda index: -answers[0].records[index]["predicted_iou"])
    [record] = sam.predict(
        pixels_of(picture()), points=[[[30, 40], [60, 50]]], labels=[[1, 0]],
        masks=answers[0].low_res_logits[order[1]][None], multimask_output=False,
    )[0].records  # fmt: skip
    assert corrected["rle"] == record["segmentation"]


def test_a_token_is_of_one_picture(client, uploaded):
    other = client.post("/api/images", content=picture(1)).json()["id"]
    token = predict(client, uploaded, **POINT).json()["logits"]
    for wrong in (token[:-2] + ".9", "x", "", token.partition(".")[0], token[:-1] + "²"):
        assert predict(client, uploaded, **POINT, mask=wrong).status_code == 404
    assert predict(client, other, **POINT, mask=token).status_code == 404


def sampled(mask: np.ndarray) -> np.ndarray:
    """Of 70 x 104 pixels those in the middle of each of 18 x 26."""
    rows = ((np.arange(18) + 0.5) * 70 / 18).astype(int)
    columns = ((np.arange(26) + 0.5) * 104 / 26).astype(int)
    return mask[np.ix_(rows, columns)]


def test_everything_for_the_screen_is_sampled(client, uploaded):
    of_whole, of_screen = (
        json.loads(client.post(f"/api/images/{uploaded}/everything", json=body).text.splitlines()[-1])["masks"]
        for body in ({}, {"max_side": 26})
    )
    for large, small in zip(of_whole, of_screen, strict=True):
        assert small["rle"] == mask_to_rle(sampled(rle_to_mask(large["rle"])))


def test_masks_for_the_screen_are_made_at_its_size(client, sam, uploaded):
    whole = predict(client, uploaded, **POINT).json()["masks"]
    small = predict(client, uploaded, **POINT, max_side=26).json()["masks"]
    logits = sam.predict(pixels_of(picture()), points=[[30, 40]], choice="all")[0].low_res_logits
    [masks] = sam.processor.post_process_masks(logits[None], [[18, 26]], [[54, 80]])  # 70 x 104 in the model's 80
    for large, mask in zip(whole, small, strict=True):
        expected = masks[int(mask["logits"].partition(".")[2])].numpy()
        assert (rle_to_mask(mask["rle"]) != expected).mean() < 0.01
        assert mask["area"] == pytest.approx(expected.sum(), abs=4)
        assert mask["score"] == large["score"]
    assert predict(client, uploaded, **POINT, max_side=104).json()["masks"][0]["rle"] == whole[0]["rle"]


def test_named_pictures_are_shown_and_asked(client, named, tmp_path):
    [image] = client.get("/api/info").json()["images"]
    assert client.get(f"/api/images/{image['id']}").content == named.read_bytes()
    assert client.post(f"/api/images/{image['id']}/encode").json()["width"] == 104
    assert len(predict(client, image["id"], **POINT).json()["masks"]) == 3
    named.unlink()
    assert client.get(f"/api/images/{image['id']}").status_code == 404


def test_the_same_bytes_are_encoded_once_and_changed_ones_anew(client, demo, named):
    encoded, encode = [], demo.segmenter.encode
    demo.segmenter.encode = lambda image: encoded.append(image) or encode(image)
    [image] = [image["id"] for image in client.get("/api/info").json()["images"]]
    uploaded = client.post("/api/images", content=named.read_bytes()).json()["id"]
    same = predict(client, image, **POINT).json()["masks"]
    assert len(encoded) == 1 and uploaded != image
    assert [mask["rle"] for mask in predict(client, uploaded, **POINT).json()["masks"]] == [m["rle"] for m in same]
    named.write_bytes(picture(6, (64, 90)))
    assert predict(client, image, **POINT).json()["masks"][0]["rle"]["size"] == [64, 90]
    assert len(encoded) == 2
    named.unlink()
    assert predict(client, image, **POINT).status_code == 404


def test_pictures_are_shown_upright(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = picture(3, form="JPEG", exif=exif)
    said = client.post("/api/images", content=data).json()
    assert (said["height"], said["width"]) == SIZE_HW[::-1]
    shown = client.get(f"/api/images/{said['id']}")
    assert shown.headers["content-type"] == "image/jpeg"
    assert pixels_of(shown.content).shape == (104, 70, 3)


def test_everything_tells_how_far_it_is(client, sam, uploaded):
    lines = [json.loads(line) for line in client.post(f"/api/images/{uploaded}/everything").text.splitlines()]
    done = [line["done"] for line in lines[:-1]]  # in parts of at most 20, as many for each thread
    assert done == sorted(set(done)) and max(np.diff([0, *done])) <= 20 and done[-1] == 49
    assert {line["total"] for line in lines[:-1]} == {49}
    records = sam.predict(pixels_of(picture()))[0].records
    assert len(records) > 3
    assert [mask["rle"] for mask in lines[-1]["masks"]] == [record["segmentation"] for record in records]


def test_a_second_request_is_answered_while_everything_runs(demo, page):
    """The first batch of points waits until a prediction was answered, which so must have come in between."""
    with TestClient(make_app(demo, page=page), base_url="http://localhost") as client:
        image = client.post("/api/images", content=picture()).json()["id"]
        lines = threading.Thread(target=client.post, args=(f"/api/images/{image}/everything",))
        lines.start()
        assert predict(client, image, **POINT).status_code == 200
        lines.join()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "JSON"),
        (b"\xff\xfe", 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        (b"1" * 5000, 400, "JSON"),
        (b"[]", 422, "object"),
        (b"{}", 422, "none"),
        (b"", 422, "none"),
        (b'{"points": [[1, 2]], "lables": [1]}', 422, "did you mean 'labels'"),
        (b'{"points": [[1, NaN]]}', 422, "points"),
        (b'{"points": [[1, 1e999]]}', 422, "points"),
        (b'{"points": [[1, ' + b"9" * 400 + b"]]}", 422, "points"),
        (b'{"points": [[1, true]]}', 422, "points"),
        (b'{"points": [[1, 2, 3]]}', 422, "points"),
        (b'{"points": "ab"}', 422, "points"),
        (b'{"points": [[1, 2]], "labels": [true]}', 422, "labels"),
        (b'{"points": [[1, 2]], "labels": [2]}', 422, "labels"),
        (b'{"points": [[1, 2]], "labels": []}', 422, "labels"),
        (b'{"points": [[200, 2]]}', 422, "must lie in the image"),
        (b'{"box": [9, 9, 3, 3]}', 422, "x0 <= x1"),
        (b'{"box": {"x0": 1}}', 422, "box"),
        (b'{"box": [1, 2, 30, 40], "mask": 3}', 422, "mask"),
        (b'{"box": [1, 2, 30, 40], "multimask": 1}', 422, "multimask"),
        (b'{"box": [1, 2, 30, 40], "max_side": 0}', 422, "max_side"),
        (b'{"box": [1, 2, 30, 40], "max_side": 1.5}', 422, "max_side"),
        (json.dumps({"points": [[1, 2]] * 300}).encode(), 422, "256"),
        (b" " * (2**20 + 1), 413, "1048576 bytes"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(client, uploaded, body, status, says):
    answer = client.post(f"/api/images/{uploaded}/predict", content=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert set(answer.json()) == {"error"}


def chunks():
    for _ in range(1000):
        yield b"x" * 1000


def test_uploads_that_are_no_pictures_or_too_large(client):
    assert client.post("/api/images", content=b"hello").status_code == 415
    assert client.post("/api/images", content=b"").status_code == 415
    assert client.post("/api/images", content=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n").status_code == 415
    heights = io.BytesIO()  # metres above the sea, of which nothing says what is black
    Image.fromarray(np.full((9, 12), 2999.5, np.float32)).save(heights, "TIFF")
    refused = client.post("/api/images", content=heights.getvalue())
    assert refused.status_code == 415 and "must lie in [0, 1] or [0, 255]" in refused.json()["error"]
    assert client.post("/api/images", content=picture()[:-2000]).status_code == 415
    assert client.post("/api/images", content=bytes(LIMITS.bytes + 1)).status_code == 413
    assert client.post("/api/images", content=chunks()).status_code == 413
    bomb = picture(size_hw=(200, 201), form="GIF")
    assert len(bomb) < LIMITS.bytes
    answer = client.post("/api/images", content=bomb)
    assert (answer.status_code, "pixels" in answer.json()["error"]) == (413, True)


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/ort/..%2f..%2fsecret.txt", "/page/index.html"]
)
def test_no_path_of_a_request_is_opened(client, path):
    assert client.get(path).status_code == 404
    assert client.get(f"/api/images{path}").status_code == 404


def test_ids_are_no_paths(client, named):
    for image in (str(named), "%2fetc%2fpasswd", "0" * 64, "..%2f..%2fsecret.txt"):
        assert client.get(f"/api/images/{image}").status_code == 404
        assert client.post(f"/api/images/{image}/predict", json=POINT).status_code == 404


def test_what_is_not_there(client):
    assert client.get("/api/nothing").json()["error"].startswith("There is nothing")
    assert client.post("/api/info").status_code == 405


def test_uploads_go_when_there_is_no_room(sam, page):
    sizes = [len(picture(seed)) for seed in range(3)]
    demo = Demo(sam, "tiny", Pictures([], Limits(kept_uploads=sum(sizes) - 1, kept_embeddings=1)))
    with TestClient(make_app(demo, page=page), base_url="http://localhost") as client:
        ids = [client.post("/api/images", content=picture(seed)).json()["id"] for seed in range(3)]
        statuses = [predict(client, image, **POINT).status_code for image in ids]
    assert statuses == [404, 200, 200]


def test_an_error_of_the_server_says_nothing_of_it(demo, page):
    demo.segmenter.model = None
    with TestClient(make_app(demo, page=page), base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.post("/api/images", content=picture())
    assert (answer.status_code, answer.json()) == (500, {"error": "The server failed; its log says why."})


def test_openapi_names_every_address(demo, page):
    documented = json.loads((Path(app_module.__file__).parent / "openapi.json").read_text())["paths"]
    app = make_app(demo, page=page)
    routes = [route for route in app.routes if isinstance(route, Route)]
    served = {(route.path, method.lower()) for route in routes for method in route.methods - {"HEAD"}}
    of_page = {("/", "get"), ("/index.html", "get"), ("/ort/run.wasm", "get")}
    assert served - of_page == {(path, method) for path, methods in documented.items() for method in methods}
    demo.close()
