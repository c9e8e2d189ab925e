"""What docs/differences-from-transformers.md says, line by line, on both sides."""

import numpy as np
import pytest
import torch
import transformers
from tests.tiny_sam import IMAGE_SIZE, draw_weights, tiny_config, tiny_image_processor, tiny_model
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil as TheirImageProcessor
from transformers.models.sam.modeling_sam import SamModel as TheirModel

from anymask import SamImageProcessor, SamImageProcessorFast, SamModel, SamProcessor

pytestmark = pytest.mark.parity

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
POINT = {"input_points": [[[10, 5]]]}


@pytest.fixture(scope="module")
def models():
    return tiny_model(), draw_weights(TheirModel(tiny_config(config_class=transformers.SamConfig))).eval()


@pytest.fixture(scope="module")
def processors():
    options = tiny_image_processor().to_dict()
    theirs = TheirImageProcessor(**{name: options[name] for name in ("size", "pad_size", "mask_size", "mask_pad_size")})
    return SamProcessor(tiny_image_processor()), transformers.SamProcessor(theirs)


@pytest.fixture(scope="module")
def inputs(processors):
    return dict(processors[0](IMAGE, **POINT, return_tensors="pt"))


def test_unknown_arguments(models, processors, inputs):
    models[1](**inputs, foo=1)
    processors[1](IMAGE, foo=1, return_tensors="pt")
    with pytest.raises(TypeError, match="foo"):
        models[0](**inputs, foo=1)
    with pytest.raises(TypeError, match="SamProcessor has no option 'foo'; it knows bands, device, do_convert_rgb"):
        processors[0](IMAGE, foo=1, return_tensors="pt")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"text": "a cat"}, "SAM takes points, boxes and masks"),
        ({"input_points": [[[1000, 5]]]}, "must lie in the image"),
        ({**POINT, "point_pad_value": -5}, "`point_pad_value` must be -10"),
    ],
)
def test_what_the_processor_refuses(processors, call, message):
    processors[1](IMAGE, **call, return_tensors="pt")
    with pytest.raises(ValueError, match=message):
        processors[0](IMAGE, **call, return_tensors="pt")


def test_what_the_model_refuses(models, inputs):
    odd = {**inputs, "input_labels": torch.full((1, 1, 1), 7)}
    models[1](**odd)
    with pytest.raises(ValueError, match="input_labels must be"):
        models[0](**odd)
    wrong = {**inputs, "input_masks": torch.zeros(1, 1, 8, 8)}
    with pytest.raises(RuntimeError):
        models[1](**wrong)
    with pytest.raises(ValueError, match="input_masks must be logits of shape"):
        models[0](**wrong)


def test_several_segmentation_maps_of_an_image(processors):
    maps = np.stack([IMAGE[..., 0] > 100, IMAGE[..., 1] > 200]).astype(np.uint8)
    for several in (maps, list(maps)):
        ours, theirs = (p(IMAGE, segmentation_maps=several, return_tensors="pt")["labels"] for p in processors)
        assert ours.shape == (1, *theirs.shape) and torch.equal(ours[0], theirs)


def test_missing_weights(models, tmp_path):
    state = {name: value for name, value in models[0].state_dict().items() if "iou_token" not in name}
    models[0].save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match="iou_token"):
        SamModel.from_pretrained(tmp_path)


def test_prompts_have_the_models_dtype_and_axes(processors):
    for kind in ("pt", "np"):
        ours, theirs = (processor(IMAGE, **POINT, return_tensors=kind)["input_points"] for processor in processors)
        assert str(ours.dtype).endswith("float32") and str(theirs.dtype).endswith("float64")
        assert ours.shape == (1, 1, 1, 2)
        assert theirs.shape == ((1, 1, 1, 2) if kind == "pt" else (1, 1, 2))


def test_scores_in_half_precision(inputs):
    models = tiny_model(), draw_weights(TheirModel(tiny_config(config_class=transformers.SamConfig))).eval()
    ours, theirs = (
        model.to(torch.bfloat16)(**{**inputs, "pixel_values": inputs["pixel_values"].bfloat16()}) for model in models
    )
    assert (ours.iou_scores.dtype, theirs.iou_scores.dtype) == (torch.float32, torch.bfloat16)
    assert ours.pred_masks.dtype == theirs.pred_masks.dtype == torch.bfloat16


def test_values_of_images(processors):
    expected, _ = (processor(IMAGE, return_tensors="pt")["pixel_values"] for processor in processors)
    for image in (IMAGE / np.float32(255), IMAGE.astype(np.uint16) * 257):
        ours = processors[0](image, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(ours, expected, rtol=0, atol=0.02)  # resized in floats, not in 8 bits
    assert (processors[1](IMAGE / np.float32(255), return_tensors="pt")["pixel_values"] - expected).abs().max() > 1
    with pytest.raises(ValueError, match="outside the range"):
        processors[1](IMAGE.astype(np.uint16) * 257, return_tensors="pt")
    with pytest.raises(ValueError, match="Say what they mean with value_range"):
        processors[0](IMAGE.astype(np.int32) - 1000, return_tensors="pt")


def test_ragged_points(models, processors):
    prompts = {"input_points": [[[1, 2]], [[1, 2], [3, 4], [5, 6]]], "input_labels": [[1], [1, 0, 1]]}
    with pytest.raises(ValueError, match="inhomogeneous"):
        processors[1]([IMAGE, IMAGE], **prompts, return_tensors="pt", point_pad_value=-10)
    batch = processors[0]([IMAGE, IMAGE], **prompts, return_tensors="pt")
    alone = processors[0](IMAGE, input_points=[[[1, 2]]], input_labels=[[1]], return_tensors="pt")
    with torch.no_grad():
        of_batch, of_itself = (models[0](**given).pred_masks[:1] for given in (batch, alone))
        torch.testing.assert_close(of_batch, of_itself, rtol=1e-4, atol=1e-4)
        assert (models[1](**batch).pred_masks[:1] - models[1](**alone).pred_masks).abs().max() > 1e-2


def test_attentions(models, inputs):
    ours, theirs = (model(**inputs, output_attentions=True) for model in models)
    assert len(ours.vision_attentions) == 3 and len(theirs.vision_attentions) == 0
    assert [tuple(output.shape[-1:]) for output in theirs.mask_decoder_attentions] == [(32,), (32,)]  # channels
    for weight in (*ours.vision_attentions, *ours.mask_decoder_attentions):
        torch.testing.assert_close(weight.sum(-1), torch.ones(weight.shape[:-1]))
    their_model = TheirModel._from_config(models[1].config, attn_implementation="eager")
    their_weights = their_model(**inputs, output_attentions=True).vision_attentions
    assert [weight.ndim for weight in their_weights] == [3] * 3
    shapes = [(heads * windows, *rest) for windows, heads, *rest in (weight.shape for weight in ours.vision_attentions)]
    assert [tuple(weight.shape) for weight in their_weights] == shapes


def test_attention_implementations(models):
    models[0].set_attn_implementation("folded")
    models[0].set_attn_implementation("sdpa")
    with pytest.raises(ValueError, match="folded"):
        TheirModel._from_config(models[1].config, attn_implementation="folded")


def test_a_file_names_the_class_that_wrote_it(processors):
    assert processors[0].image_processor.to_dict()["image_processor_type"] == "SamImageProcessor"
    assert SamImageProcessorFast().to_dict()["image_processor_type"] == "SamImageProcessorFast"
    assert processors[1].image_processor.to_dict()["image_processor_type"] == "SamImageProcessor"


def test_four_channels():
    four = dict(image_mean=[0.5] * 4, image_std=[0.5] * 4)
    how = dict(input_data_format="channels_first", do_convert_rgb=False)
    assert TheirImageProcessor(**four)(np.zeros((4, 6, 8), np.uint8), **how)["pixel_values"][0].shape[0] == 4
    with pytest.raises(ValueError, match="`image_mean` must be one finite number or three"):
        SamImageProcessor(**four)


def test_gradients(models, inputs):
    ours, theirs = (model.get_image_embeddings(inputs["pixel_values"]) for model in models)
    assert ours.requires_grad and not theirs.requires_grad
    grids = [model.shared_image_embedding.positional_embedding.requires_grad for model in models]
    assert grids == [False, True]


def test_masks_that_are_no_arrays_are_refused_alike(processors):
    for processor in processors:
        with pytest.raises(TypeError, match=r"(?i)masks"):
            processor.post_process_masks([[[1, 0], [0, 1]]], [[4, 5]], [[IMAGE_SIZE, IMAGE_SIZE]])
        assert processor.post_process_masks([np.ones((1, 3, 5, 5))], np.array([[17, 26]]), np.array([[55, 80]]))[
            0
        ].shape == (1, 3, 17, 26)
