import json

import pytest
import torch
from tests.tiny_sam import IMAGE_SIZE, boxes, images, tiny_model

from anymask.modeling_sam import SamModel
from anymask.training import PromptedSamModel
from anymask.training.recipes import PromptRecipe


def batch(**more):
    labels = torch.zeros(2, 3, 40, 40, dtype=torch.int8)
    labels[:, 0, 3:20, 5:30], labels[:, 1, 20:38, 10:25] = 1, 1
    labels[:, 2] = -100
    return {"pixel_values": images(), "labels": labels, "sample_seed": torch.tensor([4, 5]), **more}


@pytest.mark.parametrize("recipe", ["short", "box", "medsam", PromptRecipe(points=1, mask_only_rounds=2)])
def test_rounds_are_decoded_and_every_part_learns(recipe):
    plain = tiny_model()
    model = PromptedSamModel.of(plain, recipe).train()
    calls = []
    model.mask_decoder.register_forward_hook(lambda *_: calls.append(1))
    loss = model(**batch()).loss
    assert len(calls) == 1 + model.recipe.points + model.recipe.mask_only_rounds and loss.requires_grad
    loss.backward()
    learned = {name.split(".")[0] for name, p in plain.named_parameters() if p.grad is not None}
    assert learned == {"vision_encoder", "prompt_encoder", "mask_decoder"}
    assert all(p.grad.isfinite().all() for p in plain.parameters() if p.grad is not None)


def test_the_seeds_decide_and_embeddings_serve_as_images():
    model = PromptedSamModel.of(tiny_model()).train()
    inputs = batch()
    first, again = model(**inputs).loss, model(**inputs).loss
    assert first == again
    assert first != model(**{**inputs, "sample_seed": torch.tensor([9, 8])}).loss
    pixel_values = inputs.pop("pixel_values")
    embeddings = model.get_image_embeddings(pixel_values)
    torch.testing.assert_close(model(image_embeddings=embeddings, **inputs).loss, first)


def test_given_boxes_stand_for_those_of_the_labels():
    model = PromptedSamModel.of(tiny_model(), PromptRecipe(box_share=1, box_noise=0, points=0)).train()
    inputs = batch()
    exact = torch.tensor([[10.0, 6, 60, 40], [20, 40, 50, 76], [0, 0, 0, 0]]).expand(2, 3, 4)
    torch.testing.assert_close(model(**inputs, input_boxes=exact).loss, model(**inputs).loss)
    assert model(**inputs, input_boxes=exact + 3).loss != model(**inputs).loss


@torch.no_grad()
def test_in_evaluation_it_is_the_model():
    plain = tiny_model()
    model = PromptedSamModel.of(plain, "paper").eval()
    inputs = batch(input_boxes=boxes())
    seed = inputs.pop("sample_seed")
    torch.testing.assert_close(model(**inputs, sample_seed=seed).loss, plain(**inputs).loss)
    with pytest.raises(ValueError, match="got neither"):
        model.train()(labels=inputs["labels"])


def test_it_is_saved_as_a_plain_model(tmp_path):
    model = PromptedSamModel.of(tiny_model())
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["SamModel"]
    loaded = SamModel.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
    assert loaded.config.vision_config.image_size == IMAGE_SIZE


def test_one_mask_of_an_image_is_its_one_object():
    model = PromptedSamModel.of(tiny_model()).train()
    inputs = batch()
    one = inputs.pop("labels")[:, 0]
    expected = model(**inputs, labels=one[:, None]).loss
    torch.testing.assert_close(model(**inputs, labels=one).loss, expected)
