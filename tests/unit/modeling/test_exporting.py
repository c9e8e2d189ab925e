"""Programs made of the model hold for other images, prompts and points than those that they were made with."""

import inspect
import warnings

import pytest
import torch
from tests.tiny_sam import boxes, images, labels, mask_prompts, points, relative_difference, tiny_model
from torch import nn
from torch.export import Dim
from torch.nn.attention import SDPBackend, sdpa_kernel

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


def assert_holds(program, module, make, all_sizes=OTHER_SIZES):
    for sizes in all_sizes:
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
    # Sizes that are equal at first, to each other or to a constant such as the 3 of RGB, are taken for one.
    with torch.no_grad():
        assert_holds(program, module, make, [(5, 6, 7), (2, 5, 3), (4, 3, 8)])
    assert len(graphs) == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("exporter", ["classic", pytest.param("dynamo", marks=pytest.mark.slow)])
@pytest.mark.parametrize("part", PARTS)
def test_onnx(model, part, exporter, tmp_path):
    """Both exporters: the one that traces, and today's, which takes some ten seconds for each part."""
    onnxruntime = pytest.importorskip("onnxruntime")
    module, (make, dynamic) = part(model).eval(), PARTS[part]
    inputs = list(inspect.signature(module.forward).parameters)
    outputs = ["image_embeddings"] if part is Encoder else ["pred_masks", "iou_scores"]
    if exporter == "dynamo":
        options = dict(dynamo=True, dynamic_shapes=dynamic, verbose=False)
    else:
        axes = {
            name: {axis: dim.__name__ for axis, dim in dims.items()} for name, dims in zip(inputs, dynamic, strict=True)
        }
        axes |= {name: {0: "batch"} if part is Encoder else {0: "batch", 1: "prompts"} for name in outputs}
        options = dict(dynamo=False, dynamic_axes=axes)
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore")  # that the one is old, and what the other misses
        options |= dict(input_names=inputs, output_names=outputs, opset_version=18)
        torch.onnx.export(module, make(2, 3, 4), tmp_path / "part.onnx", **options)
    session = onnxruntime.InferenceSession(tmp_path / "part.onnx")

    def program(*values):
        return tuple(session.run(outputs, {name: value.numpy() for name, value in zip(inputs, values, strict=True)}))

    assert_holds(program, module, make)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_ahead_of_time(model, part, tmp_path):
    """AOTInductor: a library that runs without Python."""
    module, (make, dynamic) = part(model).eval(), PARTS[part]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler
        exported = torch.export.export(module, make(2, 3, 4), dynamic_shapes=dynamic)
        package = torch._inductor.aoti_compile_and_package(exported, package_path=str(tmp_path / "part.pt2"))
        program = torch._inductor.aoti_load_package(package)
        assert_holds(program, module, make)


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
