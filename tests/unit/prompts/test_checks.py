import math

import pytest
import torch
from tests.host_waits import HostWaits
from tests.tiny_sam import BATCH, POINTS, PROMPTS, boxes, labels, mask_prompts, points

from anymask.prompts.checks import check_labels, check_prompts

WRONG = {
    "points of one object": (
        lambda: dict(points=points()[:, 0]),
        r"input_points must have shape \(batch, prompts, points, 2\), got \(2, 4, 2\)",
    ),
    "points in space": (
        lambda: dict(points=torch.zeros(BATCH, PROMPTS, POINTS, 3)),
        r"input_points must have shape .* got \(2, 3, 4, 3\)",
    ),
    "points not finite": (
        lambda: dict(points=points() * math.nan),
        "input_points must be finite",
    ),
    "boxes not finite": (
        lambda: dict(boxes=boxes() + math.inf),
        "input_boxes must be finite",
    ),
    "labels alone": (
        lambda: dict(labels=labels()),
        r"input_labels must come with input_points, got labels \(2, 3, 4\) alone",
    ),
    "labels of fewer points": (
        lambda: dict(points=points(), labels=labels(count=3)),
        r"one label per point, \(2, 3, 4\), got \(2, 3, 3\)",
    ),
    "unknown labels": (
        lambda: dict(points=points(), labels=labels(among=(1, 5))),
        r"input_labels must be 1 \(foreground\).* got \[5\]",
    ),
    "boxes of one object": (
        lambda: dict(boxes=boxes()[:, 0]),
        r"input_boxes must have shape \(batch, prompts, 4\), got \(2, 4\)",
    ),
    "points and boxes of different numbers": (
        lambda: dict(points=points(), boxes=boxes(prompts=2)),
        r"as many images and prompts, got \(2, 3\) and \(2, 2\)",
    ),
    "masks of another number": (
        lambda: dict(points=points(), masks=mask_prompts(prompts=2)),
        r"one mask for each image or one for each of the 3 prompts, got shape \(2, 2, 40, 40\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(case):
    prompts, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        check_prompts(**dict.fromkeys(("points", "labels", "boxes", "masks")) | prompts())


def test_arrays_and_lists_are_told_how_to_become_tensors():
    for value, kind in ((points().numpy(), "ndarray"), (points().tolist(), "list")):
        with pytest.raises(
            TypeError, match=rf"input_points must be a tensor, got {kind}; .* with return_tensors=\"pt\""
        ):
            check_prompts(value, None, None, None)


@pytest.mark.parametrize("masks", [1, PROMPTS])
def test_prompts_that_fit(masks):
    check_prompts(points(), labels(), boxes(), mask_prompts(prompts=masks))
    check_prompts(points(), None, None, None)
    check_prompts(None, None, boxes(), None)
    check_prompts(None, None, None, mask_prompts(prompts=masks))


def test_values_are_left_alone_where_that_is_asked_for():
    with HostWaits() as waits:
        check_prompts(points() * math.nan, labels(among=(1, 5)), None, None, look_at_values=False)
    assert waits.names == []
    with pytest.raises(ValueError, match="one label per point"):
        check_prompts(points(), labels(count=3), None, None, look_at_values=False)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int16, torch.float32])
def test_types_of_labels(dtype):
    check_labels(labels().to(dtype))


def test_unknown_labels():
    check_labels(torch.tensor([1, 0, 2, 3, -1, -10]))
    with pytest.raises(ValueError, match=r"must be 1 \(foreground\), 0 .* -10 \(padding\), got \[-2, 4\]"):
        check_labels(torch.tensor([[1, 4], [-2, 4]]))
    with pytest.raises(ValueError, match=r"got \[0.5\]"):
        check_labels(torch.tensor([1.0, 0.5]))
    with pytest.raises(ValueError, match=r"got \[nan\]"):
        check_labels(torch.tensor([1.0, torch.nan]))
    with pytest.raises(ValueError, match=r"got \[246\]"):  # -10 as an unsigned byte
        check_labels(torch.tensor([246], dtype=torch.uint8))
