"""OnnxSamModel and OpenVinoSamModel beside the model that they were exported from."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from anymask import SAM, SamMaskGenerator, SamProcessor, pipeline
from anymask.export.runtime import OnnxSamModel, OpenVinoSamModel
from anymask.masks.rle import rle_to_mask

IMAGE = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def exported_model(request, runtimes):
    return runtimes[request.param]


@pytest.mark.parametrize("multimask_output", [True, False, None])
@pytest.mark.parametrize("kind", ["points", "boxes", "masks", "ragged"])
def test_masks_are_those_of_the_model(model, exported_model, preprocessor, kind, multimask_output):
    pixel_values = preprocessor([IMAGE, IMAGE[:, ::-1]], return_tensors="pt")["pixel_values"]
    side = 4 * model.config.prompt_encoder_config.image_embedding_size
    prompts = {
        "points": {"input_points": torch.rand(2, 3, 2, 2) * 60},
        "boxes": {"input_boxes": torch.tensor([[5.0, 6, 40, 50]]).expand(2, 3, 4)},
        "masks": {"input_masks": torch.randn(2, 1, side, side)},
        "ragged": {
            "input_points": torch.rand(2, 3, 2, 2) * 60,
            "input_labels": torch.tensor([[[1, 0], [1, -10], [2, 3]], [[1, 1], [-10, -10], [0, -1]]]),
        },
    }[kind]
    with torch.no_grad():
        expected = model(pixel_values, **prompts, multimask_output=multimask_output)
        found = exported_model(pixel_values, **prompts, multimask_output=multimask_output)
    assert found.pred_masks.shape == expected.pred_masks.shape
    torch.testing.assert_close(found.pred_masks, expected.pred_masks, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.iou_scores, expected.iou_scores, rtol=1e-4, atol=1e-4)


def test_everything_else_takes_it(model, exported_model, exported, preprocessor):
    processor = SamProcessor.from_pretrained(exported("anymask"))
    options = dict(points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0)
    expected = SamMaskGenerator(model, processor, **options).generate(IMAGE, output_mode="coco_rle")
    found = SamMaskGenerator(exported_model, processor, **options).generate(IMAGE, output_mode="coco_rle")
    assert len(found) == len(expected) > 0
    ours, theirs = SAM(exported_model, processor=processor), SAM(model, processor=processor)
    boxes = [[5, 6, 60, 40]]
    masks = [rle_to_mask(sam.predict(IMAGE, boxes=boxes)[0][0]["segmentation"]) for sam in (ours, theirs)]
    assert (masks[0] != masks[1]).mean() < 1e-3
    session = ours.session(IMAGE)
    session.add_point(30, 20)
    session.add_point(40, 30, label=0)
    assert session.mask().shape == IMAGE.shape[:2]


def test_the_pipeline_takes_it(model, exported_model, exported, preprocessor):
    """The processor is found where the model came from, or given."""
    options = dict(points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0)
    expected = pipeline("mask-generation", model=model, image_processor=preprocessor, **options)(IMAGE)
    for given in ({}, {"processor": SamProcessor.from_pretrained(exported("anymask"))}):
        found = pipeline("mask-generation", model=exported_model, **given, **options)(IMAGE, output_bboxes_mask=True)
        assert len(found["masks"]) == len(found["bounding_boxes"]) == len(expected["masks"]) > 0
        torch.testing.assert_close(found["scores"], expected["scores"], rtol=1e-4, atol=1e-4)
        for mine, their in zip(found["masks"], expected["masks"], strict=True):
            assert (mine != their).mean() < 1e-3
    answers = pipeline(model=exported_model, **options)([IMAGE, IMAGE[:, ::-1]], batch_size=2)
    assert [len(answer["masks"]) > 0 for answer in answers] == [True, True]


def test_threads_may_share_it(model, exported_model):
    side = model.config.prompt_encoder_config.image_embedding_size
    embeddings = torch.randn(1, model.config.vision_config.output_channels, side, side)
    prompts = [torch.rand(1, 1 + number % 3, 2, 2) * 60 for number in range(12)]

    def decode(points):
        with torch.no_grad():
            return exported_model(image_embeddings=embeddings, input_points=points).pred_masks

    with ThreadPoolExecutor(4) as pool:
        for found, points in zip(pool.map(decode, prompts), prompts, strict=True):
            torch.testing.assert_close(found, decode(points))


def test_what_it_has_not(exported_model, preprocessor, tmp_path):
    pixel_values = preprocessor(IMAGE, return_tensors="pt")["pixel_values"]
    with pytest.raises(ValueError, match="output_hidden_states must be asked of SamModel"):
        exported_model(pixel_values, output_hidden_states=True)
    with pytest.raises(ValueError, match="output_attentions must be asked of SamModel"):
        exported_model(pixel_values, input_points=torch.zeros(1, 1, 1, 2), output_attentions=True)
    with pytest.raises(ValueError, match=r"pixel_values must have shape \(batch, 3, 80, 80\)"):
        exported_model(pixel_values[..., :72])
    with pytest.raises(FileNotFoundError, match=r"but lacks encoder\.onnx, mask_decoder\.onnx"):
        OnnxSamModel.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"format 'openvino', but lacks encoder\.xml, mask_decoder\.xml"):
        OpenVinoSamModel.from_pretrained(tmp_path)
