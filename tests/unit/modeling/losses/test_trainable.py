import pytest
import torch
from tests.tiny_sam import BATCH, IMAGE_SIZE, PROMPTS, boxes, images, relative_difference, tiny_model

from anymask.configuration_sam import SamConfig
from anymask.modeling.losses import LossOptions, segmentation_loss


def with_labels(**more):
    masks = torch.rand(BATCH, PROMPTS, IMAGE_SIZE, IMAGE_SIZE) < 0.3
    return dict(pixel_values=images(), input_boxes=boxes(), labels=masks, **more)


def test_labels_give_the_loss_of_the_masks_and_nothing_else_changes():
    model = tiny_model()
    batch = with_labels()
    output = model(**batch)
    expected = segmentation_loss(output.pred_masks, output.iou_scores, batch["labels"], LossOptions())
    assert output.loss == expected.total and output.loss.requires_grad
    assert output.loss_parts["dice"] == expected.parts["dice"]
    without = model(**{name: value for name, value in batch.items() if name != "labels"})
    assert without.loss is None and without.loss_parts is None
    assert torch.equal(without.pred_masks, output.pred_masks)
    assert model(**batch, return_dict=False)[0] == output.loss


def test_one_mask_of_an_image_is_that_of_all_its_prompts():
    model = tiny_model()
    batch = with_labels()
    one, items = batch["labels"][:, 0], 5 * IMAGE_SIZE**2  # five images in all batches of the step
    expanded = {**batch, "labels": one.unsqueeze(1).repeat(1, PROMPTS, 1, 1)}
    torch.testing.assert_close(model(**{**batch, "labels": one}).loss, model(**expanded).loss)
    of_the_step = model(**{**batch, "labels": one}, num_items_in_batch=items).loss
    torch.testing.assert_close(of_the_step, model(**expanded, num_items_in_batch=PROMPTS * items).loss)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (2 * torch.ones(BATCH, IMAGE_SIZE, IMAGE_SIZE), r"numbers up to 2; .*torch.stack\(\[labels == number for"),
        (torch.ones(BATCH + 1, IMAGE_SIZE, IMAGE_SIZE), "one mask per prompt, shape .* or one per image"),
        (-100 * torch.eye(IMAGE_SIZE).expand(BATCH, -1, -1), "-100 in labels must fill a whole object"),
    ],
)
def test_masks_of_images_that_mean_nothing(labels, message):
    with pytest.raises(ValueError, match=message):
        tiny_model()(**{**with_labels(), "labels": labels})


def test_labels_beyond_the_input_come_down_to_it():
    model = tiny_model()
    batch = with_labels()
    large = batch["labels"].repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    torch.testing.assert_close(model(**{**batch, "labels": large}).loss, model(**batch).loss)


def test_the_loss_is_what_the_configuration_says():
    model = tiny_model()
    batch = with_labels()
    model.config.loss = {"type": "bce_dice", "resolution": "decoder"}
    output = model(**batch)
    options = LossOptions.read(model.config.loss)
    assert output.loss == segmentation_loss(output.pred_masks, output.iou_scores, batch["labels"], options).total
    assert set(output.loss_parts) == {"bce", "squared_dice", "iou", "best"}
    assert SamConfig(**model.config.to_dict()).loss == model.config.loss


def test_an_own_loss_function_is_honoured():
    model = tiny_model()
    batch = with_labels(num_items_in_batch=7)
    seen = {}

    def loss_function(pred_masks, iou_scores, labels, num_items_in_batch):
        seen.update(shape=pred_masks.shape, items=num_items_in_batch)
        return pred_masks.mean() + iou_scores.sum() + labels.sum()

    model.loss_function = loss_function
    output = model(**batch)
    assert output.loss == output.pred_masks.mean() + output.iou_scores.sum() + batch["labels"].sum()
    assert output.loss_parts is None and seen == dict(shape=output.pred_masks.shape, items=7)

    class OwnLoss(torch.nn.Module):
        def forward(self, pred_masks, **others):
            return pred_masks.mean()

    model.loss_function = OwnLoss()
    output = model(**batch)
    assert output.loss == output.pred_masks.mean()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_part_learns_and_frozen_ones_do_not(checkpointing):
    model = tiny_model().train()
    if checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None)  # its name from transformers 5.22 on
        (enable or model.gradient_checkpointing_enable)()
    batch = with_labels()
    model(**batch).loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert {name.split(".")[0] for name in gradients} == {"vision_encoder", "prompt_encoder", "mask_decoder"}
    model.zero_grad()
    assert model.freeze("vision_encoder", "prompt_encoder") is model
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(**batch).loss.backward()
    optimizer.step()
    changed = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"mask_decoder"}
    for name, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, gradients[name])


@pytest.mark.parametrize(
    ("parts", "message"), [((), "what to freeze"), (("vision_encode",), "did you mean 'vision_encoder'")]
)
def test_freezing_what_is_not_there_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        tiny_model().freeze(*parts)


def test_mixed_precision_learns_the_same():
    model = tiny_model()
    batch = with_labels()
    model(**batch).loss.backward()
    expected = model.mask_decoder.iou_prediction_head.proj_out.weight.grad.clone()
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**batch).loss
    loss.backward()
    assert loss.dtype == torch.float32
    actual = model.mask_decoder.iou_prediction_head.proj_out.weight.grad
    assert relative_difference(actual, expected) < 0.1
