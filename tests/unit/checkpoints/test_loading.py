import os

import pytest
import safetensors.torch
import torch
from tests.tiny_sam import tiny_model
from torch import nn

from anymask import SamImageProcessor, SamImageProcessorFast, SamModel, SamProcessor, SamVisionModel
from anymask.checkpoints import CheckpointError, check_nothing_is_offloaded, is_checkpoint_file, read_checkpoint
from anymask.checkpoints.formats.key_map import TIED_KEY, hub_to_meta

POSITIONS = "shared_image_embedding.positional_embedding"


@pytest.fixture(scope="module")
def model():
    return tiny_model(decoder=dict(num_attention_heads=8, layer_norm_eps=1e-5))


@pytest.fixture
def meta(model):
    """The model's tensors under Meta's names."""
    state = model.state_dict()
    return {name: state[hub] for hub, name in hub_to_meta(state).items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "any_name.pth"


def saved(content, path):
    (safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    return path


def assert_same_weights(actual, expected, dtype=torch.float32):
    expected = expected.state_dict()
    for name, tensor in actual.state_dict().items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, expected[name].to(dtype)), name


@pytest.mark.parametrize("ending", ["pth", "pt", "ckpt", "safetensors", "dat"])
def test_metas_layout_from_any_file(model, meta, tmp_path, ending):
    loaded = SamModel.from_pretrained(saved(meta, tmp_path / f"weights.{ending}"))
    assert_same_weights(loaded, model)
    assert not loaded.training
    assert loaded.config.mask_decoder_config.layer_norm_eps == 1e-5
    assert loaded.config.name_or_path == str(tmp_path / f"weights.{ending}")
    assert loaded.prompt_encoder.shared_embedding.positional_embedding is (
        loaded.shared_image_embedding.positional_embedding
    )


def test_wrapped_files_load(model, meta, path):
    saved({"model": {f"module.{name}": tensor for name, tensor in meta.items()}, "epoch": 3}, path)
    assert_same_weights(SamModel.from_pretrained(path), model)


@pytest.mark.parametrize("tied", ["both", "first", "second"])
def test_hub_layout_with_either_name_of_the_positions(model, path, tied):
    state = dict(model.state_dict())
    if tied != "both":
        del state[POSITIONS if tied == "second" else TIED_KEY]
    loaded = SamModel.from_pretrained(saved(state, path))
    assert_same_weights(loaded, model)
    assert loaded.config.mask_decoder_config.layer_norm_eps == 1e-6


def test_file_of_a_hub_folder_has_the_folders_configurations(tmp_path):
    model = tiny_model()  # four heads in the decoder, which shapes do not say
    model.save_pretrained(tmp_path)
    SamImageProcessorFast(size={"height": 80, "width": 80}, value_range="min_max").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    assert SamModel.from_pretrained(file).config.mask_decoder_config.num_attention_heads == 4
    assert SamProcessor.from_pretrained(file).image_processor.value_range == "min_max"
    assert_same_weights(SamVisionModel.from_pretrained(file), model)


def test_image_encoder_of_a_whole_file(model, meta, path):
    loaded = SamVisionModel.from_pretrained(saved(meta, path))
    assert_same_weights(loaded, model)


def test_file_of_an_image_encoder_alone(model, tmp_path):
    vision = SamVisionModel(model.config.vision_config)
    vision.save_pretrained(tmp_path)
    assert_same_weights(SamVisionModel.from_pretrained(tmp_path / "model.safetensors"), vision)
    with pytest.raises(CheckpointError, match=r"must have all weights.*missing: .*mask_decoder\.\* \(120 keys\)"):
        SamModel.from_pretrained(tmp_path / "model.safetensors")


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("asked", [{}, {"dtype": "auto"}, {"torch_dtype": None}])
def test_dtype_of_the_file_is_kept(model, meta, path, stored, asked):
    saved({name: tensor.to(stored) for name, tensor in meta.items()}, path)
    loaded = SamModel.from_pretrained(path, **asked)
    assert loaded.dtype == loaded.config.dtype == stored
    assert_same_weights(loaded, model, stored)


def test_widest_dtype_of_a_mixed_file(meta, path):
    saved({name: tensor.half() if "blocks" in name else tensor for name, tensor in meta.items()}, path)
    assert SamModel.from_pretrained(path).dtype == torch.float32


@pytest.mark.parametrize(
    "options",
    [
        dict(dtype=torch.bfloat16),
        dict(dtype="bfloat16", device_map="cpu"),
        dict(torch_dtype=torch.bfloat16, device_map={"": "cpu"}, attn_implementation="eager"),
    ],
)
def test_options_of_from_pretrained(model, meta, path, options):
    loaded = SamModel.from_pretrained(saved(meta, path), **options)
    assert_same_weights(loaded, model, torch.bfloat16)
    assert loaded.config._attn_implementation == options.get("attn_implementation", "sdpa")


def test_options_about_the_hub_have_no_effect(model, meta, path):
    hub = dict(revision="x", token="t", cache_dir="/nowhere", local_files_only=True, weights_only=False)
    loaded, info = SamModel.from_pretrained(saved(meta, path), output_loading_info=True, **hub)
    assert_same_weights(loaded, model)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_model_does_not_hang_on_its_file(model, meta, path):
    loaded = SamModel.from_pretrained(saved(meta, path))
    with open(path, "r+b") as file:
        file.write(b"\0" * os.path.getsize(path))
    assert_same_weights(loaded, model)


def test_own_configuration_says_what_shapes_do_not(path):
    model = tiny_model()  # four heads in the decoder
    saved(model.state_dict(), path)
    loaded = SamModel.from_pretrained(path, config=model.config)
    assert loaded.config.mask_decoder_config.num_attention_heads == 4
    assert_same_weights(loaded, model)


class SamWithHead(SamModel):
    """A new head on a trained SAM."""

    def __init__(self, config, classes=2):
        super().__init__(config)
        self.head = nn.Linear(config.mask_decoder_config.hidden_size, classes)
        self.post_init()


def test_subclass_with_a_head_of_its_own(model, meta, path, tmp_path):
    loaded = SamWithHead.from_pretrained(saved(meta, path), 3)
    assert loaded.head.weight.shape == (3, 32)
    assert torch.equal(loaded.mask_decoder.iou_token.weight, model.mask_decoder.iou_token.weight)
    model.save_pretrained(tmp_path / "folder")
    assert SamWithHead.from_pretrained(tmp_path / "folder").head.weight.isfinite().all()


def test_problems_are_listed_by_group_in_the_files_own_names(meta, path):
    for index in range(3):
        del meta[f"image_encoder.blocks.{index}.norm1.bias"]
    meta["image_encoder.extra"] = torch.ones(2)
    meta["mask_decoder.output_upscaling.0.bias"] = torch.ones(3)
    with pytest.raises(
        CheckpointError,
        match=r"3 missing: image_encoder\.blocks\.\*\.norm1\.bias \(3 keys\); 1 unexpected: image_encoder\.extra; "
        r"1 misshapen: mask_decoder\.output_upscaling\.0\.bias \(3,\) for \(8,\)\. It looks like a SAM in Meta's "
        r"layout whose image encoder has 3 blocks of width 36 for 80 x 80 pixels",
    ):
        SamModel.from_pretrained(saved(meta, path))


def test_misshapen_weights_can_be_left_out(meta, path):
    meta["mask_decoder.output_upscaling.0.bias"] = torch.full((3,), 7.0)
    loaded = SamModel.from_pretrained(saved(meta, path), ignore_mismatched_sizes=True)
    assert loaded.mask_decoder.upscale_conv1.bias.shape == (8,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: {"a.weight": torch.ones(2)}, "must hold a SAM, but it holds other tensors: a.weight"),
        (
            lambda meta: {**meta, "mask_decoder.hf_token.weight": torch.ones(1, 32)},
            "must hold a SAM, but it looks like SAM-HQ, which is another model",
        ),
        (
            lambda meta: {name: t for name, t in meta.items() if "mask_decoder" not in name},
            "lacks mask_decoder.mask_tokens.weight.*it has .* tensors, of image_encoder, prompt_encoder",
        ),
        (
            lambda meta: {name: t for name, t in meta.items() if name != "image_encoder.patch_embed.proj.weight"},
            "lacks image_encoder.patch_embed.proj.weight",
        ),
        (
            lambda meta: {name: (t * 9).to(torch.int8) if "lin1" in name else t for name, t in meta.items()},
            r"weights of float16, .*image_encoder\.blocks\.\*\.mlp\.lin1\.weight.* are int8; .* before it was quant",
        ),
        (
            lambda meta: {name: t.squeeze() for name, t in meta.items()},
            "the shapes of its tensors must be those of one SAM",
        ),
    ],
)
def test_other_models(meta, path, change, message):
    with pytest.raises(CheckpointError, match=message):
        SamModel.from_pretrained(saved(change(meta), path))


def test_missing_file_names_the_near_one(meta, tmp_path):
    saved(meta, tmp_path / "sam_vit_b_01ec64.pth")
    with pytest.raises(FileNotFoundError, match=r"there is none; did you mean 'sam_vit_b_01ec64\.pth'\?"):
        SamModel.from_pretrained(tmp_path / "sam_vit_b.pth")
    with pytest.raises(FileNotFoundError, match=r"'nowhere/x\.pth' must be a file.*facebook/sam-vit-base"):
        SamProcessor.from_pretrained("nowhere/x.pth")


def test_which_names_are_files(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "weights").touch()
    (tmp_path / "preprocessor_config.json").touch()
    (tmp_path / "circle").symlink_to("circle")
    for name in ("weights", "circle", "missing.pth", "missing.safetensors"):
        assert is_checkpoint_file(tmp_path / name), name
    for name in ("folder.pth", "preprocessor_config.json", "missing"):
        assert not is_checkpoint_file(str(tmp_path / name)), name
    assert not is_checkpoint_file(None)
    assert not is_checkpoint_file("facebook/sam-vit-base")


@pytest.mark.parametrize("processor_class", [SamProcessor, SamImageProcessor, SamImageProcessorFast])
def test_processors_take_the_size_of_the_files_model(meta, path, processor_class):
    processor = processor_class.from_pretrained(saved(meta, path), do_normalize=False, revision="x")
    processor = getattr(processor, "image_processor", processor)
    assert processor.size == processor.size | {"longest_edge": 80}
    assert dict(processor.pad_size) == {"height": 80, "width": 80}
    assert dict(processor.mask_pad_size) == {"height": 40, "width": 40}
    assert processor.do_normalize is False
    with pytest.raises(TypeError, match=r"no option 'do_normalise'.*'do_normalize'"):
        processor_class.from_pretrained(path, do_normalise=False)


def test_checkpoint_describes_itself(meta, path):
    checkpoint = read_checkpoint(saved(meta, path))
    assert checkpoint.layout == "Meta"
    assert checkpoint.dtype == torch.float32
    assert checkpoint.names_in_file([POSITIONS]) == ["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    assert "a SAM in Meta's layout" in checkpoint.describe()


@pytest.mark.parametrize(
    ("device_map", "offloaded"),
    [
        ({"": "cpu"}, None),
        ({"": "cuda:0"}, None),
        ({"vision_encoder": 0, "prompt_encoder": 1, "mask_decoder": 1}, None),
        ({}, None),
        ({"": "disk"}, "offloads the model;"),
        ({"vision_encoder": "cpu", "mask_decoder": "disk", "prompt_encoder": "disk"}, "mask_decoder, prompt_encoder;"),
        ({"vision_encoder": 0, "mask_decoder": "cpu", "prompt_encoder": torch.device("cpu")}, "mask_decoder, prompt_"),
    ],
)
def test_what_counts_as_offloaded(device_map, offloaded):
    if offloaded is None:
        check_nothing_is_offloaded(device_map)
    else:
        with pytest.raises(ValueError, match=f"`device_map` must keep every part of SAM on a device.*{offloaded}"):
            check_nothing_is_offloaded(device_map)
