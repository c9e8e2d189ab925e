import base64
import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from tests.unit.demo.conftest import picture

from anymask.integrations.label_studio import LabelStudio, brush_rle
from anymask.masks.rle import mask_to_rle
from anymask.prompts.prompt import Prompt

CONFIG = """<View><!-- a comment -->
  <Image name="image" value="$photo"/>
  <BrushLabels name="brush" toName="image"><Label value="cat"/><Label value="dog"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></KeyPointLabels>
</View>"""
DATA_URI = "data:image/png;base64," + base64.b64encode(picture()).decode()
CLICK = {
    "type": "keypointlabels",
    "from_name": "point",
    "to_name": "image",
    "is_positive": True,
    "original_width": 104,
    "original_height": 70,
    "value": {"x": 30 / 1.04, "y": 40 / 0.70, "width": 0.3, "keypointlabels": ["dog"]},
}
BOX = {
    "type": "rectanglelabels",
    "value": {"x": 10, "y": 20, "width": 50, "height": 60, "rotation": 0, "rectanglelabels": ["cat"]},
}


def body(context=(CLICK,), image=DATA_URI, config=CONFIG, **more):
    tasks = [{"id": 1, "data": {"photo": image}}]
    return {"tasks": tasks, "label_config": config, "params": {"context": {"result": list(context)}}, **more}


def decode(stream: list[int]) -> np.ndarray:
    """The format's decoder, one value at a time."""
    bits = iter(np.unpackbits(np.array(stream, dtype=np.uint8)).tolist())

    def read(count):
        return functools.reduce(lambda number, _: 2 * number + next(bits), range(count), 0)

    total, word, sizes = read(32), read(5) + 1, [read(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        is_run, count = read(1), read(sizes[read(2)]) + 1
        values += [read(word)] * count if is_run else [read(word) for _ in range(count)]
    return np.array(values)


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 7), (200, 90)])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_brush_masks_are_read_back(size_hw, share):
    mask = np.random.default_rng(0).random(size_hw) < share
    stream = brush_rle(mask_to_rle(mask))
    assert all(0 <= byte <= 255 for byte in stream)
    rgba = decode(stream).reshape(*size_hw, 4)
    assert (rgba == np.where(mask, 255, 0)[..., None]).all()


def test_a_brush_mask_bit_by_bit():
    stream = brush_rle(mask_to_rle(np.array([[True, False]])))
    text = f"{8:032b}" + "00111" + "0010" + "0011" + "0111" + "1111" + "100" + "011" + "1" * 8 + "100" + "011" + "0" * 8
    text += "0" * (-len(text) % 8)
    assert stream == [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def test_what_label_studio_asks_first(serve):
    client = serve(LabelStudio)
    assert client.get("/health").json() == client.get("/").json() == {"status": "UP", "model_class": "anymask"}
    assert client.post("/setup", json={"project": "1", "schema": CONFIG}).json() == {"model_version": "tiny"}
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 201


@pytest.mark.parametrize(
    ("context", "prompt", "label"),
    [
        ([CLICK], Prompt(((30.0, 40.0),), (1,)), "dog"),
        ([CLICK, {**CLICK, "is_positive": 0}], Prompt(((30.0, 40.0), (30.0, 40.0)), (1, 0)), "dog"),
        ([BOX], Prompt(box_xyxy=(10.4, 14.0, 62.4, 56.0)), "cat"),
        ([CLICK, BOX], Prompt(((30.0, 40.0),), (1,), (10.4, 14.0, 62.4, 56.0)), "cat"),
    ],
)
def test_clicks_and_boxes_become_masks(serve, sam, context, prompt, label):
    [answer] = serve(LabelStudio).post("/predict", json=body(context)).json()["results"]
    [result] = answer["result"]
    [record] = sam.predict(picture(), prompts=[prompt])[0].records
    assert result["value"]["rle"] == brush_rle(record["segmentation"])
    assert result["value"]["format"] == "rle"
    assert (result["type"], result["from_name"], result["to_name"]) == ("brushlabels", "brush", "image")
    assert (result["original_width"], result["original_height"], result["image_rotation"]) == (104, 70, 0)
    assert result["value"]["brushlabels"] == [label]
    assert result["score"] == answer["score"] == pytest.approx(record["predicted_iou"])


def test_tasks_without_prompts_get_nothing(serve):
    [answer] = serve(LabelStudio).post("/predict", json={**body(), "params": None}).json()["results"]
    assert answer["result"] == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (body(config="<View/>"), "BrushLabels"),
        (body(config="<View"), "XML"),
        (body(config="<!DOCTYPE x [<!ENTITY a 'b'>]><View/>"), "declarations"),
        (body(config=None), "XML"),
        (body(image="http://169.254.169.254/secret"), "--label-studio"),
        (body(image="file:///etc/passwd"), "--label-studio"),
        (body(image="/etc/passwd"), "--label-studio"),
        (body(image=None), "image"),
        (body(context=[{"type": "keypointlabels"}]), "clicks"),
        (body(context=[{**CLICK, "value": {"x": "a", "y": 1, "keypointlabels": ["cat"]}}]), "clicks"),
        (body(context=[{**CLICK, "value": {"x": 1e400, "y": 1, "keypointlabels": ["cat"]}}]), "clicks"),
        (body(context=[{"type": "brushlabels", "value": {}}]), "clicks"),
        (body(context="abc"), "clicks"),
        (body(context=[{**CLICK, "value": {**CLICK["value"], "keypointlabels": ["bird"]}}]), "BrushLabels"),
        ({**body(), "tasks": 3}, "tasks"),
    ],
)
def test_what_cannot_be(serve, wrong, says):
    answer = serve(LabelStudio).post("/predict", content=json.dumps(wrong))
    assert answer.status_code == 422
    assert says in answer.json()["error"]


def test_images_that_are_none(serve):
    for image in ("data:image/png;base64,####", "data:text/plain,hello", "data:image/png;base64,aGVsbG8="):
        assert serve(LabelStudio).post("/predict", json=body(image=image)).status_code == 415


class Files(BaseHTTPRequestHandler):
    """Label Studio's files; its access tokens are called access-1, access-2, ..., and the last one counts."""

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, said) == ("/api/token/refresh", {"refresh": "a.personal.token"})
        self.server.number += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"access": f"access-{self.server.number}"}).encode())

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        if self.server.number and self.headers.get("Authorization") != f"Bearer access-{self.server.number}":
            self.send_error(401)
            return
        if self.path == "/elsewhere.png":
            self.send_response(302)
            self.send_header("Location", "http://localhost:1/secret")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(picture())

    def log_message(self, *args):
        pass


@pytest.fixture
def files():
    server = HTTPServer(("127.0.0.1", 0), Files)
    server.seen, server.number = [], 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_pictures_are_read_from_label_studio_alone(serve, files):
    address = f"http://127.0.0.1:{files.server_port}"
    client = serve(lambda demo: LabelStudio(demo, address, "key"))
    for image in ("/data/upload/1/photo.png", f"{address}/data/local-files/?d=photo.png"):
        assert client.post("/predict", json=body(image=image)).status_code == 200
    for image in ("http://localhost:1/x", f"{address}@evil.example/x", "//evil.example/x", "file:///etc/passwd"):
        answer = client.post("/predict", json=body(image=image))
        assert (answer.status_code, "must lie on" in answer.json()["error"]) == (422, True)
    assert client.post("/predict", json=body(image="/elsewhere.png")).status_code == 422
    paths = ["/data/upload/1/photo.png", "/data/local-files/?d=photo.png", "/elsewhere.png"]
    assert files.seen == [(path, "Token key") for path in paths]


def test_a_personal_token_is_changed_for_one_of_minutes_and_again_when_they_are_over(serve, files):
    client = serve(lambda demo: LabelStudio(demo, f"http://127.0.0.1:{files.server_port}", "a.personal.token"))
    for path in ("/1.png", "/2.png"):
        assert client.post("/predict", json=body(image=path)).status_code == 200
    files.number += 1  # the first one's minutes are over
    assert client.post("/predict", json=body(image="/3.png")).status_code == 200
    tokens = ["access-1", "access-1", "access-1", "access-3"]
    paths = ["/1.png", "/2.png", "/3.png", "/3.png"]
    assert files.seen == [(path, f"Bearer {token}") for path, token in zip(paths, tokens, strict=True)]
