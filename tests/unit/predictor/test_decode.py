"""One record per prompt, in order, equal to what processor, model and post-processing give by hand."""

import numpy as np
import pytest
import torch
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask.embeddings.image_embedding import embed_image
from anymask.geometry.coordinates import ResizeGeometry
from anymask.masks.clean_up import CleanUp
from anymask.masks.measures import masks_to_boxes_xyxy, stability_scores
from anymask.masks.record import make_record
from anymask.masks.rle import rle_to_mask
from anymask.masks.sparse_upsampling import SparseUpsampler
from anymask.predictor.decode import (
    DecodingOptions,
    StageTimes,
    check_choice,
    choose_masks,
    decode_prompts,
    masks_wanted,
    prepare_batches,
)
from anymask.processing_sam import SamProcessor
from anymask.prompts.mask_prompts import mask_to_logits
from anymask.prompts.prompt import Prompt

SIZE_HW = (47, 71)
MODEL = tiny_model()
PROCESSOR = SamProcessor(tiny_image_processor())
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
EMBEDDING = embed_image(MODEL, PROCESSOR, IMAGE)

POINTS = [[[10, 20]], [[30.5, 40.25]], [[70, 3]]]
BOXES = [[5, 6, 60, 40], [1, 2, 30, 33.5]]
MASK = np.zeros(SIZE_HW, bool)
MASK[10:40, 20:50] = True


def decoded(prompts, embedding=EMBEDDING, **how):
    batches = prepare_batches(prompts, embedding.geometry, PROCESSOR.image_processor)
    times, options = StageTimes(MODEL.device), DecodingOptions(**how)
    return decode_prompts(MODEL, embedding, batches, times=times, options=options)


@torch.no_grad()
def by_hand(multimask_output=True, **prompts):
    """Logits in full size, (P, M, H, W), those of the model, and predicted IoUs."""
    inputs = PROCESSOR(IMAGE, **prompts, return_tensors="pt")
    image = MODEL.prepare_image(MODEL.get_image_embeddings(inputs.pop("pixel_values")))
    outputs = MODEL(image_embeddings=image, **inputs, multimask_output=multimask_output)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    full = PROCESSOR.post_process_masks(outputs.pred_masks, *sizes, binarize=False)[0]
    return full, outputs.pred_masks[0], outputs.iou_scores[0]


def check(found, full, low, ious):
    """Records against the best of the masks that were made by hand."""
    best = ious.argmax(dim=1)
    chosen = torch.arange(len(best)), best
    full, low, ious = full[chosen], low[chosen], ious[chosen]
    assert len(found.records) == len(full)
    torch.testing.assert_close(found.low_res_logits, low, rtol=0, atol=0)
    boxes = masks_to_boxes_xyxy(full > 0)
    for record, logits, iou, box in zip(found.records, full, ious, boxes.tolist(), strict=True):
        mask = rle_to_mask(record["segmentation"])
        np.testing.assert_array_equal(mask, logits > 0)
        assert record["area"] == mask.sum()
        assert record["bbox"] == [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        assert record["predicted_iou"] == iou.item()
        assert record["stability_score"] == pytest.approx(stability_scores(logits).item(), abs=1e-6)
        assert record["crop_box"] == [0, 0, SIZE_HW[1], SIZE_HW[0]]


def test_stability_is_not_measured_where_nobody_asks():
    prompt = Prompt(points_xy=((10.0, 20.0),), labels=(1,))
    [asked], [not_asked] = decoded([prompt]).records, decoded([prompt], measure_stability=False).records
    assert asked.pop("stability_score") >= 0 and asked == not_asked


@pytest.mark.parametrize("multimask_output", [True, False])
def test_points_and_boxes(multimask_output):
    points = [Prompt(tuple(map(tuple, object_points)), (1,)) for object_points in POINTS]
    found = decoded(points, multimask_output=multimask_output)
    check(found, *by_hand(multimask_output, input_points=[POINTS]))
    assert [record["point_coords"] for record in found.records] == POINTS
    boxes = [Prompt(box_xyxy=tuple(box)) for box in BOXES]
    found = decoded(boxes, multimask_output=multimask_output)
    check(found, *by_hand(multimask_output, input_boxes=[BOXES]))
    assert [record["point_coords"] for record in found.records] == [[], []]


def test_several_points_with_a_box_and_a_mask():
    prompt = Prompt(((10, 20), (30, 40)), (1, 0), (5, 6, 60, 45), MASK)
    expected = by_hand(
        input_points=[[[[10, 20], [30, 40]]]], input_labels=[[[1, 0]]], input_boxes=[[[5, 6, 60, 45]]], input_masks=MASK
    )
    check(decoded([prompt]), *expected)


def test_a_mask_alone():
    logits = mask_to_logits(MASK, PROCESSOR.image_processor.options().mask_geometry(EMBEDDING.geometry))
    with torch.no_grad():
        outputs = MODEL(image_embeddings=MODEL.prepare_image(EMBEDDING.tensor), input_masks=logits[None, None])
    found = decoded([Prompt(mask=MASK)])
    torch.testing.assert_close(found.low_res_logits[0], outputs.pred_masks[0, 0, outputs.iou_scores[0, 0].argmax()])
    again = decoded([Prompt(mask=logits)])  # logits pass straight
    assert again.records == found.records


def test_kinds_of_prompts_mix_and_keep_their_order():
    """Decoded together, some at a time, each answer is that of its prompt alone."""
    prompts = [
        Prompt(box_xyxy=(5, 6, 60, 40)),
        Prompt(mask=MASK),
        Prompt(((10, 20),), (1,), mask=MASK),
        Prompt(((10, 20), (30, 40), (60, 5)), (1, 0, 1)),
        Prompt(((10, 20),), (1,), (1, 2, 30, 33)),
        Prompt(mask=~MASK),
        Prompt(((30, 40),), (1,)),
    ]
    batches = prepare_batches(prompts, EMBEDDING.geometry, PROCESSOR.image_processor, prompts_at_a_time=2)
    assert [batch.indices for batch in batches] == [[0, 3], [4, 6], [1, 5], [2]]
    times, options = StageTimes(MODEL.device), DecodingOptions()
    together = decode_prompts(MODEL, EMBEDDING, batches, times=times, options=options)
    for index, prompt in enumerate(prompts):
        alone = decoded([prompt])
        torch.testing.assert_close(together.low_res_logits[index], alone.low_res_logits[0], rtol=1e-4, atol=1e-4)
        assert together.records[index]["predicted_iou"] == pytest.approx(alone.records[0]["predicted_iou"], abs=1e-5)
        assert together.records[index]["point_coords"] == alone.records[0]["point_coords"]


def test_an_empty_mask_is_a_record(monkeypatch):
    monkeypatch.setattr(MODEL.mask_decoder, "forward", nothing_found(MODEL.mask_decoder.forward))
    first, second = decoded([Prompt(((10, 20),), (1,)), Prompt(box_xyxy=(5, 6, 60, 40))]).records
    for record in (first, second):
        assert record["segmentation"] == {"size": list(SIZE_HW), "counts": [SIZE_HW[0] * SIZE_HW[1]]}
        assert (record["area"], record["bbox"], record["stability_score"]) == (0, [0, 0, 0, 0], 0)


def nothing_found(forward):
    def with_low_logits(*args, **kwargs):
        logits, iou_scores = forward(*args, **kwargs)
        return torch.full_like(logits, -9.0), iou_scores

    return with_low_logits


def test_a_box_that_overshoots_by_a_pixel_is_clipped():
    over, clipped = (decoded([Prompt(box_xyxy=box)]) for box in ((-0.5, 6, 71.8, 47.6), (0, 6, 71, 47)))
    assert over.records == clipped.records


def test_no_prompts():
    found = decoded([])
    assert found.records == []
    assert found.low_res_logits.shape == (0, 40, 40)


def test_stable_decodes_the_single_mask_too():
    """With thresholds that everything passes, or nothing, the answer is that of the single mask or of the three."""
    prompts = [Prompt(tuple(map(tuple, object_points)), (1,)) for object_points in POINTS]
    single = decoded(prompts, multimask_output=False)
    best = decoded(prompts)
    trusting, doubting = (decoded(prompts, choice="stable", stable_score=score) for score in (0.0, 1.1))
    torch.testing.assert_close(trusting.low_res_logits, single.low_res_logits)
    torch.testing.assert_close(doubting.low_res_logits, best.low_res_logits)


def test_all_masks_of_a_prompt_follow_each_other():
    prompts = [Prompt(((10, 20),), (1,), name="cup", score=0.75), Prompt(mask=MASK), Prompt(((30, 40),), (1,))]
    found, best = decoded(prompts, choice="all"), decoded(prompts)
    assert [record["prompt_index"] for record in found.records] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert found.low_res_logits.shape[0] == 9
    for index in range(3):
        three = found.records[3 * index : 3 * index + 3]
        winner = max(three, key=lambda record: record["predicted_iou"])
        assert {name: winner[name] for name in best.records[index]} == best.records[index]
    assert (found.records[2]["label"], found.records[2]["score"]) == ("cup", 0.75)
    assert "label" not in found.records[3]


def test_small_holes_are_filled_and_islands_removed():
    prompts = [Prompt(((10, 20),), (1,)), Prompt(box_xyxy=(5, 6, 60, 40))]
    plain, clean = decoded(prompts), decoded(prompts, clean_up=CleanUp(9, 7))
    assert plain.records != clean.records
    for before, after in zip(plain.records, clean.records, strict=True):
        expected, _ = CleanUp(9, 7).apply(before["segmentation"])
        assert after == {**before, **make_record(expected)}


def test_a_checkpoint_says_how_its_masks_are_cleaned_up_unless_areas_are_given(monkeypatch):
    prompts = [Prompt(((10, 20),), (1,)), Prompt(box_xyxy=(5, 6, 60, 40))]
    plain = decoded(prompts)
    monkeypatch.setattr(MODEL.config, "prompted_masks", {"hole_share": 0.04, "island_share": 0.2}, raising=False)
    clean = decoded(prompts)
    assert plain.records != clean.records
    for before, after in zip(plain.records, clean.records, strict=True):
        area = before["area"]
        clean_up = CleanUp(int(np.ceil(0.04 * area)), int(np.ceil(0.2 * area)))
        expected, _ = clean_up.apply(before["segmentation"])
        assert after == {**before, **make_record(expected)}
    assert decoded(prompts, clean_up=CleanUp()).records == plain.records


def test_logits_can_be_trained_on():
    found = decoded([Prompt(((10, 20),), (1,))])
    assert not found.low_res_logits.is_inference()
    output = MODEL(image_embeddings=MODEL.prepare_image(EMBEDDING.tensor), input_masks=found.low_res_logits[None])
    output.pred_masks.sum().backward()
    MODEL.zero_grad()


def test_half_precision():
    model = tiny_model().to(torch.bfloat16)
    embedding = embed_image(model, PROCESSOR, IMAGE)
    prompts = [Prompt(((10, 20),), (1,), mask=MASK), Prompt(box_xyxy=(5, 6, 60, 40))]
    batches = prepare_batches(prompts, embedding.geometry, PROCESSOR.image_processor)
    found = decode_prompts(
        model, embedding, batches, times=StageTimes(model.device), options=DecodingOptions(choice="stable")
    )
    assert found.low_res_logits.dtype == torch.float32
    assert len(found.records) == 2


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(((73, 3),), (1,)), r"Points of prompt 1 must lie in the image, x in \[0, 71\] and y in \[0, 47\]"),
        (Prompt(box_xyxy=(5, 6, 4, 8)), "The box of prompt 1"),
        (Prompt(mask=MASK.T), r"binary masks as high and wide as the image, \(47, 71\)"),
        (Prompt(mask=np.full(SIZE_HW, 3)), "must be binary"),
    ],
)
def test_mistakes_show_before_the_model_runs(prompt, message):
    with pytest.raises(ValueError, match=message):
        prepare_batches([Prompt(((1, 1),), (1,)), prompt], EMBEDDING.geometry, PROCESSOR.image_processor)


def test_stages_add_up():
    times = StageTimes(torch.device("cpu"))
    for stage in ("decode", "masks", "decode"):
        before = dict(times)
        with times.stage(stage):
            pass
        assert times[stage] >= before.get(stage, 0.0)
    assert list(times) == ["decode", "masks"]


# Which mask answers, for logits whose stability and scores are known

LOGITS_HW = (6, 9)
ONE_TO_ONE = ResizeGeometry(LOGITS_HW, LOGITS_HW, LOGITS_HW)  # a pixel is a logit
OF_LOGITS = SparseUpsampler.from_geometry(ONE_TO_ONE, LOGITS_HW)


def logits_with(*pixels_and_values):
    """Logits of -5 with the first so many pixels at some value, one pair after another."""
    flat = torch.full((LOGITS_HW[0] * LOGITS_HW[1],), -5.0)
    first = 0
    for count, value in pixels_and_values:
        flat[first : first + count] = value
        first += count
    return flat.reshape(LOGITS_HW)


STABLE = logits_with((49, 3.0), (1, 0.01))  # 49 of 50 pixels stay: 0.98
UNSTABLE = logits_with((48, 3.0), (1, 0.01))  # 48 of 49: 0.9796
EMPTY = logits_with()
OTHERS = [logits_with((count, 2.0)) for count in (5, 7, 11)]


def answers(choice, singles, scores):
    """How many pixels the chosen mask of each prompt has, and its score."""
    first = 0 if choice == "stable" else 1
    logits = torch.stack([torch.stack([single, *OTHERS][first:]) for single in singles])
    masks, ious = choose_masks(logits, torch.tensor(scores)[:, first:], choice, OF_LOGITS)
    return (masks > 0).sum(dim=(2, 3))[:, 0].tolist(), [round(iou, 3) for iou in ious[:, 0].tolist()]


def test_best_has_the_highest_predicted_iou_of_three():
    scores = [[0.9, 0.1, 0.3, 0.2], [0.9, 0.4, 0.3, 0.2], [0.1, 0.2, 0.2, 0.1]]
    assert answers("best", [STABLE] * 3, scores) == ([7, 5, 5], [0.3, 0.4, 0.2])


def test_stable_takes_the_single_mask_if_it_hardly_changes():
    scores = [[0.1, 0.2, 0.3, 0.2]] * 3
    assert answers("stable", [STABLE, UNSTABLE, EMPTY], scores) == ([50, 7, 7], [0.1, 0.3, 0.3])


def test_all_are_all():
    logits, scores = torch.stack(OTHERS)[None], torch.tensor([[0.1, 0.3, 0.2]])
    masks, ious = choose_masks(logits, scores, "all", OF_LOGITS)
    assert torch.equal(masks, logits) and torch.equal(ious, scores)


def test_padding_does_not_count():
    """What the model says of pixels outside the image makes no mask unstable."""
    wide = (LOGITS_HW[0], LOGITS_HW[1] + 4)
    upsampler = SparseUpsampler.from_geometry(ResizeGeometry(LOGITS_HW, LOGITS_HW, wide), wide)
    logits = torch.full((1, 4, *wide), 0.01)
    logits[0, :, :, : LOGITS_HW[1] + 1] = 3.0
    masks, _ = choose_masks(logits, torch.tensor([[0.1, 0.2, 0.3, 0.2]]), "stable", upsampler)
    torch.testing.assert_close(masks[0, 0], logits[0, 0])
    assert choose_masks(logits, torch.tensor([[0.1, 0.2, 0.3, 0.2]]), "stable", upsampler)[1].item() == pytest.approx(
        0.1
    )


def test_what_the_model_is_asked_for():
    assert masks_wanted("stable", True) is None
    assert masks_wanted("best", True) is True
    assert masks_wanted("best", False) is False


def test_choices_that_are_none():
    check_choice("best", False)
    check_choice("all", False)
    check_choice("stable")
    with pytest.raises(ValueError, match="`choice` must be one of 'best', 'stable', 'all', got 'bst'"):
        check_choice("bst")
    with pytest.raises(ValueError, match="which leaves one mask"):
        check_choice("stable", False)
