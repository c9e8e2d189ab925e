"""Simulated prompts: where clicks fall, what labels they get, and boxes that stay in the frame."""

import torch
from scipy.ndimage import distance_transform_cdt

from anymask.training.prompt_simulation import (
    add_correction_clicks,
    border_distance,
    first_prompts,
    jitter_boxes,
    sample_clicks,
    sample_correction_clicks,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(count, height=20, width=28, seed=3):
    """Random rectangles, bool (count, height, width)."""
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    corners = torch.rand(count, 4, generator=generator(seed))
    for mask, (top, left, tall, wide) in zip(masks, corners.tolist(), strict=True):
        row, column = int(top * (height - 4)), int(left * (width - 4))
        mask[row : row + 2 + int(tall * 10), column : column + 2 + int(wide * 10)] = True
    return masks


def test_border_distance_is_the_chessboard_transform():
    masks = blobs(5)
    masks[0] = True  # touches every side of the frame
    expected = [distance_transform_cdt(torch.nn.functional.pad(mask, (1,) * 4).numpy(), "chessboard") for mask in masks]
    expected = torch.stack([torch.from_numpy(distance)[1:-1, 1:-1] for distance in expected]).float()
    assert torch.equal(border_distance(masks, limit=4), expected.clamp(max=4))


def test_clicks_fall_inside_their_region():
    regions, stride = blobs(40), 2
    for seed in range(5):
        points = sample_clicks(regions, stride, generator(seed))
        cells = ((points + 0.5) / stride).floor().long()
        assert regions[torch.arange(40), cells[:, 1], cells[:, 0]].all()


def test_clicks_reach_both_the_middle_and_the_rim():
    region = torch.zeros(1, 16, 16, dtype=torch.bool)
    region[:, 3:14, 3:14] = True  # innermost pixel (8, 8) with the distance 6
    points = sample_clicks(region.expand(400, -1, -1), 1, generator())
    cells = (points + 0.5).floor()
    is_middle = (cells == 8).all(dim=1).float().mean()
    assert 0.4 < is_middle < 0.62
    assert cells.min() == 3 and cells.max() == 13


def test_correction_clicks_name_the_error():
    targets = torch.zeros(3, 8, 10, dtype=torch.bool)
    targets[:, 2:6, 2:6] = True
    predictions = targets.clone()
    predictions[0, 2:4, 2:6] = False  # missed
    predictions[1, 0:2, 7:9] = True  # too much
    for seed in range(10):
        points, labels = sample_correction_clicks(predictions, targets, 4, generator(seed))
        cells = ((points + 0.5) / 4).floor().long()
        assert labels.tolist() == [1, 0, 1]
        assert 2 <= cells[0, 1] < 4 and 2 <= cells[0, 0] < 6
        assert cells[1, 1] < 2 and 7 <= cells[1, 0] < 9
        assert targets[2, cells[2, 1], cells[2, 0]]  # nothing was wrong: any pixel of the target


def test_jittered_boxes_stay_in_the_frame_and_keep_their_order():
    corners = torch.rand(500, 2, 2, generator=generator(1)) * 128
    boxes = torch.cat((corners.amin(dim=1), corners.amax(dim=1) + 0.6), dim=1).clamp(max=128)
    jittered = jitter_boxes(boxes, 128, generator(2))
    assert jittered.min() >= 0 and jittered.max() <= 128
    assert (jittered[:, :2] < jittered[:, 2:]).all()
    moved = (jittered - boxes).abs()
    assert moved.max() <= 128 * 20 / 1024 + 1e-4
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    small = sides < 20  # far below the cap
    assert 0.06 < (moved[small] / sides[small]).mean() < 0.1  # a normal's mean absolute value is 0.8 of its deviation


def test_first_prompts_are_clicks_or_boxes():
    targets = blobs(6).view(2, 3, 20, 28)
    boxes = torch.tensor([4.0, 6.0, 20.0, 30.0]).expand(2, 3, 4)
    points, labels = first_prompts(targets, boxes, 2, 1.0, generator())
    assert labels.tolist() == [[[2, 3]] * 3] * 2
    assert (points[..., 0, :] < points[..., 1, :]).all()
    points, labels = first_prompts(targets, boxes, 2, 0.0, generator())
    assert points.shape == (2, 3, 2, 2) and labels.tolist() == [[[1, -10]] * 3] * 2
    cells = ((points[:, :, 0] + 0.5) / 2).floor().long().flatten(0, 1)
    assert targets.flatten(0, 1)[torch.arange(6), cells[:, 1], cells[:, 0]].all()


def test_the_same_generator_gives_the_same_prompts():
    targets, boxes = blobs(6).view(2, 3, 20, 28), torch.tensor([4.0, 6.0, 20.0, 30.0]).expand(2, 3, 4)
    first, second = (first_prompts(targets, boxes, 2, 0.5, generator(7)) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_correction_clicks_are_appended():
    targets = blobs(6).view(2, 3, 20, 28)
    points, labels = first_prompts(targets, torch.zeros(2, 3, 4), 2, 0.0, generator())
    more_points, more_labels = add_correction_clicks(
        points, labels, torch.full(targets.shape, -1.0), targets, 2, generator()
    )
    assert torch.equal(more_points[:, :, :2], points) and torch.equal(more_labels[:, :, :2], labels)
    assert more_points.shape == (2, 3, 3, 2) and (more_labels[:, :, 2] == 1).all()
