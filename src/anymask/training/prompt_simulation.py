"""Simulated users: clicks inside a mask, noisy boxes, and the next click where the last mask was wrong.

Source: Segment Anything, appendix A, "Training algorithm". Everything is vectorised over the prompts of a batch and
drawn from a generator that the caller seeds, so that a resumed run repeats the same prompts.

Frames: masks are at the decoder's low resolution, `stride` model pixels per mask pixel. Points and boxes are in pixels
of the model frame, x right, y down. A click on a pixel carries the index of the pixel, as users give it: the model
itself adds the half pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..geometry.coordinates import (
    LABEL_BACKGROUND,
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_FOREGROUND,
    LABEL_PADDING,
)

BOX_NOISE_FRACTION = 0.1
# The paper caps the noise at 20 pixels of a 1024 pixel frame.
BOX_NOISE_LIMIT_FRACTION = 20 / 1024
BORDER_DISTANCE_LIMIT = 6


def border_distance(masks: torch.Tensor, limit: int = BORDER_DISTANCE_LIMIT) -> torch.Tensor:
    """Chessboard distance of each foreground pixel to the nearest background pixel, capped at `limit`.

    Counting erosions is exact for this metric and costs `limit` 3 x 3 minimum filters for the whole batch, where an
    exact Euclidean transform would need one call per mask. Pixels outside the frame count as background.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, H, W) float32, 0 on the background, 1 on the border, at most `limit`.
    """
    distance = eroded = masks.unsqueeze(1).float()
    for _ in range(limit - 1):
        eroded = -F.max_pool2d(F.pad(-eroded, (1, 1, 1, 1), value=0.0), kernel_size=3, stride=1)
        distance = distance + eroded
    return distance.squeeze(1)


def sample_pixels(weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw one pixel index per map with probability proportional to its weight.

    Args:
        weights: (N, H, W), at least 0 and somewhere positive in every map.

    Returns:
        (N, 2) int64, (x, y).
    """
    width = weights.shape[-1]
    flat = torch.multinomial(weights.flatten(1), 1, generator=generator).squeeze(1)
    return torch.stack((flat % width, flat // width), dim=-1)


def sample_clicks(regions: torch.Tensor, stride: int, generator: torch.Generator) -> torch.Tensor:
    """Draw one click inside each region: for half of them uniformly, for the other half at the innermost pixels.

    Args:
        regions: (N, h, w) bool, none of them empty.
        stride: model pixels per region pixel.

    Returns:
        (N, 2) float32 points in the model frame, anywhere inside the chosen low-resolution pixel.
    """
    use_innermost = torch.rand(len(regions), generator=generator) < 0.5
    distance = border_distance(regions[use_innermost])
    weights = regions.float()
    weights[use_innermost] = (distance == distance.amax(dim=(-2, -1), keepdim=True)).float()
    pixels = sample_pixels(weights, generator)
    offsets = torch.rand(len(regions), 2, generator=generator)
    return (pixels + offsets) * stride - 0.5


def sample_correction_clicks(
    predictions: torch.Tensor, targets: torch.Tensor, stride: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the next click of each prompt from where prediction and target differ.

    A missed pixel gives a foreground click, a wrong one a background click. A prediction without any error gets a
    foreground click inside the target.

    Args:
        predictions: (N, h, w) bool.
        targets: (N, h, w) bool, none of them empty.
        stride: model pixels per mask pixel.

    Returns:
        Points (N, 2) float32 in the model frame and their labels (N,) int64.
    """
    errors = predictions ^ targets
    is_perfect = ~errors.flatten(1).any(dim=1)
    errors = torch.where(is_perfect[:, None, None], targets, errors)
    points = sample_clicks(errors, stride, generator)
    pixels = ((points + 0.5) / stride).long()
    is_foreground = targets[torch.arange(len(targets)), pixels[:, 1], pixels[:, 0]]
    labels = torch.where(is_foreground, LABEL_FOREGROUND, LABEL_BACKGROUND)
    return points, labels


def jitter_boxes(boxes_xyxy: torch.Tensor, frame_size: int, generator: torch.Generator) -> torch.Tensor:
    """Move each box edge by Gaussian noise of 10 % of the side (at most 20 / 1024 of the frame), inside the frame.

    Args:
        boxes_xyxy: (N, 4) float32 in the model frame.
        frame_size: side of the model frame in pixels.

    Returns:
        (N, 4) float32 with x0 < x1 and y0 < y1.
    """
    limit = BOX_NOISE_LIMIT_FRACTION * frame_size
    sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).repeat(1, 2)
    noise = torch.randn(boxes_xyxy.shape, generator=generator) * BOX_NOISE_FRACTION * sides
    jittered = (boxes_xyxy + noise.clamp(-limit, limit)).clamp(0, frame_size)
    # A thin box may turn inside out: keep the true edges of such an axis.
    is_valid = (jittered[:, 2:] - jittered[:, :2] >= 0.5).repeat(1, 2)
    return torch.where(is_valid, jittered, boxes_xyxy)


def first_prompts(
    targets: torch.Tensor, boxes_xyxy: torch.Tensor, stride: int, box_fraction: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first prompt of each target: a foreground click, or with probability `box_fraction` a noisy box.

    Args:
        targets: (B, P, h, w) bool, none of them empty.
        boxes_xyxy: (B, P, 4) float32, the exact boxes in the model frame.
        stride: model pixels per target pixel.

    Returns:
        Points (B, P, 2, 2) float32 and labels (B, P, 2) int64, ready for `SamModel`: a click is one foreground point
        and one padding point, a box is its two corners.
    """
    batch, prompts, height, width = targets.shape
    frame_size = max(height, width) * stride
    clicks = sample_clicks(targets.flatten(0, 1), stride, generator)
    boxes = jitter_boxes(boxes_xyxy.flatten(0, 1), frame_size, generator)
    is_box = torch.rand(len(clicks), generator=generator) < box_fraction

    click_points = torch.stack((clicks, torch.zeros_like(clicks)), dim=1)
    points = torch.where(is_box[:, None, None], boxes.view(-1, 2, 2), click_points)
    box_labels = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT])
    click_labels = torch.tensor([LABEL_FOREGROUND, LABEL_PADDING])
    labels = torch.where(is_box[:, None], box_labels, click_labels)
    return points.view(batch, prompts, 2, 2), labels.view(batch, prompts, 2)


def add_correction_clicks(
    points: torch.Tensor,
    labels: torch.Tensor,
    logits: torch.Tensor,
    targets: torch.Tensor,
    stride: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Append one correction click to every prompt.

    Args:
        points: (B, P, K, 2) and labels: (B, P, K), the prompts so far.
        logits: (B, P, h, w), the mask that the user looks at.
        targets: (B, P, h, w) bool.

    Returns:
        Points (B, P, K + 1, 2) and labels (B, P, K + 1).
    """
    new_points, new_labels = sample_correction_clicks(
        (logits > 0).flatten(0, 1), targets.flatten(0, 1), stride, generator
    )
    points = torch.cat((points, new_points.view(*points.shape[:2], 1, 2)), dim=2)
    labels = torch.cat((labels, new_labels.view(*labels.shape[:2], 1)), dim=2)
    return points, labels
