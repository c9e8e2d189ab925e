import pytest
import torch
import torch.nn.functional as F
from tests.host_waits import HostWaits
from tests.tiny_sam import BATCH, CHANNELS, GRID, PROMPTS, images, labels, points, tiny_model

from anymask.modeling import mask_decoder, network
from anymask.modeling.fast import memo
from anymask.modeling.fast.image_tokens import PlainImageTokens
from anymask.modeling.mask_decoder import FeedForward

N_PROMPTS = 11


@pytest.fixture(scope="module")
def model():
    return tiny_model().requires_grad_(False)


def encoded(model, batch=1):
    return model.get_image_embeddings(images(batch))


def image_bytes(batch=1):
    return batch * GRID * GRID * CHANNELS * 4


@pytest.mark.parametrize("rows_at_a_time", [1, 2, 3, 7, 100])
@torch.no_grad()
def test_masks_by_plain_convolutions(model, monkeypatch, rows_at_a_time):
    bytes_per_row = BATCH * 5 * 16 * (CHANNELS // 8) * 4
    monkeypatch.setattr(mask_decoder, "UPSCALING_BYTES", rows_at_a_time * bytes_per_row)
    decoder, grid_hw = model.mask_decoder, (3, 5)
    tokens, image = torch.randn(BATCH, PROMPTS, 4, CHANNELS), torch.randn(BATCH, PROMPTS, 15, CHANNELS)
    written = PlainImageTokens(image, position=torch.zeros(1, 1, 15, CHANNELS))
    planes = image.flatten(0, 1).transpose(1, 2).unflatten(2, grid_hw)
    features = F.gelu(decoder.upscale_layer_norm(decoder.upscale_conv1(planes)))
    features = F.gelu(decoder.upscale_conv2(features)).unflatten(0, (BATCH, PROMPTS))
    hyper = torch.stack([mlp(tokens[:, :, i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=2)
    expected = torch.einsum("bpmc,bpchw->bpmhw", hyper, features)
    actual = decoder._masks(tokens, written, grid_hw, multimask_output=True)
    assert actual.shape == (BATCH, PROMPTS, 3, 12, 20)
    torch.testing.assert_close(actual, expected[:, :, 1:], rtol=1e-4, atol=1e-5)
    single = decoder._masks(tokens, written, grid_hw, multimask_output=False)
    torch.testing.assert_close(single, expected[:, :, :1], rtol=1e-4, atol=1e-5)
    every = decoder._masks(tokens, written, grid_hw, multimask_output=None)
    torch.testing.assert_close(every, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prompts_at_a_time", [1, 2, 10])
@torch.no_grad()
def test_chunks_change_nothing(model, monkeypatch, prompts_at_a_time, tolerances):
    embeddings = encoded(model, BATCH)
    prompts = dict(
        input_points=points(prompts=N_PROMPTS),
        input_labels=labels(prompts=N_PROMPTS, among=(0, 1, -10)),
        attention_similarity=torch.randn(BATCH * N_PROMPTS, 1, 1, GRID**2),
        target_embedding=torch.randn(BATCH, N_PROMPTS, 1, CHANNELS),
    )
    whole = model(image_embeddings=embeddings, **prompts, output_attentions=True)
    monkeypatch.setattr(mask_decoder, "CHUNK_BYTES", prompts_at_a_time * image_bytes(BATCH))
    sizes = []
    handle = model.mask_decoder.transformer.register_forward_hook(
        lambda module, inputs, output: sizes.append(inputs[0].shape[1])
    )
    chunked = model(image_embeddings=embeddings, **prompts, output_attentions=True)
    handle.remove()
    assert max(sizes) == prompts_at_a_time and sum(sizes) == N_PROMPTS
    tolerance = tolerances[torch.float32]._asdict()
    torch.testing.assert_close(chunked.pred_masks, whole.pred_masks, **tolerance)
    torch.testing.assert_close(chunked.iou_scores, whole.iou_scores, **tolerance)
    for mine, their in zip(chunked.mask_decoder_attentions, whole.mask_decoder_attentions, strict=True):
        torch.testing.assert_close(mine, their, **tolerance)


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("prompts_at_a_time", [2, 100])
def test_candidates_are_the_masks_that_pass(model, monkeypatch, multimask_output, prompts_at_a_time, tolerances):
    monkeypatch.setattr(mask_decoder, "CHUNK_BYTES", prompts_at_a_time * image_bytes())
    embeddings = encoded(model)
    prompts = dict(input_points=points(1, N_PROMPTS), input_labels=labels(1, N_PROMPTS, among=(0, 1, -10)))
    with torch.no_grad():
        every = model(image_embeddings=embeddings, multimask_output=multimask_output, **prompts)
    threshold = every.iou_scores[every.iou_scores > 0].median().item() + 1e-4
    passing = every.iou_scores[0] > threshold
    assert 0 < passing.sum() < passing.numel()
    candidates = model.decode_candidates(
        embeddings, **prompts, iou_threshold=threshold, multimask_output=multimask_output
    )
    tolerance = tolerances[torch.float32]._asdict()
    torch.testing.assert_close(candidates.low_res_logits, every.pred_masks[0][passing], **tolerance)
    torch.testing.assert_close(candidates.iou_scores, every.iou_scores[0][passing], **tolerance)
    assert torch.equal(candidates.prompt_index, passing.nonzero()[:, 0])
    assert candidates.iou_scores.dtype == torch.float32


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_a_threshold_of_zero_keeps_all(threshold):
    model = tiny_model().requires_grad_(False)
    model.mask_decoder.iou_prediction_head.proj_out.bias -= 1
    embeddings, input_points = encoded(model), points(1, N_PROMPTS)
    candidates = model.decode_candidates(embeddings, input_points, iou_threshold=threshold)
    assert (candidates.iou_scores < 0).any()
    assert candidates.low_res_logits.shape == (3 * N_PROMPTS, 4 * GRID, 4 * GRID)
    assert candidates.prompt_index.tolist() == [prompt for prompt in range(N_PROMPTS) for _ in range(3)]


@torch.inference_mode()
def test_only_a_threshold_makes_the_host_wait(model, monkeypatch):
    for module in (network, memo):
        monkeypatch.setattr(module, "is_accelerator", lambda device: True)
    embeddings, input_points = encoded(model), points(1, N_PROMPTS)
    for threshold, waits_wanted in ((0.0, False), (0.5, True)):
        with HostWaits() as waits:
            model.decode_candidates(embeddings, input_points, iou_threshold=threshold)
        assert bool(waits.names) == waits_wanted, waits.names


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_host_waits_are_seen(mode):
    mask, values = torch.tensor([True, False]), torch.tensor([1.0, 2.0])
    for wait in (
        lambda: values[mask],
        lambda: values.__setitem__(mask, 0.0),
        lambda: mask.nonzero(),
        lambda: bool(mask.all()),
        lambda: float(values[0]),
        lambda: values.tolist(),
        lambda: values.cpu(),
        lambda: values.repeat_interleave(torch.tensor([1, 2])),
        lambda: torch.masked_select(values, mask),
    ):
        with mode(), HostWaits() as waits:
            wait()
        assert waits.names
    with mode(), HostWaits() as waits:
        torch.where(mask, values, 0.0), values[torch.tensor([0])], values.masked_fill(mask, 0.0)
        values.repeat_interleave(torch.tensor([1, 2]), output_size=3)
    assert waits.names == []


@pytest.mark.parametrize("n_prompts", [N_PROMPTS, 0])
def test_nothing_passes(model, n_prompts):
    candidates = model.decode_candidates(encoded(model), points(1, n_prompts), iou_threshold=1e6)
    assert candidates.low_res_logits.shape == (0, 4 * GRID, 4 * GRID)
    assert candidates.iou_scores.shape == candidates.prompt_index.shape == (0,)
    assert candidates.prompt_index.dtype == torch.int64


def test_feed_forward_follows_its_input():
    module = FeedForward(6, 7, 5, num_layers=4).requires_grad_(False).to(torch.bfloat16)
    assert len(module.layers) == 2
    features = torch.randn(2, 3, 6)
    assert module(features).dtype == torch.float32
    assert module(features.to(torch.bfloat16)).dtype == torch.bfloat16
    expected = features
    layers = [module.proj_in, *module.layers, module.proj_out]
    for index, layer in enumerate(layers):
        expected = expected @ layer.weight.float().T + layer.bias.float()
        expected = expected.relu() if index < len(layers) - 1 else expected
    torch.testing.assert_close(module(features), expected)
