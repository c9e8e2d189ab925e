import numpy as np
import pytest
import torch

from anymask.prompts.nested import depths_of, flat_list, nested_prompts, shape_of, to_lists


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (3, "()"),
        ([1, 2], "(2,)"),
        ([[1, 2], [3]], "(2, 1-2)"),
        ([[], [[1, 2]]], "(2, 0-1, 2)"),
        ([None, [1, 2]], "(2, 2)"),
        (np.zeros((2, 3)), "(2, 3)"),
        ([np.zeros((2, 3)), np.zeros((4, 3))], "(2, 2-4, 3)"),
    ],
)
def test_shapes_of_nested_lists(value, expected):
    assert shape_of(value) == expected


def test_depths():
    assert depths_of([[1, 2], [3]]) == {2}
    assert depths_of([1, [2]]) == {1, 2}
    assert depths_of([[], [None]]) == set()


def test_arrays_and_tuples_become_lists():
    value = (np.array([1, 2]), torch.tensor([[3.5]]), [4, None], np.float32(5))
    assert to_lists("x", value) == [[1, 2], [[3.5]], [4, None], 5.0]
    with pytest.raises(ValueError, match="`x` must hold numbers in lists, tuples, arrays or tensors, got str"):
        to_lists("x", [["1"]])


def test_what_is_left_out_of_the_nesting_is_added():
    def boxes(value, n_images):
        return nested_prompts("boxes", value, 3, 4, n_images, "[image][prompt][x0, y0, x1, y1]")

    box = [1, 2, 3, 4]
    assert boxes(box, 1) == boxes([box], 1) == boxes([[box]], 1) == [[box]]
    assert boxes([box, box], 1) == [[box, box]]
    assert boxes([box, box], 2) == [[box], [box]]
    assert boxes([[box], None], 2) == [[box], []]
    assert boxes([[[box], [box]]], 1) == boxes([[[box, box]]], 1) == [[box, box]]
    assert boxes([[[box], None], [[box, box]]], 2) == [[box, None], [box, box]]
    assert boxes(None, 2) == [[], []]


def test_images_in_a_flat_list():
    image = np.zeros((2, 3, 3))
    assert len(flat_list(np.zeros((4, 2, 3, 3)))) == 4
    assert [each is image for each in flat_list([image, (image, [image])])] == [True] * 3
    assert flat_list(image)[0] is image
    assert len(flat_list(np.zeros((4, 2, 3)), batch_axes=3)) == 4
    with pytest.raises(ValueError, match="at least one image, got an empty list"):
        flat_list([[]])
