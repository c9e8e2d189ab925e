import pytest
import torch
from tests.tiny_sam import tiny_config, tiny_model
from torch.utils.flop_counter import FlopCounterMode

from anymask import SamConfig, SamModel, model_info


def meta_model(preset: str) -> SamModel:
    with torch.device("meta"):
        return SamModel(SamConfig.from_preset(preset))


def test_vit_b_by_hand():
    """Multiplications and additions of ViT-B at 1024 px, and the parameters of Meta's published model."""
    tokens, width, heads, head = 64 * 64, 768, 12, 64
    linear = tokens * (3 + 1 + 4 + 4) * width**2  # queries, keys and values; output; both of the MLP
    one_global = 2 * heads * tokens**2 * head + 2 * heads * tokens * 64 * head  # products; positions of rows, columns
    padded = 25 * 14 * 14  # 64 patches take 5 windows of 14
    one_windowed = 2 * heads * padded * 14 * 14 * head + 2 * heads * padded * 14 * head
    around = tokens * (16 * 16 * 3 * width + width * 256 + 3 * 3 * 256 * 256)  # patches; neck
    operations = 2 * (12 * linear + 4 * one_global + 8 * one_windowed + around)

    info = model_info(meta_model("vit_b"))
    encoder, prompts, decoder = info.parts
    assert encoder.gflops == pytest.approx(operations / 1e9, rel=1e-3)  # the code may trade a few for speed
    assert encoder.gflops == pytest.approx(940, rel=0.01)
    assert 0 <= prompts.gflops < 0.01
    assert 1 < decoder.gflops < 10
    positions = 256  # Meta's 93,735,472 leave out the random positional encoding, which does not train
    assert (info.parameters, info.gradients) == (93_735_472 + positions, 93_735_472)
    assert encoder.parameters == 89_670_912
    assert info.weight_bytes == 4 * info.parameters
    assert (info.image_size, info.dtype) == (1024, "float32")
    assert info.gflops == encoder.gflops + prompts.gflops + decoder.gflops


@pytest.mark.parametrize("vision", [dict(), dict(window_size=0), dict(global_attn_indexes=[0, 2]), dict(image_size=48)])
def test_blocks_of_each_kind_stand_for_all(vision):
    image_size = vision.get("image_size", 80)
    config = tiny_config(vision=vision, prompt=dict(image_size=image_size))
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        SamModel(config).eval().vision_encoder(torch.empty(1, 3, image_size, image_size))
    encoder = model_info(SamModel(config)).parts[0]
    assert encoder.gflops == pytest.approx(counter.get_total_flops() / 1e9)


def test_parts_count_what_is_in_them():
    model = tiny_model()
    model.vision_encoder.requires_grad_(False)
    model.mask_decoder.bfloat16()
    encoder, prompts, decoder = model_info(model).parts
    assert (encoder.name, prompts.name, decoder.name) == ("image encoder", "prompt encoder", "mask decoder")
    # Patches; per block two norms, qkv, proj, two linears and one activation; neck of two convolutions and two norms.
    assert encoder.layers == 1 + 3 * 7 + 4
    assert encoder.gradients == 0
    assert encoder.parameters == sum(parameter.numel() for parameter in model.vision_encoder.parameters())
    assert decoder.weight_bytes == 2 * decoder.parameters
    assert prompts.parameters - prompts.gradients == model.shared_image_embedding.positional_embedding.numel()
    total = sum(parameter.numel() for parameter in model.parameters())
    assert encoder.parameters + prompts.parameters + decoder.parameters == total


def test_the_model_is_left_alone():
    model = tiny_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    blocks = model.config.vision_config.num_hidden_layers
    model_info(model)
    assert model.training
    assert model.config.vision_config.num_hidden_layers == blocks
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_as_measured(dtype):
    """The estimate against what torch's profiler sees allocated and freed while sam-vit-nano encodes an image."""
    model = SamModel.from_pretrained("sam-vit-nano", dtype=dtype)
    side = model.config.vision_config.image_size
    pixel_values = torch.zeros(1, 3, side, side, dtype=dtype)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True, activities=[_CPU]) as profiler:
        model.get_image_embeddings(pixel_values)
    memory = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(memory, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    assert model_info(model).activation_bytes == pytest.approx(peak, rel=0.25)


_CPU = torch.profiler.ProfilerActivity.CPU


def test_the_table():
    info = model_info(tiny_model())
    lines = str(info).splitlines()
    assert lines[0].split() == ["part", "layers", "parameters", "gradients", "GFLOPs", "weights"]
    assert [line.split("  ")[0].strip() for line in lines[1:5]] == [
        "image encoder",
        "prompt encoder",
        "mask decoder",
        "total",
    ]
    assert f"{info.parameters:,}" in lines[4]
    assert lines[5] == "float32 on cpu; GFLOPs of one prompt and of one image of 80 x 80 pixels"
    assert lines[6].startswith("activations while an image is encoded: about ")
