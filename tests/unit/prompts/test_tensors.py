import numpy as np
import pytest
import torch

from anymask.geometry.coordinates import ResizeGeometry
from anymask.prompts.prompt import Prompt
from anymask.prompts.tensors import count_prompts, prepare_prompts, to_tensors

# Two images of one and of two model pixels per original pixel.
ONE = ResizeGeometry((60, 80), (60, 80), (80, 80))
TWO = ResizeGeometry((30, 40), (60, 80), (80, 80))


def prepare(points=None, labels=None, boxes=None, geometries=(ONE,)):
    return prepare_prompts(points, labels, boxes, geometries)


# Nesting


@pytest.mark.parametrize("points", [[1, 2], [[1, 2]], [[[1, 2]]], [[[[1, 2]]]]])
@pytest.mark.parametrize("convert", [list, np.array, lambda points: torch.tensor(points, dtype=torch.float64)])
def test_one_point_at_every_depth(points, convert):
    tensors = prepare(convert(points))
    assert set(tensors) == {"input_points"}
    assert tensors["input_points"].dtype == torch.float32
    assert tensors["input_points"].tolist() == [[[[1, 2]]]]


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        ([1, 2], 0),
        ([[1, 2]], [0]),
        ([[[1, 2]]], [[0]]),
        ([[[[1, 2]]]], [[[0]]]),
        (((1, 2),), (False,)),
        ([1, 2], np.int32(0)),
    ],
)
def test_labels_are_nested_like_points(points, labels):
    tensors = prepare(points, labels)
    assert tensors["input_labels"].dtype == torch.int64
    assert tensors["input_labels"].tolist() == [[[0]]]


def test_points_without_a_level_of_objects_are_of_one_object():
    assert prepare([[1, 2], [3, 4], [5, 6]], [1, 0, 1])["input_points"].shape == (1, 1, 3, 2)
    assert prepare([[[1, 2], [3, 4], [5, 6]]])["input_points"].shape == (1, 1, 3, 2)
    assert prepare([[[[1, 2]], [[3, 4]], [[5, 6]]]])["input_points"].shape == (1, 3, 1, 2)


def test_several_images():
    geometries = (ONE, TWO)
    one_each = prepare([[1, 2], [3, 4]], [1, 0], geometries=geometries)
    assert one_each["input_points"].tolist() == [[[[1, 2]]], [[[6, 8]]]]
    assert one_each["input_labels"].tolist() == [[[1]], [[0]]]
    assert prepare([[[1, 2], [5, 6]], [[3, 4], [7, 8]]], geometries=geometries)["input_points"].shape == (2, 1, 2, 2)
    assert prepare(boxes=[[1, 2, 3, 4], [1, 2, 3, 4]], geometries=geometries)["input_boxes"].tolist() == [
        [[1, 2, 3, 4]],
        [[2, 4, 6, 8]],
    ]


@pytest.mark.parametrize(
    "boxes",
    [[1, 2, 3, 4], [[1, 2, 3, 4]], [[[1, 2, 3, 4]]], [[[[1, 2, 3, 4]]]], torch.tensor([[[1, 2, 3, 4]]])],
)
def test_one_box_at_every_depth(boxes):
    assert prepare(boxes=boxes)["input_boxes"].tolist() == [[[1, 2, 3, 4]]]


def test_several_boxes_are_several_objects():
    assert prepare(boxes=[[1, 2, 3, 4], [5, 6, 7, 8]])["input_boxes"].shape == (1, 2, 4)


def test_points_and_boxes_of_the_same_objects():
    tensors = prepare([[[[1, 2]], [[3, 4]], [[5, 6]]]], boxes=[[[1, 2, 3, 4]] * 3])
    assert tensors["input_points"].shape == (1, 3, 1, 2)
    assert tensors["input_boxes"].shape == (1, 3, 4)
    assert prepare([[1, 2], [3, 4]], boxes=[0, 0, 80, 60])["input_points"].shape == (1, 1, 2, 2)


def test_an_overshoot_of_a_pixel_is_clipped():
    """What detectors and rounding leave; the edges of the image, 80 x 60, are inside it."""
    inside, outside = [[0, 0], [80, 60], [3, 0]], [[-0.25, -1], [80.5, 61], [3, -0.01]]
    for given in (outside, np.array(outside)):
        torch.testing.assert_close(prepare([given])["input_points"], prepare([inside])["input_points"])
    box = prepare(boxes=[-0.4, 0, 80.999, 60.5])["input_boxes"]
    torch.testing.assert_close(box, prepare(boxes=[0, 0, 80, 60])["input_boxes"])


def test_prompts_are_not_changed():
    points = torch.tensor([[1.0, 2.0]])
    nested = [[[1, 2]], [[3, 4]]]
    prepare(points)
    prepare(nested, geometries=(ONE, TWO))
    assert points.tolist() == [[1, 2]]
    assert nested == [[[1, 2]], [[3, 4]]]


# Ragged prompts


def test_different_numbers_of_points_are_padded():
    tensors = prepare([[[[1, 2], [3, 4], [5, 6]], [[7, 8]]], [[[9, 10]]]], geometries=(ONE, TWO))
    pad = [-10, -10]
    assert tensors["input_points"].tolist() == [
        [[[1, 2], [3, 4], [5, 6]], [[7, 8], pad, pad]],
        [[[18, 20], pad, pad], [pad, pad, pad]],
    ]
    assert tensors["input_labels"].tolist() == [[[1, 1, 1], [1, -10, -10]], [[1, -10, -10], [-10, -10, -10]]]
    assert count_prompts(tensors, 2) == [2, 1]


def test_labels_keep_their_places_when_padded():
    tensors = prepare([[[[1, 2], [3, 4]], [[7, 8]]]], [[[0, 1], [0]]])
    assert tensors["input_labels"].tolist() == [[[0, 1], [0, -10]]]


def test_boxes_of_different_numbers_become_corners():
    tensors = prepare(boxes=[[[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 3, 4]]], geometries=(ONE, TWO))
    assert set(tensors) == {"input_points", "input_labels"}
    assert tensors["input_points"].tolist() == [
        [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
        [[[2, 4], [6, 8]], [[-10, -10]] * 2],
    ]
    assert tensors["input_labels"].tolist() == [[[2, 3], [2, 3]], [[2, 3], [-10, -10]]]


def test_any_mix_of_points_and_boxes():
    tensors = prepare(
        [[[[1, 2]], None, [[3, 4], [5, 6]]], None],
        [[[0], None, [1, 0]], None],
        [[None, [1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 3, 4]]],
        geometries=(ONE, TWO),
    )
    assert tensors["input_labels"].tolist() == [
        [[0, -10, -10, -10], [2, 3, -10, -10], [1, 0, 2, 3]],
        [[2, 3, -10, -10], [-10] * 4, [-10] * 4],
    ]
    assert tensors["input_points"][0, 2].tolist() == [[3, 4], [5, 6], [5, 6], [7, 8]]
    assert tensors["input_points"][1, 0, :2].tolist() == [[2, 4], [6, 8]]


@pytest.mark.parametrize("empty", [None, [], np.zeros((0, 2))])
def test_images_without_prompts(empty):
    tensors = prepare([[[[1, 2]]], empty], geometries=(ONE, TWO))
    assert tensors["input_labels"].tolist() == [[[1]], [[-10]]]


def test_known_labels_beyond_foreground_and_background():
    labels = [2, 3, -1, -10]
    tensors = prepare([[1, 2], [3, 4], [-5, 99], [-10, -10]], labels)  # where there is no point, any place will do
    assert tensors["input_labels"].tolist() == [[labels]]


def test_boxes_one_pixel_wide_or_high_are_taken():
    assert prepare(boxes=[3, 1, 3, 4])["input_boxes"].tolist() == [[[3, 1, 3, 4]]]


def test_masks_beside_prompts_with_and_without():
    mask = np.zeros((60, 80), bool)
    mask[:, :40] = True
    prompts = [Prompt(((1, 2),), (1,), mask=mask), Prompt(((3, 4),), (0,))]
    low_res = ResizeGeometry((60, 80), (15, 20), (20, 20))
    tensors = to_tensors([prompts], [ONE], mask_geometries=[low_res])
    assert tensors["input_masks"].shape == (1, 2, 20, 20)
    assert tensors["input_masks"][0, 1].isnan().all()
    assert (tensors["input_masks"][0, 0, :15, :9] > 6).all() and (tensors["input_masks"][0, 0, :, 11:] < -6).all()
    assert set(to_tensors([[Prompt(mask=mask)]], [ONE], mask_geometries=[low_res])) == {"input_masks"}
    assert set(to_tensors([prompts], [ONE])) == {"input_points", "input_labels"}


def test_no_prompts():
    assert prepare() == {}
    assert count_prompts({}, 3) == [0, 0, 0]


@pytest.mark.parametrize(
    ("points", "labels"),
    [([[[[1, 2], [3, 4]]]], [[1, 0]]), ([[[1, 2], [3, 4]]], [[[1, 0]]]), ([[[1, 2], [3, 4]]], [1, 0])],
)
def test_labels_may_leave_out_other_levels_than_points(points, labels):
    expected = prepare([[[[1, 2], [3, 4]]]], [[[1, 0]]])
    tensors = prepare(points, labels)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


# Errors


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            {"points": [[[[[1, 2]]]]]},
            r"`input_points` must be nested as \[image\]\[prompt\].* got shape \(1, 1, 1, 1, 2\)",
        ),
        ({"points": 3}, r"`input_points` must be nested as .* got shape \(\)"),
        ({"points": [[1, 2, 3]]}, r"all numbers given, got shape \(1, 3\)"),
        ({"points": [[[1, 2], [3]]]}, r"all numbers given, got shape \(1, 2, 1-2\)"),
        ({"points": [[[1, 2], None]]}, "all numbers given"),
        ({"points": [[1, [2]]]}, r"`input_points` must be nested as"),
        ({"points": [[[[1, None]]]]}, "all numbers given"),
        ({"points": "1,2"}, "`input_points` must hold numbers in lists, tuples, arrays or tensors, got str"),
        ({"points": [[[1, 2]], [[3, 4]]]}, r"prompts for 1 image, nested as .* got shape \(2, 1, 2\), prompts for 2"),
        ({"points": [1, 2], "geometries": (ONE, TWO)}, "must have prompts for 2 images, nested as .* prompts for 1"),
        (
            {"boxes": [[1, 2, 3]]},
            r"`input_boxes` must be nested as \[image\]\[prompt\]\[x0, y0, x1, y1\].* got shape \(1, 3\)",
        ),
        ({"boxes": [[[[[1, 2, 3, 4]]]]]}, r"`input_boxes` must be nested .* got shape \(1, 1, 1, 1, 4\)"),
        ({"boxes": np.zeros((3, 2, 4)), "geometries": (ONE, TWO)}, r"prompts for 2 images.* got shape \(3, 2, 4\)"),
        ({"labels": [1]}, "`input_labels` must come with `input_points`"),
        ({"points": [[[[1, 2]], [[3, 4]]]], "labels": [[1], [0]]}, "must have prompts for 1 image.* prompts for 2"),
        ({"points": [[[[1, 2]], [[3, 4]]]], "labels": [[1, 0]]}, "image 0 has points for 2 prompts, labels for 1"),
        (
            {"points": [[[1, 2]]], "labels": [[1, 0]]},
            r"one label per point; the labels of prompt \[0\]\[0\] \(image, prompt\) are 2 for 1 points",
        ),
        ({"points": [[[[1, 2]], [[3, 4]]]], "labels": [[[1]]]}, "image 0 has points for 2 prompts, labels for 1"),
        ({"points": [[[[1, 2]], None]], "labels": [[[1], [1]]], "boxes": [[None, [1, 2, 3, 4]]]}, "and no points"),
        ({"points": [[[1, 2]]], "labels": [[5]]}, r"must be 1 \(foreground\), 0 .* got \[5\]"),
        ({"points": [[[1, 2]]], "labels": [[0.5]]}, r"must be 1 \(foreground\), 0 .* got \[0.5\]"),
        (
            {"points": [[[1, 2]]], "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]]},
            "points for 1 prompts, labels for 0 and boxes for 2",
        ),
        ({"points": [[[[1, 2]], None]]}, r"prompt \[0\]\[1\] \(image, prompt\) has neither"),
        (
            {"points": [[[82, 2]]]},
            r"Points of prompt \[0\]\[0\] .* image, x in \[0, 80\] and y in \[0, 60\]",
        ),
        ({"points": [[[1, -1.5]]]}, "must lie in the image"),
        ({"points": [[[float("inf"), 2]]]}, "must lie in the image"),
        ({"points": [[[1, float("nan")]]]}, "must lie in the image"),
        (
            {"boxes": [[5, 2, 3, 4]]},
            r"box of prompt \[0\]\[0\] .* \[x0, y0, x1, y1\] with x0 <= x1 and y0 <= y1",
        ),
        ({"boxes": [[1, 4, 3, 2]]}, "x0 <= x1 and y0 <= y1"),
        ({"boxes": [[1, 2, 90, 4]]}, r"The box of prompt \[0\]\[0\] .* must lie in the image"),
        ({"points": [[]]}, "at least one point or box, got empty prompts"),
    ],
)
def test_prompts_that_cannot_be(prompts, message):
    with pytest.raises(ValueError, match=message):
        prepare(**prompts)
