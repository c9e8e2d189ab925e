from pathlib import Path

import pytest
import torch

from anymask import SAM, SamConfig, SamImageProcessor, SamModel, SamProcessor, SamVisionModel
from anymask.weights import names as pretrained
from anymask.weights.names import recognise_file_name, resolve_checkpoint


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    """A package with one checkpoint folder, seen from an empty working directory."""
    folder = tmp_path / "weights"
    (folder / "sam-vit-nano").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(pretrained, "WEIGHTS_FOLDER", folder)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def test_packaged_name_becomes_its_folder(weights_folder):
    assert resolve_checkpoint("sam-vit-nano") == str(weights_folder / "sam-vit-nano")


def test_local_folder_of_the_same_name_wins(weights_folder):
    Path("sam-vit-nano").mkdir()
    assert resolve_checkpoint("sam-vit-nano") == "sam-vit-nano"


@pytest.mark.parametrize(("name", "size"), [("sam_b.pt", "base"), ("sam_l.pt", "large"), ("sam_h.pt", "huge")])
def test_other_packages_names_of_metas_checkpoints_stand_for_the_hubs(weights_folder, name, size):
    assert resolve_checkpoint(name) == f"facebook/sam-vit-{size}"
    Path(name).touch()
    assert resolve_checkpoint(name) == name


def test_broken_link_of_such_a_name_is_not_passed_over(weights_folder):
    Path("sam_b.pt").symlink_to("gone.pt")
    assert resolve_checkpoint("sam_b.pt") == "sam_b.pt"


@pytest.mark.parametrize(
    "name", ["facebook/sam-vit-base", "runs/last", "sam.pth", Path("sam-vit-nano"), Path("a/b"), None]
)
def test_everything_else_is_left_alone(weights_folder, name):
    assert resolve_checkpoint(name) is name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sam-vit-base", "did you mean 'facebook/sam-vit-base'?"),
        ("sam_vit_h", "did you mean 'facebook/sam-vit-huge'?"),
        ("sam-nano", "did you mean 'sam-vit-nano'?"),
        ("sam_b", "did you mean 'sam_b.pt'?"),
        ("nope", "'sam-vit-nano' is in this package."),
    ],
)
def test_a_name_that_can_be_no_checkpoint_is_refused_without_asking_the_hub(weights_folder, monkeypatch, name, hint):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(FileNotFoundError, match=rf"'{name}' must be a folder or file, .* owner/name.*") as raised:
        resolve_checkpoint(name)
    assert str(raised.value).endswith(hint)
    Path(name).mkdir()
    assert resolve_checkpoint(name) is name


@pytest.mark.parametrize("endpoint", [None, "https://mirror.example"])
@pytest.mark.parametrize("name", ["./run", "../run", "/data/run", "runs/3/model"])
def test_a_path_that_leads_nowhere_is_not_taken_for_a_hub_id(weights_folder, monkeypatch, name, endpoint):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    if endpoint is not None:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(FileNotFoundError, match=rf"^'{name}' must be a folder or file, but there is no such path\.$"):
        resolve_checkpoint(name)


def test_a_mirror_may_have_names_of_its_own(weights_folder, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert resolve_checkpoint("nope") == "nope"


@pytest.mark.parametrize("loader", [SAM, SamConfig, SamModel, SamProcessor, SamImageProcessor, SamVisionModel])
def test_every_door_refuses_it(weights_folder, monkeypatch, loader):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(FileNotFoundError, match=r"'sam-vit-bse' must be.*did you mean 'facebook/sam-vit-base'"):
        loader("sam-vit-bse") if loader is SAM else loader.from_pretrained("sam-vit-bse")


def test_missing_weights_say_what_to_do(weights_folder):
    (weights_folder / "sam-vit-nano").rmdir()
    with pytest.raises(FileNotFoundError, match=r"'sam-vit-nano' must lie in .*weights.*install anymask again"):
        resolve_checkpoint("sam-vit-nano")


def test_packaged_checkpoints_are_in_the_package():
    for name in pretrained.PACKAGED_CHECKPOINTS:
        assert (pretrained.WEIGHTS_FOLDER / name / "config.json").is_file()
        assert (pretrained.WEIGHTS_FOLDER / name / "model.safetensors").is_file()


def test_the_packaged_model_trains_as_it_is_loaded():
    model = SamModel.from_pretrained("sam-vit-nano")
    assert model.dtype == torch.float32
    optimizer = torch.optim.Adam(model.mask_decoder.parameters(), lr=1e-5)
    embeddings = torch.zeros(1, 128, 32, 32)
    losses = []
    for _ in range(2):
        masks = model(image_embeddings=embeddings, input_boxes=torch.tensor([[[8.0, 9.0, 120.0, 200.0]]])).pred_masks
        loss = torch.nn.functional.softplus(-masks).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("SAM 2", "facebook/sam2.1-hiera-tiny"),
        ("SAM 2", "sam2_b.pt"),
        ("SAM 2", "models/sam2.1_hiera_small.pt"),
        ("SAM 3", "facebook/sam3"),
        ("SAM-HQ", "sam_hq_vit_b.pth"),
        ("MobileSAM", "mobile_sam.pt"),
        ("FastSAM", "FastSAM-s.pt"),
        ("YOLO", "yolo11n-seg.pt"),
        (None, "sam_vit_b_01ec64.pth"),
        (None, "facebook/sam-vit-base"),
        (None, "sam_b.pt"),
        (None, "medsam_vit_b.pth"),
        (None, "sam2024.pth"),
        (None, "sam2/vit_b.pth"),
    ],
)
def test_relatives_are_told_by_the_names_of_files(model, name):
    assert recognise_file_name(name) == model


@pytest.mark.parametrize(
    ("name", "model"), [("mobile_sam.pt", "MobileSAM"), ("FastSAM-x.pt", "FastSAM"), ("sam2_b.pt", "SAM 2")]
)
def test_absent_files_of_relatives_are_named_as_what_they_are(weights_folder, name, model):
    for load in (SAM, SamModel.from_pretrained, SamProcessor.from_pretrained):
        with pytest.raises(OSError, match=f"'{name}' must be a file of weights, but there is none; .* one of {model}"):
            load(name)


def test_relatives_that_cannot_be_had_are_named_too(weights_folder):
    for load in (SAM, SamModel.from_pretrained, SamConfig.from_pretrained):
        with pytest.raises(OSError, match=r"'facebook/sam2-hiera-tiny' must be .* one of SAM 2, another model"):
            load("facebook/sam2-hiera-tiny")
