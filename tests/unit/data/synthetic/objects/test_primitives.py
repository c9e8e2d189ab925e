import numpy as np

from anymask.data.synthetic.objects.primitives import Primitive, move_all


def test_move_all_moves_outlines_and_holes_and_keeps_the_rest():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    triangle = np.array([[0.2, 0.2], [0.4, 0.2], [0.3, 0.5]])
    plate, mark = Primitive(square, 2, holes=(triangle,)), Primitive(triangle, 1, "eye", "head", clipped=True)
    moved_plate, moved_mark = move_all([plate, mark], lambda points: 2 * points + (1, 3))
    assert np.array_equal(moved_plate.outline, 2 * square + (1, 3))
    assert np.array_equal(moved_plate.holes[0], 2 * triangle + (1, 3))
    assert np.array_equal(moved_mark.outline, 2 * triangle + (1, 3))
    assert (moved_plate.material, moved_plate.part, moved_plate.clipped) == (2, "", False)
    assert (moved_mark.material, moved_mark.part, moved_mark.part_of, moved_mark.clipped) == (1, "eye", "head", True)
    assert np.array_equal(plate.outline, square)
