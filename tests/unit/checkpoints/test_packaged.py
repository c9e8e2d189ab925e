"""What is in the package, loaded without `PreTrainedModel`, against `from_pretrained`."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from anymask import SAM
from anymask.checkpoints.packaged import load_network, load_preparation
from anymask.image_processing_sam import SamImageProcessor
from anymask.modeling.network import SamNetwork
from anymask.modeling_sam import SamModel

NAME = "sam-vit-nano"
HEAVY = ["transformers.modeling_utils", "transformers.processing_utils", "torch._dynamo", "scipy"]
"""What is imported with `PreTrainedModel`, and takes longer than a photo."""


def outputs(model):
    side = model.config.vision_config.image_size
    pixel_values = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(model.dtype)
    with torch.no_grad():
        return model(pixel_values, input_points=torch.tensor([[[[100.0, 90.0]]]]))


@pytest.mark.parametrize("dtype", [None, "auto", "bfloat16", torch.float64])
def test_the_network_is_that_of_from_pretrained(dtype):
    network, model = load_network(NAME, dtype), SamModel.from_pretrained(NAME, **({"dtype": dtype} if dtype else {}))
    assert type(network) is SamNetwork
    assert (network.dtype, network.device, network.training) == (model.dtype, model.device, model.training)
    ours, theirs = network.state_dict(), model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
    assert [name for name, weight in network.named_parameters() if weight.requires_grad] == [
        name for name, weight in model.named_parameters() if weight.requires_grad
    ]
    assert len(list(network.parameters())) == len(list(model.parameters()))  # positions are one
    assert torch.equal(outputs(network).pred_masks, outputs(model).pred_masks)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_the_configuration_is_that_of_from_pretrained(dtype):
    ours, theirs = load_network(NAME, dtype).config, SamModel.from_pretrained(NAME, dtype=dtype).config
    assert ours.to_dict() == theirs.to_dict()
    assert {ours._attn_implementation, ours.vision_config._attn_implementation} == {theirs._attn_implementation}


def test_loading_draws_no_random_numbers():
    state = torch.get_rng_state()
    load_network(NAME)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", ["float33", torch.int8, 32])
def test_dtypes_that_are_none(dtype):
    with pytest.raises(ValueError, match="`dtype` must be a floating dtype of torch or its name"):
        load_network(NAME, dtype)


def test_the_preparation_is_that_of_from_pretrained():
    assert load_preparation(NAME).to_dict() == SamImageProcessor.from_pretrained(NAME).to_dict()


def imported(code):
    """Those of the heavy modules that a program imports."""
    code += f"\nimport sys, json; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def test_nothing_that_segments_imports_a_pretrained_model(tmp_path):
    """The command, without prompts and with one, and the class; in one process, so that it starts once."""
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "photo.png")
    calls = [
        ["segment", str(tmp_path / "photo.png"), "-o", str(tmp_path / name), "--format", "sa1b,overlay,coco", *options]
        for name, options in (("everything", ["--points-per-side", "4"]), ("point", ["--point", "12,9"]))
    ]
    code = f"""
import numpy, anymask
from anymask.cli.main import app
for arguments in {calls}:
    try: app(arguments)
    except SystemExit as end: assert not end.code
sam, image = anymask.SAM(), numpy.zeros((20, 30, 3), numpy.uint8)
session = sam.session(image)
session.add_point(5, 7)
session.result()
sam.predict(sam.embed(image), boxes=[1, 2, 9, 8])
"""
    assert imported(code) == []
    assert (tmp_path / "everything/photo_masks.json").is_file()
    assert (tmp_path / "point/photo_masks.json").is_file()


def test_model_and_processor_are_there_for_whoever_asks():
    sam = SAM(device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (47, 71, 3), dtype=np.uint8)
    before, embedding = sam.predict(image, points=[10, 20])[0], sam.embed(image)
    assert sam.model is sam.model
    assert sam.processor is sam.processor
    after = sam.predict(image, points=[10, 20])[0]
    assert after.low_res_logits.equal(before.low_res_logits)
    assert len(sam.predict(embedding, points=[10, 20])[0]) == 1  # made by the same model and preprocessing
    sam.processor.image_processor.rescale_factor *= 2  # what is done to them shows in masks
    brighter = sam.predict(image, points=[10, 20])[0]
    assert not brighter.low_res_logits.equal(after.low_res_logits)
    with torch.no_grad():
        sam.model.vision_encoder.patch_embed.projection.weight.zero_()
    assert not sam.predict(image, points=[10, 20])[0].low_res_logits.equal(brighter.low_res_logits)


def test_the_model_is_as_from_pretrained_makes_it(tmp_path):
    model = SAM(device="cpu").model
    expected = SamModel.from_pretrained(NAME)
    assert type(model) is SamModel
    assert not model.training
    assert model.get_input_embeddings() is model.vision_encoder.patch_embed
    model.save_pretrained(tmp_path / "ours")
    expected.save_pretrained(tmp_path / "theirs")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()
    model.set_attn_implementation("eager")
    assert model.vision_encoder.config._attn_implementation == "eager"
    assert model.to(torch.bfloat16).dtype == torch.bfloat16
