"""The transformers.js layout in transformers.js itself, under Node and offline; its masks beside those of Python.

`make test-node` installs the package from package-lock.json, without running its scripts.
"""

import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny_sam import relative_difference

from anymask import SamModel, SamProcessor
from anymask.export.export import export
from anymask.images.load import load_image
from anymask.masks.measures import mask_iou

pytestmark = pytest.mark.node
HERE = Path(__file__).parent
PHOTO = HERE.parents[1] / "examples" / "chelsea.jpg"
PROMPTS = [
    {"points": [[[220, 160]]], "labels": [[1]]},
    {"points": [[[10, 5], [400, 299]]], "labels": [[2, 3]]},  # a box by its corners
    {"points": [[[220, 160], [30, 30]], [[120, 100], [5, 290]]], "labels": [[1, 0], [1, 0]]},
]


@pytest.fixture(scope="module")
def model():
    return SamModel.from_pretrained("sam-vit-nano").float().eval()


@pytest.fixture(scope="module")
def processor():
    return SamProcessor.from_pretrained("sam-vit-nano")


def unpacked(array, dtype):
    return np.frombuffer(base64.b64decode(array["bytes"]), dtype).reshape(array["shape"])


@pytest.mark.parametrize(
    ("dtype", "precision", "tolerance", "least_iou"), [("fp32", "fp32", 1e-3, 0.999), ("q8", "int8", 0.25, 0.98)]
)
def test_masks_are_those_of_python(model, processor, tmp_path, dtype, precision, tolerance, least_iou):
    """The same pixels give the same logits and masks; each library resizes a photo in its way, which is near."""
    options = dict(layout="transformers.js", precision=precision)
    export(model, tmp_path / "models" / "nano", preprocessor=processor.image_processor, **options)
    request = dict(models=str(tmp_path / "models"), name="nano", dtype=dtype, image=str(PHOTO), prompts=PROMPTS)
    (tmp_path / "request.json").write_text(json.dumps({**request, "output": str(tmp_path / "answers.json")}))
    subprocess.run(["node", HERE / "segment.js", tmp_path / "request.json"], check=True, cwd=HERE, timeout=300)
    answers = json.loads((tmp_path / "answers.json").read_text())
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        labels = torch.tensor([prompt["labels"]])
        pixels, points = (torch.tensor(unpacked(answer[name], np.float32)) for name in ("pixel_values", "input_points"))
        with torch.no_grad():
            expected = model(pixels, input_points=points, input_labels=labels)
        logits, scores = (unpacked(answer[name], np.float32) for name in ("pred_masks", "iou_scores"))
        assert relative_difference(torch.tensor(logits), expected.pred_masks) < tolerance
        assert relative_difference(torch.tensor(scores), expected.iou_scores) < tolerance

        inputs = processor(
            load_image(PHOTO), input_points=[prompt["points"]], input_labels=[prompt["labels"]], return_tensors="pt"
        )
        # Each library rounds the resized size in its way, and scales points by what it got.
        [theirs], [ours] = answer["reshaped_input_sizes"], inputs["reshaped_input_sizes"].tolist()
        assert np.abs(np.subtract(theirs, ours)).max() <= 1
        ratio_yx = torch.tensor(theirs) / torch.tensor(ours)
        torch.testing.assert_close(points, inputs["input_points"].float() * ratio_yx.flip(0), rtol=1e-5, atol=1e-4)
        sizes = inputs["original_sizes"], torch.tensor([theirs])
        [masks] = processor.post_process_masks(expected.pred_masks, *sizes)
        found = unpacked(answer["masks"], np.uint8).astype(bool)
        assert found.shape == tuple(masks.shape)
        best = expected.iou_scores[0].argmax(dim=-1)
        prompts = torch.arange(len(best))
        ious = mask_iou(found[prompts, best], masks[prompts, best].numpy())
        assert ious.min() >= least_iou, ious
        assert (
            pixels - inputs["pixel_values"]
        ).abs().mean() < 0.05  # 0.034, by the filter and the rounding of the resize
