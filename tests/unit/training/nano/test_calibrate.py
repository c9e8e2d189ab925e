"""The head alone changes, it learns what it is shown, and its best weights stay."""

import torch
from safetensors.torch import load_file
from tests.tiny_sam import CHANNELS, IMAGE_SIZE, tiny_model
from torch import nn

from anymask.modeling_sam import SamModel
from anymask.training.nano.calibrate import collect, fit, main
from anymask.training.nano.model import IMAGE_SIZE as NANO_SIZE
from anymask.training.nano.photographs import PhotoPictures
from anymask.training.nano.scenes import NanoSamples


def test_a_head_learns_what_it_is_shown_and_keeps_its_best_weights():
    torch.manual_seed(0)
    features = torch.randn(200, 6)
    real = torch.sigmoid(features @ torch.randn(6, 4))
    head = nn.Linear(6, 4)
    before, after = fit(head, features, real, learning_rate=0.01)
    assert after < before / 4
    with torch.no_grad():
        assert (head(features[-40:]) - real[-40:]).pow(2).mean().item() == after


def test_features_lead_to_the_scores_that_the_model_gives(data_folder):
    model = tiny_model()
    samples = NanoSamples(PhotoPictures(data_folder, image_size=IMAGE_SIZE), per_epoch=1, num_prompts=3)
    features, real = collect(model, samples, num_images=2)
    assert features.shape[1] == CHANNELS and 2 <= len(features) <= 6 and real.shape == (len(features), 4)
    assert real.min() >= 0 and real.max() <= 1 and real.max() > 0
    assert not model.mask_decoder.iou_prediction_head._forward_pre_hooks


def test_nothing_but_the_head_changes(data_folder, tmp_path, capsys):
    tiny_model(vision=dict(image_size=NANO_SIZE), prompt=dict(image_size=NANO_SIZE)).save_pretrained(tmp_path / "tiny")
    arguments = ["--model", str(tmp_path / "tiny"), "--data", str(data_folder), "--output", str(tmp_path / "fitted")]
    main([*arguments, "--images", "8", "--num-prompts", "4"])
    assert "prompts; mean squared error" in capsys.readouterr().out
    before = SamModel.from_pretrained(tmp_path / "tiny").state_dict()
    after = load_file(tmp_path / "fitted/model.safetensors")
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name].half())}
    assert changed and all("iou_prediction_head" in name for name in changed)
