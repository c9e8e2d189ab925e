"""Damaged folders, each a whole one with one thing wrong."""

import json
import os

import pytest
import safetensors.torch
import torch
from tests.tiny_sam import tiny_model

from anymask import SamConfig, SamModel, SamVisionModel
from anymask.checkpoints import CheckpointError
from anymask.checkpoints.folders import check_folder

TIED = "prompt_encoder.shared_embedding.positional_embedding"
LIN1 = "vision_encoder.layers.0.mlp.lin1.weight"


class Harmful:
    """Unpickling it would create a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def sharded(tmp_path):
    tiny_model().save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    return tmp_path / "sharded"


def change_index(folder, change):
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps(change(index)))


def with_first_file(index, name):
    first, *rest = index["weight_map"]
    return {**index, "weight_map": {first: name, **{key: index["weight_map"][key] for key in rest}}}


def as_pickle(folder, content):
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")


def test_whole_ones_load(folder, sharded):
    expected = tiny_model().state_dict()
    for path in (folder, sharded):
        assert all(
            torch.equal(tensor, expected[name]) for name, tensor in SamModel.from_pretrained(path).state_dict().items()
        )
    as_pickle(folder, expected)
    assert torch.equal(SamModel.from_pretrained(folder).state_dict()[LIN1], expected[LIN1])


@pytest.mark.parametrize("kept", [0, 1, 100, 5000, -1])
def test_weights_cut_short(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    for loader in (SamModel, SamVisionModel):
        with pytest.raises(CheckpointError, match=r"model\.safetensors must be .*download it again"):
            loader.from_pretrained(folder)


def test_a_shard_cut_short(sharded):
    path = sorted(sharded.glob("*.safetensors"))[1]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=rf"{path.name} must be a whole safetensors file"):
        SamModel.from_pretrained(sharded)


def test_a_shard_that_is_missing(sharded):
    path = sorted(sharded.glob("*.safetensors"))[1]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"must hold all \d+ files .* but lacks {path.name}; download"):
        SamModel.from_pretrained(sharded)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"weight_map": 5}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}', "[" * 9999]
)
def test_a_damaged_index(sharded, content):
    (sharded / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json must say under 'weight_map' which tensor .* damaged"):
        SamModel.from_pretrained(sharded)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "a/b.safetensors", "..", "a\\b.safetensors"])
def test_an_index_leads_nowhere_else(sharded, name):
    change_index(sharded, lambda index: with_first_file(index, name))
    with pytest.raises(CheckpointError, match="must name files beside it, but names"):
        SamModel.from_pretrained(sharded)


def test_code_in_a_pickle_does_not_run(folder, tmp_path):
    trace = tmp_path / "it-ran"
    as_pickle(folder, {**tiny_model().state_dict(), "more": Harmful(trace)})
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin must hold tensors alone.* call \w+\.mkdir"):
        SamModel.from_pretrained(folder)
    assert not trace.exists()


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64])
def test_weights_that_are_whole_numbers(folder, dtype):
    state = tiny_model().state_dict()
    del state[TIED]
    safetensors.torch.save_file({**state, LIN1: state[LIN1].to(dtype)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{LIN1} are {str(dtype)[6:]}; take the file from before"):
        SamModel.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("path", ["folder", "file"])
def test_weights_that_are_not_finite(folder, value, path):
    model = tiny_model()
    model.mask_decoder.iou_token.weight.data[0, 3] = value
    model.save_pretrained(folder)
    with pytest.raises(
        CheckpointError, match=r"must hold finite weights, but NaN or infinity is in mask_decoder\.iou_t"
    ):
        SamModel.from_pretrained(folder if path == "folder" else folder / "model.safetensors")


@pytest.mark.parametrize("path", ["folder", "file"])
def test_two_names_of_one_tensor_with_two_values(folder, path):
    state = tiny_model().state_dict()
    safetensors.torch.save_file({**state, TIED: state[TIED] + 1}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="must hold one positional encoding, but"):
        SamModel.from_pretrained(folder if path == "folder" else folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: [], "must hold a JSON object"),
        (lambda config: 5, "must hold a JSON object"),
        (lambda config: {**config, "vision_config": []}, "a dict of its fields must be given, got list"),
        (lambda config: {**config, "id2label": 5}, "id2label must be a dictionary of names by whole number, got 5"),
        (lambda config: {**config, "vision_config": {"num_hidden_layers": 2**63}}, "num_hidden_layers must be"),
        (lambda config: {**config, "vision_config": {"hidden_act": "mishx"}}, "hidden_act must be the name"),
        (lambda config: {**config, "model_type": "sam_hq"}, "model_type 'sam_hq'"),
    ],
)
def test_wrong_configurations(folder, change, message):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(change(config)))
    with pytest.raises(CheckpointError, match=message):
        SamModel.from_pretrained(folder)


def test_a_configuration_that_is_no_json(folder):
    for content in (b"{", b"\xff\xfe", b"[" * 99999):
        (folder / "config.json").write_bytes(content)
        with pytest.raises((OSError, CheckpointError), match=r"config.*json"):
            SamModel.from_pretrained(folder)


def test_of_several_kinds_the_one_that_loads_is_looked_at(folder, tmp_path):
    (folder / "pytorch_model.bin").write_bytes(b"damaged")
    check_folder(folder, SamConfig)
    (folder / "model.fp16.safetensors").write_bytes(b"damaged")
    check_folder(folder, SamConfig)
    for options in (dict(variant="fp16"), dict(use_safetensors=False)):
        with pytest.raises(CheckpointError, match="damaged"):
            check_folder(folder, SamConfig, **options)


def test_what_is_missing_is_left_to_transformers(tmp_path):
    check_folder(tmp_path, SamConfig)


def test_what_is_no_ordinary_file_is_not_read(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        SamModel.from_pretrained(folder)
