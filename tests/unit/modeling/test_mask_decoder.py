"""The plain decoder, and proposals; that less work gives the same masks is in fast/test_parity.py."""

import pytest
import torch
import torch.distributed as distributed
import torch.multiprocessing as processes
from tests.host_waits import HostWaits
from tests.tiny_sam import BATCH, CHANNELS, GRID, PROMPTS, images, labels, points, tiny_model
from torch.nn.parallel import DistributedDataParallel

from anymask.modeling import network
from anymask.modeling.mask_decoder import FeedForward

N_PROMPTS = 11
IMPLEMENTATIONS = ["eager", "sdpa"]  # of which the first takes the plain decoder


@pytest.fixture
def model():
    return tiny_model().requires_grad_(False)


def encoded(model, batch=1):
    return model.get_image_embeddings(images(batch))


@torch.no_grad()
def test_parts_are_called_as_in_transformers(model):
    """Arguments by their names there, results to be unpacked."""
    prompts = dict(input_points=points(), input_labels=labels())
    sparse, dense = model.prompt_encoder(**prompts, input_boxes=None, input_masks=None)
    parts = dict(
        image_embeddings=encoded(model, BATCH),
        image_positional_embeddings=model.get_image_wide_positional_embeddings().repeat(BATCH, 1, 1, 1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        attention_similarity=torch.randn(BATCH * PROMPTS, 1, 1, GRID**2),
        target_embedding=torch.randn(BATCH, 1, 1, CHANNELS),
    )
    masks, iou = model.mask_decoder(**parts)
    optional = {name: parts[name] for name in ("attention_similarity", "target_embedding")}
    expected = model(image_embeddings=parts["image_embeddings"], **prompts, **optional)
    torch.testing.assert_close(masks, expected.pred_masks)
    torch.testing.assert_close(iou, expected.iou_scores)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("multimask_output", [True, False])
def test_proposals_are_the_masks_that_pass(model, multimask_output, implementation, tolerances):
    model.set_attn_implementation(implementation)
    embeddings = encoded(model)
    prompts = dict(input_points=points(1, N_PROMPTS), input_labels=labels(1, N_PROMPTS, among=(0, 1, -10)))
    with torch.no_grad():
        every = model(image_embeddings=embeddings, multimask_output=multimask_output, **prompts)
    threshold = every.iou_scores[every.iou_scores > 0].median().item() + 1e-4
    passing = every.iou_scores[0] > threshold
    assert 0 < passing.sum() < passing.numel()
    for image in (embeddings, model.prepare_image(embeddings)):
        proposals = model.decode_proposals(image, **prompts, iou_threshold=threshold, multimask_output=multimask_output)
        tolerance = tolerances[torch.float32]._asdict()
        torch.testing.assert_close(proposals.low_res_logits, every.pred_masks[0][passing], **tolerance)
        torch.testing.assert_close(proposals.iou_scores, every.iou_scores[0][passing], **tolerance)
        assert torch.equal(proposals.prompt_index, passing.nonzero()[:, 0])
        assert proposals.iou_scores.dtype == torch.float32


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_a_threshold_of_zero_keeps_all(model, threshold, implementation):
    model.set_attn_implementation(implementation)
    model.mask_decoder.iou_prediction_head.proj_out.bias -= 1
    proposals = model.decode_proposals(encoded(model), points(1, N_PROMPTS), iou_threshold=threshold)
    assert (proposals.iou_scores < 0).any()
    assert proposals.low_res_logits.shape == (3 * N_PROMPTS, 4 * GRID, 4 * GRID)
    assert proposals.prompt_index.tolist() == [prompt for prompt in range(N_PROMPTS) for _ in range(3)]


@torch.inference_mode()
def test_only_a_threshold_makes_the_host_wait(model, monkeypatch):
    monkeypatch.setattr(network, "is_accelerator", lambda device: True)
    image, input_points = model.prepare_image(encoded(model)), points(1, N_PROMPTS)
    for threshold, waits_wanted in ((0.0, False), (0.5, True)):
        with HostWaits() as waits:
            model.decode_proposals(image, input_points, iou_threshold=threshold)
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


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("n_prompts", [N_PROMPTS, 0])
def test_nothing_passes(model, n_prompts, implementation):
    model.set_attn_implementation(implementation)
    proposals = model.decode_proposals(encoded(model), points(1, n_prompts), iou_threshold=1e6)
    assert proposals.low_res_logits.shape == (0, 4 * GRID, 4 * GRID)
    assert proposals.iou_scores.shape == proposals.prompt_index.shape == (0,)
    assert proposals.prompt_index.dtype == torch.int64


def test_feed_forward_by_plain_functions():
    module = FeedForward(6, 7, 5, num_layers=4).requires_grad_(False)
    assert len(module.layers) == 2
    features = expected = torch.randn(2, 3, 6)
    layers = [module.proj_in, *module.layers, module.proj_out]
    for index, layer in enumerate(layers):
        expected = expected @ layer.weight.T + layer.bias
        expected = expected.relu() if index < len(layers) - 1 else expected
    torch.testing.assert_close(module(features), expected)


def train_in_parallel(rank, address, results):
    """Three steps of the decoder alone, by both ways of computing it."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    for implementation in IMPLEMENTATIONS:
        model = tiny_model().freeze("vision_encoder", "prompt_encoder")
        model.set_attn_implementation(implementation)
        parallel = DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.mask_decoder.parameters(), lr=1e-3)
        torch.manual_seed(rank)
        embeddings = torch.randn(1, CHANNELS, GRID, GRID)
        for step in range(3):
            output = parallel(image_embeddings=embeddings, input_points=points(1), multimask_output=step % 2 == 0)
            optimizer.zero_grad()
            (output.pred_masks.mean() + output.iou_scores.mean()).backward()
            optimizer.step()
        weights = [weight.detach().flatten() for weight in model.mask_decoder.parameters()]
        results[implementation, rank] = torch.cat(weights)
    distributed.destroy_process_group()


def test_two_processes_train_the_decoder_alone(tmp_path):
    """`DistributedDataParallel` asks for a gradient of every weight, also of the masks that are not asked for."""
    with processes.Manager() as manager:
        results = manager.dict()
        processes.spawn(train_in_parallel, (f"file://{tmp_path}/meet", results), nprocs=2)
        results = dict(results)
    before = torch.cat([weight.detach().flatten() for weight in tiny_model().mask_decoder.parameters()])
    for implementation in IMPLEMENTATIONS:
        first, second = results[implementation, 0], results[implementation, 1]
        assert torch.equal(first, second)
        assert not torch.equal(first, before)
