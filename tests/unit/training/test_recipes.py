import pytest
import torch

from anymask.training.recipes import RECIPES, PromptedRounds, PromptRecipe

SIDE, FRAME = 64, 256  # four pixels of the model's input for each of the labels


def labels(batch=2, prompts=3):
    """Rectangles of different places and sizes."""
    masks = torch.zeros(batch, prompts, SIDE, SIDE, dtype=torch.int8)
    boxes = torch.zeros(batch, prompts, 4)
    for image in range(batch):
        for prompt in range(prompts):
            x0, y0, x1, y1 = 5 * image, 7 * prompt, 5 * image + 20 + prompt, 7 * prompt + 18
            masks[image, prompt, y0:y1, x0:x1] = 1
            boxes[image, prompt] = 4.0 * torch.tensor([x0, y0, x1, y1])
    return masks, boxes


def rounds(recipe, masks=None, boxes=None, seeds=(11, 12)):
    made_masks, made_boxes = labels()
    masks, boxes = made_masks if masks is None else masks, made_boxes if boxes is None else boxes
    return PromptedRounds(recipe, masks, boxes, (FRAME, FRAME), torch.tensor(seeds))


def value_at(masks, points):
    """What the labels are under points (batch, prompts, 2)."""
    x, y = ((points + 0.5) / 4).long().unbind(-1)
    batch, prompts = torch.meshgrid(torch.arange(len(masks)), torch.arange(masks.shape[1]), indexing="ij")
    return masks[batch, prompts, y, x]


@pytest.mark.parametrize("where", ["random", "center", "either"])
def test_first_points_lie_inside(where):
    masks, _ = labels()
    first = rounds(PromptRecipe(box_share=0, first_point=where)).first()
    assert (value_at(masks, first.points[:, :, 0]) == 1).all()
    assert first.labels.tolist() == [[[1, -10]] * 3] * 2


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "outward"])
def test_boxes_are_near_the_exact_ones(kind):
    _, boxes = labels()
    first = rounds(PromptRecipe(box_share=1, box_noise=0.2, box_noise_max=16, box_noise_kind=kind)).first()
    assert first.labels.tolist() == [[[2, 3]] * 3] * 2
    moved = first.points.flatten(2) - boxes
    assert 0 < moved.abs().max() <= 16 * FRAME / 1024
    if kind == "outward":
        assert (moved[..., :2] <= 0).all() and (moved[..., 2:] >= 0).all()
    exact = rounds(PromptRecipe(box_share=1, box_noise=0, box_noise_max=0, box_noise_kind=kind)).first()
    assert torch.equal(exact.points.flatten(2), boxes)


def test_spread_of_gaussian_noise_is_a_share_of_the_side():
    masks = torch.zeros(1, 500, SIDE, SIDE, dtype=torch.int8)
    masks[..., 20:40, 10:50] = 1
    boxes = torch.tensor([40.0, 80, 200, 160]).expand(1, 500, 4)
    first = rounds(PromptRecipe(box_share=1, box_noise_max=1e9), masks, boxes, [3]).first()
    spread = (first.points.flatten(2) - boxes).std(dim=1)[0]
    torch.testing.assert_close(spread, torch.tensor([16.0, 8, 16, 8]), rtol=0.15, atol=0)


def test_box_share_is_a_share():
    masks = torch.ones(1, 600, SIDE, SIDE, dtype=torch.int8)
    first = rounds(PromptRecipe(box_share=0.25), masks, torch.full((1, 600, 4), 9.0), [4]).first()
    assert (first.labels[..., 0] == 2).float().mean().item() == pytest.approx(0.25, abs=0.06)


def test_later_clicks_correct():
    masks, _ = labels()
    played = rounds(PromptRecipe(box_share=0, points=2))
    first = played.first()
    missed = played.next(0, first, torch.full((2, 3, 32, 32), -1.0))
    assert missed.points.shape == (2, 3, 3, 2) and (missed.labels[..., -1] == 1).all()
    assert (value_at(masks, missed.points[:, :, -1]) == 1).all()
    too_much = played.next(1, missed, torch.full((2, 3, 32, 32), 1.0))
    assert (too_much.labels[..., -1] == 0).all() and (value_at(masks, too_much.points[:, :, -1]) == 0).all()
    assert torch.equal(too_much.points[:, :, :3], missed.points)


def test_clicks_in_the_truth_whatever_is_wrong():
    masks, _ = labels()
    played = rounds(PromptRecipe(box_share=0, points=1, truth_point_share=1))
    clicked = played.next(0, played.first(), torch.full((2, 3, SIDE, SIDE), 1.0))
    assert (clicked.labels[..., -1] == 1).all() and (value_at(masks, clicked.points[:, :, -1]) == 1).all()


def test_rounds_without_a_click():
    plans = set()
    for seed in range(30):
        played = rounds(RECIPES["paper"], seeds=(seed, 1))
        assert len(played.is_mask_only) == 10
        assert played.is_mask_only[-1] and sum(played.is_mask_only) == 2 and all(played.keeps_mask)
        plans.add(played.is_mask_only.index(True))
        first = played.first()
        assert played.next(9, first, torch.zeros(2, 3, 8, 8)) is first
    assert len(plans) > 5
    kept = [keep for seed in range(40) for keep in rounds(RECIPES["micro-sam"], seeds=(seed, 1)).keeps_mask]
    assert sum(kept) / len(kept) == pytest.approx(0.5, abs=0.12)


def test_a_sample_meets_the_same_prompts_in_any_batch():
    masks, boxes = labels()
    recipe = PromptRecipe(points=2, truth_point_share=0.3)
    shown = torch.randn(2, 3, 32, 32)
    together = rounds(recipe, masks, boxes, (5, 6))
    result = together.next(0, together.first(), shown)
    order = torch.tensor([1, 0])
    padded = torch.cat([masks[order], torch.full_like(masks[:, :1], -100)], dim=1)
    padded_boxes = torch.cat([boxes[order], torch.zeros(2, 1, 4)], dim=1)
    other = rounds(recipe, padded, padded_boxes, (6, 5))
    padded_result = other.next(0, other.first(), torch.cat([shown[order], shown[:, :1]], dim=1))
    assert torch.equal(padded_result.points[order][:, :3], result.points)
    assert torch.equal(padded_result.labels[order][:, :3], result.labels)
    assert (padded_result.labels[:, 3] == -10).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"box_share": 1.5}, "share from 0 to 1"),
        ({"first_point": "middle"}, "random"),
        ({"box_noise_kind": "normal"}, "gaussian"),
        ({"points": -1}, "0 or more"),
    ],
)
def test_recipes_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PromptRecipe(**fields)


def test_recipes_by_name():
    assert PromptRecipe.named("sam2") is RECIPES["sam2"]
    with pytest.raises(ValueError, match="did you mean 'medsam'"):
        PromptRecipe.named("medsm")


def test_either_is_half_of_each():
    masks = torch.zeros(1, 400, SIDE, SIDE, dtype=torch.int8)
    masks[..., 20:41, 10:31] = 1  # the innermost pixel is (20, 30)
    first = rounds(PromptRecipe(box_share=0, first_point="either"), masks, torch.zeros(1, 400, 4), [5]).first()
    is_center = (first.points[0, :, 0] == (torch.tensor([20.0, 30]) + 0.5) * 4 - 0.5).all(dim=-1)
    assert is_center.float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert (value_at(masks, first.points[:, :, 0]) == 1).all()


def test_rounds_and_kinds_of_answers_are_drawn_by_their_shares():
    recipe = PromptRecipe(points=2, round_shares=(0.5, 0.25, 0.25), multimask_share=0.25)
    drawn = [rounds(recipe, seeds=(seed, 1)) for seed in range(300)]
    counts = torch.tensor([len(played.keeps_mask) for played in drawn]).bincount() / 300
    assert counts.tolist() == pytest.approx([0.5, 0.25, 0.25], abs=0.08)
    assert sum(played.asks_several for played in drawn) / 300 == pytest.approx(0.25, abs=0.08)
    with pytest.raises(ValueError, match="a share for each of 0 to 2 later rounds, got"):
        PromptRecipe(points=2, round_shares=(1.0,))


def test_explored_masks_are_drawn_for_a_share_of_the_objects():
    masks = torch.ones(1, 600, SIDE, SIDE, dtype=torch.int8)
    learning = rounds(PromptRecipe(exploration=0.3), masks, torch.zeros(1, 600, 4), [6]).learning_masks(3)
    shares = (learning + 1).flatten().bincount() / 600
    assert shares.tolist() == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.05)
