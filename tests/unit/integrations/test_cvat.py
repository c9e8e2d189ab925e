import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import cvat_sdk
import cvat_sdk.auto_annotation as cvataa
import numpy as np
import pytest
from cvat_sdk.masks import decode_mask, encode_mask
from PIL import Image
from tests.unit.demo.conftest import picture

from anymask.demo.answers import Segmenter
from anymask.integrations.cvat import Detection, Interaction, Tracking, create
from anymask.masks.rle import rle_to_mask

IMAGE = Image.open(io.BytesIO(picture()))


class Prompts(cvataa.InteractionPrompts):
    pos_points, neg_points, bounding_box = (), (), None

    def __init__(self, **given):
        vars(self).update(given)


class Context(cvataa.DetectionFunctionContext):
    frame_name, conf_threshold, conv_mask_to_poly = "frame.png", None, False

    def __init__(self, **given):
        vars(self).update(given)


class ShapeContext(cvataa.TrackingFunctionShapeContext):
    original_shape_type = "mask"


@pytest.fixture
def segmenter(sam):
    return Segmenter(sam.model, sam.processor.image_processor, 10**6)


def pixels(points) -> np.ndarray:
    return decode_mask(points, image_width=104, image_height=70)


@pytest.mark.parametrize(
    ("prompts", "asked"),
    [
        (Prompts(pos_points=[(30.0, 40.0)]), dict(points=[[30, 40]])),
        (
            Prompts(pos_points=[(30.0, 40.0)], neg_points=[(80.0, 9.0)], bounding_box=((10.0, 8.0), (90.0, 60.0))),
            dict(points=[[[30, 40], [80, 9]]], labels=[[1, 0]], boxes=[[10, 8, 90, 60]]),
        ),
    ],
)
def test_interaction(segmenter, sam, prompts, asked):
    function = Interaction(segmenter)
    assert isinstance(function.spec, cvataa.InteractionFunctionSpec)
    context = cvataa.InteractionFunctionContext()
    [shape] = function.detect(context, function.preprocess_image(context, IMAGE), prompts)
    [record] = sam.predict(IMAGE, **asked)[0].records
    assert isinstance(shape, cvataa.InteractionResultShape)
    assert shape.type == "mask"
    assert (pixels(shape.points) == rle_to_mask(record["segmentation"])).all()
    [confidence] = shape.attributes
    assert float(confidence.value) == pytest.approx(min(max(record["predicted_iou"], 0), 1), abs=1e-4)


def test_interaction_without_prompts_finds_nothing(segmenter):
    function, context = Interaction(segmenter), cvataa.InteractionFunctionContext()
    assert list(function.detect(context, function.preprocess_image(context, IMAGE), Prompts())) == []


def test_detection(segmenter, sam):
    function = Detection(segmenter, "thing")
    assert [label.name for label in function.spec.labels] == ["thing"]
    shapes = function.detect(Context(), IMAGE)
    records = sam.predict(IMAGE)[0].records
    assert len(shapes) == len(records) > 1
    for shape, record in zip(shapes, records, strict=True):
        assert (shape.type.value, shape.frame, shape.label_id) == ("mask", 0, function.spec.labels[0].id)
        assert (pixels(shape.points) == rle_to_mask(record["segmentation"])).all()


def test_detection_as_polygons_and_above_a_threshold(segmenter, sam):
    function = Detection(segmenter)
    polygons = function.detect(Context(conv_mask_to_poly=True), IMAGE)
    assert {shape.type.value for shape in polygons} == {"polygon"}
    assert all(len(shape.points) >= 6 and len(shape.points) % 2 == 0 for shape in polygons)
    scores = sorted(record["predicted_iou"] for record in sam.predict(IMAGE)[0].records)
    threshold = scores[len(scores) // 2]
    assert len(function.detect(Context(conf_threshold=threshold), IMAGE)) < len(scores)


def test_tracking_goes_from_mask_to_mask(segmenter):
    function, context = Tracking(segmenter), ShapeContext()
    assert isinstance(function.spec, cvataa.TrackingFunctionSpec)
    frame = function.preprocess_image(context, IMAGE)
    mask = np.zeros((70, 104), dtype=bool)
    mask[20:50, 30:70] = True
    first = cvataa.TrackableShape(type="mask", points=encode_mask(mask))
    state = function.init_tracking_state(context, frame, first)
    before = state.prompt
    found = function.track(context, frame, state)
    assert isinstance(found, cvataa.TrackableShape)
    assert found.type == "mask"
    assert state.prompt is not before
    assert (state.prompt.mask == pixels(found.points)).all()


class Cvat(BaseHTTPRequestHandler):
    """What CVAT's own client asks of a server for a task of two images."""

    LABELS = [{"id": 11, "name": "thing", "attributes": [], "sublabels": [], "type": "any"}]
    FRAMES = [{"width": 104, "height": 70, "name": f"{number}.png", "related_files": 0} for number in range(2)]
    TASK = {
        "id": 7,
        "size": 2,
        "data_chunk_size": 2,
        "data_original_chunk_type": "imageset",
        "updated_date": "2026-01-01T00:00:00Z",
        "organization": None,
        "jobs": {"count": 1, "completed": 0, "validation": 0, "url": "http://127.0.0.1/jobs"},
        "labels": {"url": "http://127.0.0.1/labels"},
    }
    ANSWERS = {
        "/api/server/about": {
            "name": "CVAT",
            "description": "",
            "version": cvat_sdk.version.VERSION,
            "logo_url": "",
            "subtitle": "",
        },
        "/api/tasks/7": TASK,
        "/api/labels": {"count": 1, "next": None, "previous": None, "results": LABELS},
        "/api/tasks/7/data/meta": {"chunks_updated_date": TASK["updated_date"], "frames": FRAMES, "deleted_frames": []},
    }

    def do_GET(self):
        path = urlsplit(self.path).path.rstrip("/")
        if path == "/api/tasks/7/data":
            assert parse_qs(urlsplit(self.path).query)["type"] == ["chunk"]
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as chunk:
                for number in range(2):
                    chunk.writestr(f"{number:06}.png", picture(number))
            self.answer(file.getvalue(), "application/zip")
        else:
            self.answer(json.dumps(self.ANSWERS[path]).encode(), "application/vnd.cvat+json")

    def do_PATCH(self):
        self.server.uploaded = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        empty = {"version": 0, "tags": [], "shapes": [], "tracks": []}
        self.answer(json.dumps(empty).encode(), "application/vnd.cvat+json")

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_a_task_is_annotated_by_cvats_own_driver(segmenter, sam, tmp_path):
    """`cvat-cli task auto-annotate` runs it: its labels, its checks of shapes, its upload."""
    server = HTTPServer(("127.0.0.1", 0), Cvat)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        config = cvat_sdk.Config(cache_dir=tmp_path)
        with cvat_sdk.Client(f"http://127.0.0.1:{server.server_port}", config=config) as client:
            cvataa.annotate_task(client, 7, Detection(segmenter, "thing"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    shapes = server.uploaded["shapes"]
    for frame in range(2):
        expected = [rle_to_mask(record["segmentation"]) for record in sam.predict(picture(frame))[0].records]
        found = [pixels(shape["points"]) for shape in shapes if shape["frame"] == frame]
        assert len(found) == len(expected) > 1
        assert all((mine == their).all() for mine, their in zip(found, expected, strict=True))
    assert {(shape["type"], shape["label_id"], shape["source"]) for shape in shapes} == {("mask", 11, "auto")}


def test_functions_by_name():
    assert isinstance(create(), Interaction)
    assert isinstance(create(kind="detection", label="cell"), Detection)
    with pytest.raises(ValueError, match="interaction, detection, tracking"):
        create(kind="detect")
