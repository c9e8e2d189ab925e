import pytest
import torch
import transformers
from tests.tiny_sam import boxes, images, relative_difference, tiny_config, tiny_model
from tests.unit.training.trainer_runs import Boxes, quiet_trainer

from anymask.modeling_sam import SamModel
from anymask.training import PromptedSamModel
from anymask.training.adapters import PRESETS, add_adapter, count_trainable, merge_adapter

# peft asks Transformers by a name that has been replaced.
pytestmark = pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing.*` is deprecated:FutureWarning")


def inputs():
    return dict(pixel_values=images(), input_boxes=boxes())


def learn(adapted, steps=2):
    optimizer = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], lr=3e-2)
    labels = torch.zeros(2, 3, 40, 40)
    labels[..., 10:30, 5:20] = 1
    for _ in range(steps):
        adapted(**inputs(), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("preset", PRESETS)
def test_an_adapter_learns_alone_and_merges_into_an_ordinary_checkpoint(tmp_path, preset):
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = inputs()
    untouched = model(**given).pred_masks.detach()
    adapted = add_adapter(model, preset, rank=2)
    assert relative_difference(adapted(**given).pred_masks.detach(), untouched) < 1e-5  # it begins as nothing
    trainable, total = count_trainable(adapted)
    assert 0 < trainable < total / 3
    learn(adapted)
    expected = adapted.eval()(**given).pred_masks.detach()
    assert relative_difference(expected, untouched) > 1e-3
    adapted.save_pretrained(tmp_path / "adapter")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} >= {"adapter_model.safetensors"}
    merged = merge_adapter(adapted)
    assert list(merged.state_dict()) == list(before)
    merged.save_pretrained(tmp_path / "merged")
    for loaded in (SamModel, transformers.SamModel):
        output = loaded.from_pretrained(tmp_path / "merged").eval()(**given).pred_masks
        assert relative_difference(output.detach(), expected) < 1e-4
    parts = {name.split(".")[0] for name, x in merged.state_dict().items() if not torch.equal(x, before[name])}
    expected_parts = {"decoder": {"mask_decoder"}, "both": {"mask_decoder", "vision_encoder"}}
    assert parts == expected_parts.get(preset, {"vision_encoder"})
    if preset in ("encoder_qv", "both"):
        layer = "vision_encoder.layers.1.attn.qkv.weight"
        query, key, value = (merged.state_dict()[layer] - before[layer]).chunk(3)
        assert key.count_nonzero() == 0 and query.count_nonzero() > 0 and value.count_nonzero() > 0
    if preset == "encoder_late":
        assert torch.equal(merged.state_dict()["vision_encoder.layers.0.attn.qkv.weight"],
                           before["vision_encoder.layers.0.attn.qkv.weight"])  # fmt: skip


def test_peft_loads_the_file_again(tmp_path):
    import peft

    adapted = add_adapter(tiny_model(), "encoder_qkv", rank=2)
    learn(adapted)
    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(tiny_model(), tmp_path)
    given = inputs()
    assert relative_difference(again(**given).pred_masks, adapted(**given).pred_masks) < 1e-5


def test_trainer_and_prompts_in_rounds_take_an_adapted_model(tmp_path):
    adapted = add_adapter(PromptedSamModel.of(tiny_model(), "box"), "both", rank=2)
    trainer = quiet_trainer(tmp_path, adapted, per_device_train_batch_size=2, eval_dataset=Boxes(3), max_steps=1)
    trainer.train()
    assert trainer.evaluate()["eval_loss"] > 0
    merge_adapter(adapted).save_pretrained(tmp_path / "merged")
    assert type(SamModel.from_pretrained(tmp_path / "merged")) is SamModel


def test_other_presets_are_refused():
    with pytest.raises(ValueError, match="did you mean 'encoder_qv'"):
        add_adapter(SamModel(tiny_config()), "encoder_vq")
