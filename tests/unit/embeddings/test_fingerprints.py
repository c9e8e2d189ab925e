import json

import numpy as np
import peft
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


def add_by_data(model, weight):
    weight.data.add_(1e-3)


def add_by_numpy(model, weight):
    weight.detach().numpy()[-1] += 1e-3


def step_of_a_fused_optimizer(model, weight):
    weight.grad = torch.ones_like(weight)
    torch.optim.AdamW([weight], lr=1e-3, fused=True).step()


def average_of_weights(model, weight):
    other = tiny_model(seed=5)
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(other)
    averaged.update_parameters(other)
    with torch.no_grad():
        for own, mean in zip(model.parameters(), averaged.module.parameters(), strict=True):
            own.data.copy_(mean)


def merge_of_an_adapter(model, weight):
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["qkv"], r=2))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.01)
    adapted.merge_and_unload()


def smallest_change_of_one_value(model, weight):
    weight.data[0, 1, 2, 1] = torch.nextafter(weight.data[0, 1, 2, 1], torch.tensor(9.0)) * 1.01


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # in peft
@pytest.mark.parametrize(
    "change",
    [
        *(add_by_data, add_by_numpy, step_of_a_fused_optimizer, average_of_weights, merge_of_an_adapter),
        smallest_change_of_one_value,
    ],
)
def test_changes_around_autograd_are_noticed(change):
    model = tiny_model()
    before = model_fingerprint(model)
    assert model_fingerprint(model) == before
    change(model, model.vision_encoder.neck.conv2.weight)
    assert model_fingerprint(model) != before


def test_changes_of_inference_tensors_are_noticed():
    with torch.inference_mode():
        model = tiny_model()
    before = model_fingerprint(model)
    assert before == model_fingerprint(tiny_model())
    add_by_numpy(model, model.vision_encoder.neck.conv2.weight)
    assert model_fingerprint(model) != before


def test_weights_of_any_alignment_and_kind_are_added_up():
    """Parameters that are views of one buffer, of an odd number of values, not contiguous, or of 2 or 8 bytes."""
    buffer = torch.randn(101)
    cases = [buffer[1:8], buffer[3:10].half(), buffer[:24].reshape(4, 6).T, buffer[5:8].double(), buffer[:0]]
    for tensor in cases:
        expected = fingerprints._sums([tensor])
        assert expected == fingerprints._sums([tensor.clone()])
        for index in np.ndindex(*tensor.shape):
            changed = tensor.clone()
            changed[index] += 1
            assert fingerprints._sums([changed]) != expected


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
