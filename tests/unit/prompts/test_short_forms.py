"""Short forms of prompts against prompts written out by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from anymask.prompts.short_forms import read_prompts

MASK = np.arange(12).reshape(3, 4) > 5
RLE = {"size": [3, 4], "counts": [2, 1, 2, 1, 2, 1, 2, 1]}  # the last row alone, column by column


def said(prompts):
    """Points, labels and boxes of all prompts."""
    return [(prompt.points_xy, prompt.labels, prompt.box_xyxy) for prompt in prompts]


@pytest.mark.parametrize(
    ("points", "labels", "expected"),
    [
        ([1, 2], None, [(((1, 2),), (1,))]),
        ((1.5, 2), 0, [(((1.5, 2),), (0,))]),
        ([1, 2], [0], [(((1, 2),), (0,))]),
        ([[1, 2], [3, 4], [5, 6]], None, [(((1, 2),), (1,)), (((3, 4),), (1,)), (((5, 6),), (1,))]),
        ([[1, 2], (3, 4)], (1, 1), [(((1, 2),), (1,)), (((3, 4),), (1,))]),
        ([[[1, 2], [3, 4], [5, 6]]], [[1, 0, 1]], [(((1, 2), (3, 4), (5, 6)), (1, 0, 1))]),
        ([[[1, 2], [3, 4]], [[5, 6]]], [[1, 0], [1]], [(((1, 2), (3, 4)), (1, 0)), (((5, 6),), (1,))]),
        ([[[1, 2], [3, 4]], [[5, 6]]], [[1, 0], None], [(((1, 2), (3, 4)), (1, 0)), (((5, 6),), (1,))]),
        ([[[1, 2]], [[5, 6]]], [[0], [0]], [(((1, 2),), (0,)), (((5, 6),), (0,))]),
        ([], None, []),
        ([], [], []),
        (np.zeros((0, 2)), np.zeros(0), []),
    ],
)
def test_points(points, labels, expected):
    assert said(read_prompts(points, labels)) == [(*prompt, None) for prompt in expected]
    try:
        arrays = np.asarray(points, dtype=float)
    except ValueError:
        return  # ragged lists are no array
    assert said(read_prompts(arrays, labels)) == said(read_prompts(torch.tensor(arrays), labels))
    assert said(read_prompts(arrays, labels)) == [(*prompt, None) for prompt in expected]


def test_boxes():
    assert said(read_prompts(boxes=[1, 2, 3, 4])) == [((), (), (1, 2, 3, 4))]
    two = [[1, 2, 3, 4], [5, 6, 7, 8]]
    expected = [((), (), (1, 2, 3, 4)), ((), (), (5, 6, 7, 8))]
    for boxes in (two, tuple(two), np.array(two), torch.tensor(two), [np.array(two[0]), torch.tensor(two[1])]):
        assert said(read_prompts(boxes=boxes)) == expected
    assert read_prompts(boxes=np.zeros((0, 4))) == []  # what a detector returns that found nothing


def test_masks():
    for masks in (MASK, torch.from_numpy(MASK), MASK[None], [MASK], torch.from_numpy(MASK)[None, None]):
        (prompt,) = read_prompts(masks=masks)
        np.testing.assert_array_equal(np.asarray(prompt.mask), MASK)
    first, second = read_prompts(masks=[MASK, RLE])
    assert second.mask is RLE  # it is decoded when its size is known to be the image's
    assert first.mask is MASK


def test_masks_of_pictures(tmp_path):
    grey = Image.fromarray(MASK.astype(np.uint8) * 255)
    grey.convert("RGB").save(tmp_path / "mask.png")
    prompts = read_prompts(masks=[grey, str(tmp_path / "mask.png"), tmp_path / "mask.png", None], points=[[1, 2]] * 4)
    for prompt in prompts[:3]:
        np.testing.assert_array_equal(prompt.mask, MASK * 255)
    assert read_prompts(masks=grey)[0].mask.shape == (3, 4)
    assert prompts[3].mask is None
    with pytest.raises(FileNotFoundError, match=r"must be an image file, but 'none\.png' is none"):
        read_prompts(masks="none.png")
    coloured = Image.new("RGB", (4, 3), (255, 0, 0))
    with pytest.raises(ValueError, match="must be grey, got mode RGB with colours"):
        read_prompts(masks=coloured)


def test_names_and_scores_of_a_detector():
    boxes = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    one, two = read_prompts(boxes=boxes, names=["cup", None], scores=np.float32([0.5, 0.25]))
    assert (one.name, one.score, two.name, two.score) == ("cup", 0.5, None, 0.25)
    assert read_prompts(boxes=[1, 2, 3, 4], names="cup", scores=0.5)[0].name == "cup"


def test_prompts_of_one_object_together():
    point_and_box, box, points_and_mask = read_prompts(
        points=[[[1, 2]], None, [[3, 4], [5, 6]]],
        labels=[[0], None, [1, 0]],
        boxes=[[0, 0, 8, 9], [1, 1, 2, 2], None],
        masks=[None, None, MASK],
    )
    assert said([point_and_box, box]) == [(((1, 2),), (0,), (0, 0, 8, 9)), ((), (), (1, 1, 2, 2))]
    assert said([points_and_mask]) == [(((3, 4), (5, 6)), (1, 0), None)]
    assert point_and_box.mask is None
    assert points_and_mask.mask is MASK
    # A background point of an object that has a box as well.
    assert said(read_prompts([[1, 2], [3, 4]], [1, 0], boxes=[[0, 0, 5, 5]] * 2))[1][1] == (0,)


def test_no_prompt_is_not_no_objects():
    assert read_prompts() is None
    assert read_prompts(points=[], boxes=[]) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(points=[1, 2, 3]), r"`points` must be \[x, y\], \(N, 2\) .* got shape \(3,\)"),
        (dict(points=5), r"`points` must be .* got shape \(\)"),
        (dict(points=[[1, 2], [3]]), r"got shape \(2, 1-2\)"),
        (dict(points=[[1, 2], [[3, 4]]]), r"got shape \(2, 1-2, 2\)"),
        (dict(points=np.zeros((1, 1, 1, 2))), r"got shape \(1, 1, 1, 2\)"),
        (dict(points=[[1, None]]), r"`points` must be"),
        (dict(points="1, 2"), "must hold numbers in lists, .* got str"),
        (dict(labels=[1]), "`labels` must come with `points`"),
        (dict(points=[[1, 2], [3, 4]], labels=[1]), r"points of shape \(2, 2\) and labels of shape \(1,\)"),
        (dict(points=[[1, 2], [3, 4]], labels=1), r"labels of shape \(\)"),
        (dict(points=[[1, 2], [3, 4]], labels=[[1], [1]]), r"labels of shape \(2, 1\)"),
        (dict(points=[[1, 2], [3, 4]], labels=[]), r"labels of shape \(0,\)"),
        (dict(points=[[[1, 2], [3, 4]]], labels=[1, 0]), r"points of shape \(1, 2, 2\) and labels of shape \(2,\)"),
        (dict(points=[[[1, 2], [3, 4]]], labels=[[1]]), "one label per point"),
        (dict(points=[1, 2], labels=2), r"`labels` must be 1 \(foreground\) or 0 \(background\), got \[2\]"),
        (dict(points=[1, 2], labels=-1), r"got \[-1\]"),
        (dict(points=[[1, 2], [3, 4]], labels=[1, 0]), r"prompt 1 has a background point alone.*\(1, K, 2\)"),
        (dict(boxes=[1, 2, 3]), r"`boxes` must be \[x0, y0, x1, y1\] or \(N, 4\), got shape \(3,\)"),
        (dict(boxes=np.ones((1, 2, 4))), r"`boxes` must be .* got shape \(1, 2, 4\)"),
        (dict(boxes=[[1, 2, 3, None]]), "`boxes` must be"),
        (dict(names=["cup"]), "`names` and `scores` must come with points"),
        (dict(boxes=[1, 2, 3, 4], names=["cup", "pot"]), "`names` must be one per prompt, got 2 for 1"),
        (dict(boxes=[1, 2, 3, 4], names=[3]), "`names` must be text, one per prompt, got 3"),
        (dict(boxes=[1, 2, 3, 4], scores=["0.5"]), "`scores` must be numbers, one per prompt, got '0.5'"),
        (dict(masks=5), "`masks` must be .* got int"),
        (dict(masks=torch.zeros(2, 3, 4, 4)), r"got Tensor of shape \(2, 3, 4, 4\)"),
        (dict(masks=[[0, 1], [1, 0]]), "arrays or tensors"),
        (dict(points=[[1, 2], [3, 4]], boxes=[0, 0, 4, 4]), r"`points` of shape \(2, 2\), `boxes` of shape \(4,\)"),
        (dict(points=[None, [1, 2]]), "prompt 0 has none of them"),
        (dict(points=[[], [[1, 2]]]), "prompt 0 has none of them"),
    ],
)
def test_what_cannot_be_read(given, message):
    with pytest.raises(ValueError, match=message):
        read_prompts(**given)
