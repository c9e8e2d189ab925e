"""The packaged model: its size, its first guess of where a click is, its image processor, and what is loaded as it."""

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny_sam import tiny_config, tiny_model

from anymask.configuration_sam import SamConfig
from anymask.image_processing_sam import SamImageProcessor
from anymask.modeling_sam import SamModel
from anymask.training.nano.model import (
    IMAGE_SIZE,
    MASK_STRIDE,
    PATCH_SIZE,
    export_model,
    load_nano,
    nano_config,
    nano_image_processor,
    nano_model,
)
from anymask.weights.names import WEIGHTS_FOLDER

PACKAGED = WEIGHTS_FOLDER / "sam-vit-nano"


def test_cross_attention_begins_near_the_prompt():
    torch.manual_seed(0)
    model = nano_model()
    attention = model.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    positions = model.get_image_wide_positional_embeddings().flatten(2)[0].T  # (pixels, channels)
    with torch.no_grad():
        scores = attention.q_proj(positions) @ attention.k_proj(positions).T
    side = IMAGE_SIZE // PATCH_SIZE
    rows, columns = torch.arange(len(positions)) // side, torch.arange(len(positions)) % side
    best = scores.argmax(dim=1)
    # Half the channels are gone, so the highest score may be a neighbour's.
    assert (rows - rows[best]).abs().max() <= 2
    assert (columns - columns[best]).abs().max() <= 2


def test_image_processor_fits_the_model():
    processor = nano_image_processor(128)
    geometry = processor.geometry((300, 200))
    assert geometry.resized_size_hw == (128, 85) and geometry.padded_size_hw == (128, 128)
    assert processor.to_dict()["mask_pad_size"] == {"height": 128 // MASK_STRIDE, "width": 128 // MASK_STRIDE}


@pytest.mark.parametrize("image_size", [256, 408])
def test_a_model_of_another_frame_computes_as_with_interpolated_positions(tmp_path, image_size):
    other = tiny_model(vision=dict(image_size=image_size), prompt=dict(image_size=image_size))
    other.save_pretrained(tmp_path)
    loaded = load_nano(str(tmp_path))
    pixel_values = torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    with torch.no_grad():
        expected = other.get_image_embeddings(pixel_values, interpolate_pos_encoding=True)
        assert torch.equal(loaded.get_image_embeddings(pixel_values), expected)
    assert not loaded.training
    assert loaded.dtype == torch.float32
    in_frame = tiny_config(vision=dict(image_size=IMAGE_SIZE), prompt=dict(image_size=IMAGE_SIZE))
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        assert settings(getattr(loaded.config, part)) == settings(getattr(in_frame, part))
    export_model(loaded, tmp_path / "out")  # whose positions are those of its frame
    assert SamModel.from_pretrained(tmp_path / "out").config.vision_config.image_size == IMAGE_SIZE


def test_a_model_of_this_frame_is_loaded_as_it_is():
    loaded, packaged = load_nano("sam-vit-nano"), SamModel.from_pretrained("sam-vit-nano")
    assert loaded.config.vision_config.image_size == IMAGE_SIZE
    for name, weight in packaged.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name


def test_the_packaged_folder_is_what_is_exported(tmp_path):
    export_model(load_nano("sam-vit-nano"), tmp_path)
    exported, packaged = (load_file(folder / "model.safetensors") for folder in (tmp_path, PACKAGED))
    assert {weight.dtype for weight in packaged.values()} == {torch.float16}
    assert list(exported) == list(packaged)
    assert all(torch.equal(weight, packaged[name]) for name, weight in exported.items())
    processors = [SamImageProcessor.from_pretrained(folder).to_dict() for folder in (tmp_path, PACKAGED)]
    assert processors[0] == processors[1] == nano_image_processor().to_dict()
    assert SamConfig.from_pretrained(tmp_path).to_dict() == SamConfig.from_pretrained(PACKAGED).to_dict()


def test_the_packaged_configuration_is_that_of_training():
    packaged, fresh = SamConfig.from_pretrained(PACKAGED), nano_config()
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        assert settings(getattr(packaged, part)) == settings(getattr(fresh, part))
    assert packaged.mask_generation == fresh.mask_generation
    assert packaged.prompted_masks == fresh.prompted_masks


def settings(config):
    """What a configuration says of the network, not of how it was loaded."""
    return {name: value for name, value in config.to_dict().items() if name not in ("dtype", "torch_dtype")}
