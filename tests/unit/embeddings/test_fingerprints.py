import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.tiny_sam import tiny_config, tiny_model

from anymask import SamImageProcessor, SamImageProcessorFast, SamModel, SamVisionModel, load_image
from anymask.checkpoints import save_meta_checkpoint
from anymask.embeddings import fingerprints
from anymask.embeddings.fingerprints import (
    image_fingerprint,
    model_fingerprint,
    preprocessing_differences,
    preprocessing_fingerprint,
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder in the hub's layout, and the fingerprint of what was saved there in float32."""
    model = tiny_model(seed=1)
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    return folder, model_fingerprint(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_has_one_fingerprint_in_float32_and_bfloat16(checkpoint, dtype):
    folder, expected = checkpoint
    model = SamModel.from_pretrained(folder, dtype=dtype)
    assert model.dtype == dtype
    assert model_fingerprint(model) == expected
    assert len(expected) == 64
    assert set(expected) <= set("0123456789abcdef")


def test_the_image_encoder_alone_has_the_fingerprint_of_the_whole(checkpoint):
    folder, expected = checkpoint
    assert model_fingerprint(SamVisionModel.from_pretrained(folder)) == expected


def test_layouts_share_a_fingerprint(tmp_path):
    model = SamModel(tiny_config(vision=dict(num_attention_heads=3), decoder=dict(num_attention_heads=8)))
    save_meta_checkpoint(model, tmp_path / "nano.pth")
    read_back = SamModel.from_pretrained(tmp_path / "nano.pth")
    assert model_fingerprint(read_back) == model_fingerprint(model)


def test_what_the_encoder_computes_changes_the_fingerprint_and_the_rest_does_not():
    model = tiny_model()
    before = model_fingerprint(model)
    with torch.no_grad():
        model.mask_decoder.iou_token.weight.add_(1)
        model.prompt_encoder.no_mask_embed.weight.add_(1)
    assert model_fingerprint(model) == before
    with torch.no_grad():
        model.vision_encoder.neck.conv2.weight[0, 1, 2, 1] += 1
    changed = model_fingerprint(model)
    assert changed != before
    # The same tensors, read otherwise: every block windowed, and another activation.
    others = [tiny_model(vision=dict(window_size=5)), tiny_model(vision=dict(hidden_act="relu"))]
    assert len({before, changed, *map(model_fingerprint, others)}) == 4


def test_an_optimizer_step_is_noticed():
    model = tiny_model()
    before = model_fingerprint(model)
    bias = model.vision_encoder.patch_embed.projection.bias
    optimizer = torch.optim.SGD([bias], lr=1.0)
    bias.grad = torch.ones_like(bias)
    optimizer.step()
    assert model_fingerprint(model) != before


def test_unchanged_weights_are_hashed_once(monkeypatch):
    model = tiny_model()
    hashed = []
    original = fingerprints._hash_encoder
    monkeypatch.setattr(fingerprints, "_hash_encoder", lambda *args: hashed.append(1) or original(*args))
    first = model_fingerprint(model)
    assert (model_fingerprint(model), len(hashed)) == (first, 1)
    # Inference tensors do not count their changes, so they are hashed every time.
    with torch.inference_mode():
        frozen = tiny_model()
    assert [model_fingerprint(frozen), model_fingerprint(frozen)] == [first, first]
    assert len(hashed) == 3


def test_a_compiled_encoder_is_the_same_encoder():
    model = tiny_model()
    before = model_fingerprint(model)
    model.vision_encoder = torch.compile(model.vision_encoder, backend="eager")
    assert model_fingerprint(model) == before


def test_weights_without_values_are_refused():
    with pytest.raises(ValueError, match=r"must have its weights .* is on the meta device; load the model onto"):
        model_fingerprint(tiny_model().to("meta"))


def test_preprocessing_is_readable_and_holds_what_decides_pixels():
    assert json.loads(preprocessing_fingerprint(SamImageProcessor())) == {
        "image_processor_type": "SamImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"longest_edge": 1024},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "do_pad": True,
        "pad_size": {"height": 1024, "width": 1024},
    }


@pytest.mark.parametrize(
    "options",
    [
        dict(size=512),
        dict(resample=3),
        dict(do_rescale=False),
        dict(image_mean=0.5),
        dict(size_divisor=16),
        dict(pad_size=None),
        dict(value_range="min_max"),
        dict(value_range=(-160, 240)),
    ],
)
def test_options_that_change_pixels_change_the_fingerprint(options):
    assert preprocessing_fingerprint(SamImageProcessor(**options)) != preprocessing_fingerprint(SamImageProcessor())


@pytest.mark.parametrize(
    ("options", "idle"),
    [
        (dict(), dict(mask_size=64, mask_pad_size=64)),
        (dict(do_normalize=False), dict(image_mean=0.5, image_std=0.5)),
        (dict(do_resize=False), dict(size=2048, pad_size=1024, resample=3)),
        (dict(do_pad=False), dict(pad_size=2048)),
        (dict(pad_size=1024), dict(pad_size=1024, size_divisor=16)),
    ],
)
def test_options_without_effect_do_not_count(options, idle):
    first, second = SamImageProcessor(**options), SamImageProcessor(**{**options, **idle})
    assert preprocessing_fingerprint(first) == preprocessing_fingerprint(second)


def test_differences_of_preprocessing_are_named():
    first = preprocessing_fingerprint(SamImageProcessor(value_range="min_max"))
    second = preprocessing_fingerprint(SamImageProcessorFast())
    assert preprocessing_differences(first, second) == [
        "image_processor_type was SamImageProcessor and is SamImageProcessorFast",
        "value_range was min_max and is None",
    ]


def test_an_image_is_its_values_size_and_type():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    same = [pixels, Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1), np.asfortranarray(pixels)]
    assert len({image_fingerprint(load_image(image)) for image in same}) == 1
    others = [pixels, pixels[::-1], pixels.reshape(6, 4, 3), pixels.astype(np.uint16), pixels[:, :, :1]]
    assert len({image_fingerprint(load_image(image)) for image in others}) == len(others)
