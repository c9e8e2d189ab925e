import copy
from pathlib import Path

import pytest
import torch
from tests.tiny_sam import images, points, relative_difference, tiny_config, tiny_model
from torch import nn

from anymask import (
    SamMaskGenerator,
    SamModel,
    SamProcessor,
    SamVisionModel,
    embed_image,
    load_image,
    model_info,
    quantize_image_encoder,
)
from anymask.checkpoints import CheckpointError, read_checkpoint, save_meta_checkpoint
from anymask.embeddings.fingerprints import model_fingerprint
from anymask.evaluation.nano.examples import held_out_scenes
from anymask.masks.rle import rle_to_mask
from anymask.modeling.fast.int8 import QuantizedLinear

EXAMPLES = Path(__file__).parents[4] / "examples"


def layer_and_features(bias=True):
    torch.manual_seed(0)
    return nn.Linear(48, 20, bias=bias), torch.randn(2, 3, 5, 48)


def steps(rows, largest):
    """The plain formula: whole steps of the largest value of each row, and what a step is worth."""
    scale = rows.abs().amax(-1, keepdim=True) / largest
    return torch.round(rows / scale), scale


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_layer_is_the_plain_formula(bias):
    layer, features = layer_and_features(bias)
    weights, weight_scale = steps(layer.weight, 64)
    tokens, token_scale = steps(features, 127)
    expected = (tokens.double() @ weights.double().T) * token_scale * weight_scale.T
    expected = expected if layer.bias is None else expected + layer.bias
    torch.testing.assert_close(QuantizedLinear(layer)(features).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
@torch.no_grad()
def test_largest_products_are_exact(sign):
    """Two products of the largest numbers are added in 16 bits by processors without VNNI."""
    layer = nn.Linear(32, 3, bias=False)
    layer.weight.fill_(1.0)
    features = torch.full((5, 32), float(sign))
    torch.testing.assert_close(QuantizedLinear(layer)(features), torch.full((5, 3), 32.0 * sign), rtol=1e-6, atol=0)


@torch.no_grad()
def test_a_token_does_not_depend_on_its_neighbours():
    layer, features = layer_and_features()
    quantized = QuantizedLinear(layer)
    features[1, 2, 4] *= 1000  # one outlier would coarsen a common scale for all
    together = quantized(features)
    alone = torch.stack([quantized(token[None])[0] for token in features.flatten(0, -2)])
    assert torch.equal(together.flatten(0, -2), alone)


@torch.no_grad()
def test_zeros_and_nan_pass():
    layer, features = layer_and_features()
    layer.weight[4] = 0
    quantized = QuantizedLinear(layer)
    assert torch.equal(quantized(torch.zeros(1, 48))[0], layer.bias)  # what padded windows are made of
    assert torch.equal(quantized(features)[..., 4], layer.bias[4].expand(2, 3, 5))
    features[1, 0, 2, 7] = torch.nan
    assert torch.equal(quantized(features).isnan().all(-1), features.isnan().any(-1))


@torch.no_grad()
def test_types_of_features():
    layer, features = layer_and_features()
    plain = layer(features)
    for dtype in (torch.bfloat16, torch.float16):
        result = QuantizedLinear(copy.deepcopy(layer).to(dtype))(features.to(dtype))
        assert result.dtype == dtype
        assert relative_difference(result, plain) < 0.03


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_image_encoder(context):
    model = tiny_model()
    pixel_values = images()
    with context():
        plain = model.get_image_embeddings(pixel_values)
        assert quantize_image_encoder(model) is model
        quantized = model.get_image_embeddings(pixel_values)
        assert 0 < (quantized - plain).norm() / plain.norm() < 0.05
        alone = [model.get_image_embeddings(image[None]) for image in pixel_values]
        torch.testing.assert_close(quantized, torch.cat(alone), rtol=1e-4, atol=1e-4)
        twin = copy.deepcopy(model)
        assert torch.equal(twin.get_image_embeddings(pixel_values), quantized)
    layers = [module for module in model.vision_encoder.modules() if isinstance(module, QuantizedLinear)]
    assert len(layers) == 4 * model.config.vision_config.num_hidden_layers
    assert not any(isinstance(module, QuantizedLinear) for module in model.mask_decoder.modules())
    assert not any(type(module) is nn.Linear for module in model.vision_encoder.modules())


@torch.no_grad()
def test_embedding_does_not_depend_on_the_strips(monkeypatch):
    from anymask.modeling import image_encoder

    model = quantize_image_encoder(tiny_model())
    pixel_values = images()
    whole = model.get_image_embeddings(pixel_values)
    monkeypatch.setattr(image_encoder, "STRIP_BYTES", 1)
    torch.testing.assert_close(model.get_image_embeddings(pixel_values), whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_image_encoder_alone():
    torch.manual_seed(0)
    model = SamVisionModel(tiny_config().vision_config).eval()
    pixel_values = images()
    plain = model(pixel_values).image_embeds
    quantized = quantize_image_encoder(model)(pixel_values).image_embeds
    assert 0 < (quantized - plain).norm() / plain.norm() < 0.05


def test_decoder_learns_on_a_frozen_encoder():
    model = quantize_image_encoder(tiny_model()).train()
    model(images(), points()).pred_masks.sum().backward()
    assert model.mask_decoder.iou_token.weight.grad is not None
    assert all(parameter.grad is None for parameter in model.vision_encoder.parameters())


def test_gradients_through_the_encoder_are_refused():
    model = quantize_image_encoder(tiny_model())
    with pytest.raises(ValueError, match=r"must run on the CPU and without gradients, got features with a gradient"):
        model.get_image_embeddings(images().requires_grad_())


def test_other_devices_are_refused():
    model = tiny_model()
    with pytest.raises(ValueError, match=r"must be on the CPU to be quantised, got meta; elsewhere use dtype="):
        quantize_image_encoder(copy.deepcopy(model).to("meta"))
    model = quantize_image_encoder(model).to("meta")
    with pytest.raises(ValueError, match=r"must run on the CPU and without gradients, got features on meta"):
        model.get_image_embeddings(images().to("meta"))


def test_builds_without_onednn_are_named(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="must come with oneDNN"):
        quantize_image_encoder(tiny_model())


def test_nothing_half_true_is_written(tmp_path):
    model = quantize_image_encoder(tiny_model())
    for save in (model.save_pretrained, lambda path: save_meta_checkpoint(model, path / "model.pth")):
        with pytest.raises(ValueError, match=r"to be saved, but its image encoder is quantised to 8 bits; save"):
            save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    torch.save(model.state_dict(), tmp_path / "state.pth")
    with pytest.raises(CheckpointError, match="before it was quantised"):
        read_checkpoint(tmp_path / "state.pth")


def test_embeddings_of_the_two_are_not_mixed():
    model = SamModel.from_pretrained("sam-vit-nano")
    processor = SamProcessor.from_pretrained("sam-vit-nano")
    photo = load_image(EXAMPLES / "chelsea.jpg")
    embedding = embed_image(model, processor, photo)
    before = model_fingerprint(model)
    quantize_image_encoder(model)
    assert model_fingerprint(model) != before
    with pytest.raises(ValueError, match="must come from this model's image encoder"):
        embedding.check_model(model)
    embed_image(model, processor, photo).check_model(copy.deepcopy(model))


def test_model_info_counts_the_same_parameters_in_less_memory():
    model = tiny_model()
    plain = model_info(model)
    info = model_info(quantize_image_encoder(model))
    assert (info.parameters, info.layers, info.dtype) == (plain.parameters, plain.layers, "float32")
    in_linear = sum(m.weight.numel() for m in model.vision_encoder.modules() if isinstance(m, QuantizedLinear))
    assert plain.weight_bytes - info.weight_bytes == 3 * in_linear


@torch.inference_mode()
def test_masks_of_prompts_stay():
    """Clicks and boxes all over a held-out scene and a photo: the masks of both models are at least 0.95 alike."""
    model, processor = SamModel.from_pretrained("sam-vit-nano"), SamProcessor.from_pretrained("sam-vit-nano")
    quantized = quantize_image_encoder(copy.deepcopy(model))
    (scene,) = held_out_scenes(1)
    for image in (scene.image, load_image(EXAMPLES / "coffee.jpg").resize((250, 170))):
        points_xy = [[[[x, y]] for x in range(16, 200, 48) for y in range(16, 130, 48)]]
        boxes_xyxy = [[[x, y, x + 40, y + 30] for ((x, y),) in points_xy[0]]]
        for prompts in (dict(input_points=points_xy), dict(input_boxes=boxes_xyxy)):
            inputs = processor(image, **prompts, return_tensors="pt")
            first, second = (sam(**inputs).pred_masks > 0 for sam in (model, quantized))
            assert iou(first, second).mean() > 0.95


@pytest.mark.parametrize("name", ["chelsea.jpg", "coffee.jpg"])
def test_masks_of_everything_stay(name):
    """With thresholds that keep a dozen masks at least: of few, a single one at a threshold moves the mean."""
    thresholds = {"pred_iou_thresh": 0.35, "stability_score_thresh": 0.5}
    model, processor = SamModel.from_pretrained("sam-vit-nano"), SamProcessor.from_pretrained("sam-vit-nano")
    photo = load_image(EXAMPLES / name)
    found = []
    for sam in (model, quantize_image_encoder(copy.deepcopy(model))):
        generator = SamMaskGenerator(sam, processor, points_per_side=16, output_mode="uncompressed_rle", **thresholds)
        records = generator.generate(photo)
        found.append(torch.stack([torch.from_numpy(rle_to_mask(record["segmentation"])) for record in records]))
    plain, quantized = found
    assert len(plain) >= 12
    assert iou(plain[:, None], quantized[None]).amax(dim=1).mean() > 0.95
    assert abs(len(plain) - len(quantized)) <= 1


def iou(first, second):
    union = (first | second).sum((-2, -1))
    return torch.where(union > 0, (first & second).sum((-2, -1)) / union.clamp_min(1), 1.0)
