import json

import peft
import pytest
import safetensors.torch
import torch
from tests.tiny_sam import images, points, relative_difference, tiny_image_processor, tiny_model

from anymask import SAM, SamModel, SamProcessor, SamVisionModel
from anymask.checkpoints import CheckpointError
from anymask.checkpoints.formats.key_map import hub_to_meta

# peft asks Transformers by a name that has been replaced.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_model().save_pretrained(folder)
    tiny_image_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(base, tmp_path):
    """An adapter that changes much, and the model under it."""
    model = peft.get_peft_model(SamModel.from_pretrained(base), peft.LoraConfig(target_modules=["q_proj", "qkv"], r=4))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3, generator=generator)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", model.eval()


def masks(model):
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        return model(pixel_values=images(), input_points=points()).pred_masks


def test_an_adapter_is_merged_into_the_base_that_it_names(base, adapter):
    folder, model = adapter
    expected = masks(model)
    for path in (folder, folder / "adapter_model.safetensors", str(folder)):
        loaded = SamModel.from_pretrained(path)
        assert type(loaded) is SamModel and not any("lora" in name for name, _ in loaded.named_parameters())
        assert relative_difference(masks(loaded), expected) < 1e-5
    assert relative_difference(masks(SamModel.from_pretrained(base)), expected) > 0.01
    assert SAM(folder).processor.target_size == 80


def test_another_base_can_be_given(base, adapter, tmp_path):
    folder, model = adapter
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    for loader in (SamModel, SamProcessor):
        with pytest.raises(CheckpointError, match=r"must name the model that the adapter is for.*base='sam-vit-nano'"):
            loader.from_pretrained(folder)
    assert relative_difference(masks(SamModel.from_pretrained(folder, base=base)), masks(model)) < 1e-5


def test_the_packaged_base_is_found_wherever_it_lay(adapter):
    folder, _ = adapter
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/another/machine/site-packages/anymask/weights/sam-vit-nano"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert SamProcessor.from_pretrained(folder).target_size == 320


def test_adapters_that_do_not_fit(base, adapter):
    folder, _ = adapter
    state = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    first = next(iter(state))
    for change in (
        {name: tensor for name, tensor in state.items() if name != first},
        {**state, first: state[first][:, :-1].contiguous()},
    ):
        safetensors.torch.save_file(change, folder / "adapter_model.safetensors")
        with pytest.raises(CheckpointError, match="must hold an adapter for this model, but peft cannot apply it"):
            SamModel.from_pretrained(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors must be a file that"):
        SamModel.from_pretrained(folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="must hold an adapter's weights"):
        SamModel.from_pretrained(folder)


@pytest.mark.parametrize("layout", ["hub", "Meta", "alone in hub", "alone in Meta"])
def test_a_decoder_onto_a_base(base, tmp_path, layout):
    trained, before = tiny_model(seed=1), tiny_model()
    state = trained.state_dict()
    names = hub_to_meta(state) if "Meta" in layout else {name: name for name in state}
    skipped = len("mask_decoder.") if "alone" in layout else 0
    decoder = {names[name][skipped:]: t for name, t in state.items() if name.startswith("mask_decoder.")}
    torch.save({"epoch": 3, "weights": decoder}, tmp_path / "decoder.pth")
    with pytest.raises(CheckpointError, match=r"must hold a whole SAM, but lacks .*base='facebook/sam-vit-base'"):
        SamModel.from_pretrained(tmp_path / "decoder.pth")
    loaded = SamModel.from_pretrained(tmp_path / "decoder.pth", base=base)
    for name, tensor in loaded.state_dict().items():
        source = trained if name.startswith("mask_decoder.") else before
        assert torch.equal(tensor, source.state_dict()[name]), name


def test_an_image_encoder_alone_in_metas_layout(base, tmp_path):
    trained = tiny_model(seed=1)
    names = hub_to_meta(trained.state_dict())
    encoder = {
        names[name].removeprefix("image_encoder."): tensor
        for name, tensor in trained.state_dict().items()
        if name.startswith("vision_encoder.")
    }
    torch.save(encoder, tmp_path / "encoder.pth")
    loaded = SamVisionModel.from_pretrained(tmp_path / "encoder.pth")
    assert torch.equal(loaded.vision_encoder.pos_embed, trained.vision_encoder.pos_embed)
    with pytest.raises(CheckpointError, match=r"missing: .*mask_decoder.*pass the whole as base="):
        SamModel.from_pretrained(tmp_path / "encoder.pth")
    whole = SamModel.from_pretrained(tmp_path / "encoder.pth", base=base)
    assert torch.equal(whole.vision_encoder.pos_embed, trained.vision_encoder.pos_embed)


def test_parts_that_do_not_fit_their_base(base, tmp_path):
    torch.save(
        {"mask_decoder.iou_token.weight": torch.ones(1, 7), "mask_decoder.more": torch.ones(2)}, tmp_path / "x.pth"
    )
    with pytest.raises(CheckpointError, match=r"must hold weights of .*1 unexpected: mask_decoder\.more; 1 misshapen"):
        SamModel.from_pretrained(tmp_path / "x.pth", base=base)


def test_a_base_without_a_part_is_refused(base):
    with pytest.raises(ValueError, match="`base` must come with a file that holds a part of a SAM"):
        SamModel.from_pretrained(base, base=base)
