"""Programs made of the model hold for other images, prompts and points than those that they were made with."""

import warnings

import pytest
import torch
from tests.tiny_sam import boxes, images, labels, mask_prompts, points, relative_difference, tiny_model
from torch import nn
from torch.export import Dim

from anymask.support.exporting import is_being_exported


class Encoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model.get_image_embeddings(pixel_values)


class Decoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image_embeddings, input_points, input_labels):
        output = self.model(image_embeddings=image_embeddings, input_points=input_points, input_labels=input_labels)
        return output.pred_masks, output.iou_scores


class DecoderWithoutLabels(Decoder):
    def forward(self, image_embeddings, input_points):
        output = self.model(image_embeddings=image_embeddings, input_points=input_points)
        return output.pred_masks, output.iou_scores


class DecoderOfEverything(Decoder):
    def forward(self, image_embeddings, input_points, input_labels, input_boxes, input_masks):
        output = self.model(
            image_embeddings=image_embeddings,
            input_points=input_points,
            input_labels=input_labels,
            input_boxes=input_boxes,
            input_masks=input_masks,
        )
        return output.pred_masks, output.iou_scores


BATCH, PROMPTS, POINTS = Dim("batch", max=64), Dim("prompts", max=512), Dim("points", max=64)
PARTS = {
    Encoder: (lambda batch, prompts, n_points: (images(batch),), ({0: BATCH},)),
    Decoder: (
        lambda batch, prompts, n_points: (
            torch.randn(batch, 32, 10, 10),
            points(batch, prompts, n_points),
            labels(batch, prompts, n_points, among=(0, 1, -10)),
        ),
        ({0: BATCH}, {0: BATCH, 1: PROMPTS, 2: POINTS}, {0: BATCH, 1: PROMPTS, 2: POINTS}),
    ),
    DecoderWithoutLabels: (
        lambda batch, prompts, n_points: (torch.randn(batch, 32, 10, 10), points(batch, prompts, n_points)),
        ({0: BATCH}, {0: BATCH, 1: PROMPTS, 2: POINTS}),
    ),
    DecoderOfEverything: (
        lambda batch, prompts, n_points: (
            torch.randn(batch, 32, 10, 10),
            points(batch, prompts, n_points),
            labels(batch, prompts, n_points, among=(0, 1, -10)),
            boxes(batch, prompts),
            mask_prompts(batch, 1),
        ),
        (
            {0: BATCH},
            {0: BATCH, 1: PROMPTS, 2: POINTS},
            {0: BATCH, 1: PROMPTS, 2: POINTS},
            {0: BATCH, 1: PROMPTS},
            {0: BATCH},
        ),
    ),
}
OTHER_SIZES = [(1, 1, 1), (2, 5, 2), (3, 2, 7)]


@pytest.fixture(scope="module")
def model():
    return tiny_model().requires_grad_(False)


def as_tuple(output):
    return output if isinstance(output, tuple) else (output,)


def assert_holds(program, module, make):
    for sizes in OTHER_SIZES:
        inputs = make(*sizes)
        with torch.no_grad():
            expected = as_tuple(module(*inputs))
        for mine, their in zip(as_tuple(program(*inputs)), expected, strict=True):
            assert relative_difference(torch.as_tensor(mine), their) < 1e-4, sizes


@pytest.mark.parametrize("part", PARTS)
def test_export(model, part):
    module, (make, dynamic) = part(model).eval(), PARTS[part]
    program = torch.export.export(module, make(2, 3, 4), dynamic_shapes=dynamic)
    assert_holds(program.module(), module, make)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("part", PARTS)
def test_trace(model, part, gradients):
    module, (make, _) = part(model).eval(), PARTS[part]
    with warnings.catch_warnings(), torch.set_grad_enabled(gradients):
        warnings.simplefilter("ignore")  # that tracing is old, and takes sizes of the model for constants
        program = torch.jit.trace(module, make(2, 3, 4))
    assert_holds(program, module, make)


@pytest.mark.parametrize("part", PARTS)
def test_compile(model, part):
    """One graph without breaks, for all sizes."""
    module, (make, _), graphs = part(model).eval(), PARTS[part], []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    program = torch.compile(module, fullgraph=True, dynamic=True, backend=backend)
    with torch.no_grad():
        assert_holds(program, module, lambda *sizes: make(*(size + 1 for size in sizes)))
    assert len(graphs) <= 2
    torch._dynamo.reset()


def test_only_then(model):
    seen = []

    class Asks(nn.Module):
        def forward(self, features):
            seen.append(is_being_exported())
            return features + 1

    assert not is_being_exported()
    torch.export.export(Asks(), (torch.zeros(2, 3),), strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Asks(), torch.zeros(2, 3), check_trace=False)
    assert seen == [True, True]
    assert not is_being_exported()
