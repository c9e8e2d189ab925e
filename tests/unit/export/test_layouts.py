"""The contracts of the tools: names, shapes and what values mean."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from tests.tiny_sam import relative_difference

from anymask.export.layouts import write_companions

pytestmark = pytest.mark.slow  # each graph takes the exporter some ten seconds


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options)


def names(session):
    return [value.name for value in session.get_inputs()], [value.name for value in session.get_outputs()]


@pytest.fixture
def embeddings(model):
    side = model.config.vision_config.image_size
    with torch.no_grad():
        return model.get_image_embeddings(torch.randn(1, 3, side, side))


def test_meta(exported, model, embeddings, preprocessor):
    """Against the model, asked through a box as corners, a point, and a mask prompt, at the image's own size."""
    single = session_of(exported("meta") / "decoder.onnx")
    several = session_of(exported("meta") / "decoder_multi.onnx")
    inputs = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"]
    assert names(single) == names(several) == (inputs, ["masks", "iou_predictions", "low_res_masks"])
    side = 4 * model.config.prompt_encoder_config.image_embedding_size
    size_hw = (45, 77)
    geometry = preprocessor.geometry(size_hw)
    logits, point = torch.randn(1, 1, side, side), torch.tensor([[[[9.0, 8]]]])
    input_hw = (model.config.vision_config.image_size,) * 2
    for coords, labels, prompts, mask in (
        ([[5, 6], [40, 50]], [2, 3], dict(input_boxes=torch.tensor([[[5.0, 6, 40, 50]]])), None),
        ([[9, 8], [0, 0]], [1, -1], dict(input_points=point), None),
        ([[9, 8], [0, 0]], [0, -1], dict(input_points=point, input_labels=torch.zeros(1, 1, 1)), logits),
    ):
        for flag in (1.0,) if mask is not None else (0.0, -1.0):
            given = dict(
                image_embeddings=embeddings.numpy(),
                point_coords=np.array([coords], np.float32),
                point_labels=np.array([labels], np.float32),
                mask_input=logits.numpy(),
                has_mask_input=np.array([flag], np.float32),
                orig_im_size=np.array(size_hw, np.float32),
            )
            with torch.no_grad():
                expected = model(image_embeddings=embeddings, input_masks=mask, multimask_output=None, **prompts)
            masks, scores, low = several.run(None, given)
            np.testing.assert_allclose(low, expected.pred_masks[:, 0], rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(scores, expected.iou_scores[:, 0], rtol=1e-3, atol=1e-4)
            assert masks.shape == (1, 4, *size_hw)
            resized = F.interpolate(torch.from_numpy(low), input_hw, mode="bilinear")
            height, width = geometry.resized_size_hw
            resized = F.interpolate(resized[..., :height, :width], size_hw, mode="bilinear")
            np.testing.assert_allclose(masks, resized, rtol=1e-3, atol=1e-3)
            best = expected.iou_scores[0, 0, 1:].argmax() + 1
            one, score, _ = single.run(None, given)
            assert one.shape == (1, 1, *size_hw)
            np.testing.assert_allclose(one[:, 0], masks[:, best], rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(score[0, 0], scores[0, best], rtol=1e-3, atol=1e-4)


def test_meta_takes_the_clear_mask_from_three_points_on(exported, embeddings):
    """With a mask input of 256 x 256, which osam and others give to every model where there is none."""
    single, several = (session_of(exported("meta") / name) for name in ("decoder.onnx", "decoder_multi.onnx"))
    side = 256
    given = dict(
        image_embeddings=embeddings.numpy(),
        point_coords=np.array([[[9, 8], [20, 30], [0, 0]]], np.float32),
        point_labels=np.array([[1, 0, -1]], np.float32),
        mask_input=np.zeros((1, 1, side, side), np.float32),
        has_mask_input=np.zeros(1, np.float32),
        orig_im_size=np.array([50, 60], np.float32),
    )
    np.testing.assert_allclose(single.run(None, given)[2], several.run(None, given)[2][:, :1], rtol=1e-3, atol=1e-3)


def test_osam_and_x_anylabeling_encoders(exported, model, embeddings, preprocessor):
    encoder = session_of(exported("osam") / "encoder.onnx")
    side = model.config.vision_config.image_size
    assert [(value.name, value.shape) for value in encoder.get_inputs()] == [("x", [1, 3, side, side])]
    encoder = session_of(exported("x-anylabeling") / "encoder.onnx")
    picture = np.random.default_rng(0).integers(0, 256, (684, 1024, 3)).astype(np.float32)
    assert [(value.name, value.shape) for value in encoder.get_inputs()] == [("input_image", [684, 1024, 3])]
    [found] = encoder.run(None, {"input_image": picture})
    pixel_values = preprocessor(picture.astype(np.uint8), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        # Pillow rounds the pixels of a resized picture.
        assert relative_difference(torch.tensor(found), model.get_image_embeddings(pixel_values)) < 0.05
    decoder, meta = (session_of(exported(name) / "decoder.onnx") for name in ("x-anylabeling", "meta"))
    points = np.array([[[300, 200], [500, 600]]], np.float32)
    given = dict(
        image_embeddings=found,
        point_labels=np.array([[1, 0]], np.float32),
        mask_input=np.zeros((1, 1, 256, 256), np.float32),
        has_mask_input=np.zeros(1, np.float32),
        orig_im_size=np.array([684, 1024], np.float32),
    )
    theirs = meta.run(None, dict(given, point_coords=points * np.float32(side / 1024)))
    for mine, their in zip(decoder.run(None, dict(given, point_coords=points)), theirs, strict=True):
        np.testing.assert_allclose(mine, their, rtol=1e-3, atol=1e-3)
    lines = dict(line.split(": ") for line in (exported("x-anylabeling") / "anymask.yaml").read_text().splitlines())
    assert lines["type"] == "segment_anything" and (exported("x-anylabeling") / lines["decoder_model_path"]).exists()


def test_transformers_js(exported, model, embeddings):
    folder = exported("transformers.js")
    encoder = session_of(folder / "onnx/vision_encoder.onnx")
    decoder = session_of(folder / "onnx/prompt_encoder_mask_decoder.onnx")
    assert names(encoder) == (["pixel_values"], ["image_embeddings", "image_positional_embeddings"])
    assert names(decoder) == (
        ["image_embeddings", "image_positional_embeddings", "input_points", "input_labels"],
        ["iou_scores", "pred_masks"],
    )
    assert json.loads((folder / "preprocessor_config.json").read_text())["processor_class"] == "SamProcessor"
    assert json.loads((folder / "config.json").read_text())["model_type"] == "sam"
    corners = torch.tensor([[[[5.0, 6], [40, 50]]]])
    with torch.no_grad():
        expected = model(image_embeddings=embeddings, input_boxes=corners.flatten(2))
        positions = model.get_image_wide_positional_embeddings()
    scores, masks = decoder.run(
        None,
        dict(
            image_embeddings=embeddings.numpy(),
            image_positional_embeddings=positions.numpy(),
            input_points=corners.numpy(),
            input_labels=np.array([[[2, 3]]]),
        ),
    )
    np.testing.assert_allclose(masks, expected.pred_masks, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scores, expected.iou_scores, rtol=1e-3, atol=1e-4)


def test_companions_of_meta_are_none(model, preprocessor, tmp_path):
    write_companions("meta", tmp_path, model, preprocessor)
    assert list(tmp_path.iterdir()) == []
