import io

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


def test_functions_by_name():
    assert isinstance(create(), Interaction)
    assert isinstance(create(kind="detection", label="cell"), Detection)
    with pytest.raises(ValueError, match="interaction, detection, tracking"):
        create(kind="detect")
