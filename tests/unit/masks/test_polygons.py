"""Polygons against hand-written outlines, a flood fill, a ray cast for every pixel, and pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from anymask.masks.polygons import Polygon, polygons_to_rle, rle_to_polygons, rles_to_polygons
from anymask.masks.rle import mask_to_rle, rle_area, rle_to_mask


def polygons_of(rows, **options):
    return rle_to_polygons(mask_to_rle(np.array(rows, bool)), **options)


def as_lists(polygons):
    return [(polygon.outer_xy.tolist(), [hole.tolist() for hole in polygon.holes_xy]) for polygon in polygons]


def random_masks():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 7), (6, 1), (2, 3), (5, 8), (9, 13), (24, 33)):
        for share in (0.0, 0.2, 0.5, 0.7, 0.9, 1.0):
            for _ in range(2):
                yield rng.random(shape) < share


def signed_area(xy):
    x, y = np.asarray(xy, dtype=float).T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def count_parts(mask):
    """Number of 4-connected parts, by flood fill."""
    todo = {tuple(pixel) for pixel in np.argwhere(mask)}
    parts = 0
    while todo:
        parts += 1
        stack = [todo.pop()]
        while stack:
            row, column = stack.pop()
            near = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)} & todo
            todo -= near
            stack += near
    return parts


def is_inside(ring, x, y):
    crossings = 0
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (x0 > x) != (x1 > x) and y > y0 + (x - x0) * (y1 - y0) / (x1 - x0):
            crossings += 1
    return crossings % 2 == 1


def distance_to_ring(point, ring):
    """From a point to the nearest place on a closed outline."""
    start, along = ring, np.roll(ring, -1, axis=0) - ring
    share = np.clip(((point - start) * along).sum(1) / (along**2).sum(1), 0, 1)
    return np.sqrt((((point - start) - share[:, None] * along) ** 2).sum(1)).min()


def test_one_pixel():
    assert as_lists(polygons_of([[0, 0, 0], [0, 1, 0]])) == [([[1, 2], [1, 1], [2, 1], [2, 2]], [])]


def test_a_frame_has_a_hole_the_other_way_round():
    frame = np.ones((4, 5), bool)
    frame[1:3, 1:4] = False
    ((outer, holes),) = as_lists(polygons_of(frame))
    assert outer == [[0, 4], [0, 0], [5, 0], [5, 4]]
    assert holes == [[[1, 1], [1, 3], [4, 3], [4, 1]]]
    assert as_lists(polygons_of(frame, holes=False)) == [(outer, [])]


def test_pixels_that_share_a_corner_are_two_polygons():
    assert len(polygons_of([[1, 0], [0, 1]])) == 2
    assert len(polygons_of([[0, 1], [1, 0]])) == 2


def test_a_hole_that_reaches_the_outline_at_a_corner_is_a_hole():
    (polygon,) = polygons_of([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    assert [signed_area(hole) for hole in polygon.holes_xy] == [-1, -1]
    (polygon,) = polygons_of([[0, 1, 1], [1, 0, 1], [1, 1, 1]])
    assert signed_area(polygon.outer_xy) == 8
    assert [signed_area(hole) for hole in polygon.holes_xy] == [-1]


def test_an_island_in_a_hole_is_a_polygon_of_its_own():
    rings = np.zeros((11, 9), bool)
    rings[0:11, 0:9] = True
    rings[2:9, 2:7] = False
    rings[4:7, 4:6] = True
    outside, island = polygons_of(rings)
    assert [len(outside.holes_xy), len(island.holes_xy)] == [1, 0]
    assert signed_area(island.outer_xy) == 6


def test_outlines_are_exact_simple_and_nested():
    for mask in random_masks():
        polygons = rle_to_polygons(mask_to_rle(mask))
        np.testing.assert_array_equal(rle_to_mask(polygons_to_rle(polygons, mask.shape)), mask)
        assert len(polygons) == count_parts(mask)
        for outer, holes in polygons:
            assert signed_area(outer) > 0
            assert all(signed_area(hole) < 0 for hole in holes)
            for ring in (outer, *holes):
                assert len(np.unique(ring, axis=0)) == len(ring)  # no vertex twice
            # Each hole lies in the part that it is said to be of: the part is what outline and holes enclose.
            part = polygons_to_rle([Polygon(outer, holes)], mask.shape)
            assert rle_area(part) == signed_area(outer) + sum(map(signed_area, holes))
            assert count_parts(rle_to_mask(part)) == 1


def test_filled_outlines_hold_no_holes():
    for mask in random_masks():
        filled = rle_to_mask(polygons_to_rle(rle_to_polygons(mask_to_rle(mask), holes=False), mask.shape))
        expected = np.zeros_like(mask)
        for outer, _ in rle_to_polygons(mask_to_rle(mask)):
            expected |= rle_to_mask(polygons_to_rle([(outer, [])], mask.shape))
        np.testing.assert_array_equal(filled, expected)


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.5])
def test_simplified_outlines_stay_within_the_tolerance(tolerance):
    rows, columns = np.mgrid[:70, :110]
    disc = (rows - 33) ** 2 / 900 + (columns - 52) ** 2 / 2300 < 1
    disc &= (rows - 30) ** 2 + (columns - 40) ** 2 > 100
    (exact,) = polygons_of(disc)
    (simple,) = polygons_of(disc, tolerance=tolerance)
    for ring, reduced in zip([exact.outer_xy, *exact.holes_xy], [simple.outer_xy, *simple.holes_xy], strict=True):
        assert 3 <= len(reduced) < len(ring) / (1 if tolerance < 0.7 else 2)  # a step of one pixel is 0.7 high
        assert {tuple(vertex) for vertex in reduced.tolist()} <= {tuple(vertex) for vertex in ring.tolist()}
        assert max(distance_to_ring(vertex, reduced) for vertex in ring) <= tolerance + 1e-9


def test_no_part_is_lost_and_small_holes_are():
    frame = np.ones((30, 41), bool)
    frame[10, 10] = False
    frame[:, 20] = False
    left, right = polygons_of(frame, tolerance=4)
    assert len(left.holes_xy) == 0
    assert min(signed_area(left.outer_xy), signed_area(right.outer_xy)) > 500
    for mask in random_masks():
        polygons = rle_to_polygons(mask_to_rle(mask), tolerance=3)
        assert len(polygons) == count_parts(mask)
        assert all(len(outer) >= 3 for outer, _ in polygons)


def test_many_masks_at_once_are_as_one_by_one():
    rles = [mask_to_rle(mask) for mask in random_masks()]
    for tolerance in (0, 1.5):
        together = rles_to_polygons(rles, tolerance)
        assert [as_lists(p) for p in together] == [as_lists(rle_to_polygons(rle, tolerance)) for rle in rles]


def test_any_polygon_is_filled_by_pixel_centres():
    rng = np.random.default_rng(1)
    height, width = 23, 31
    for vertices in (3, 4, 7):
        outer = rng.uniform(-5, 36, (vertices, 2))  # partly outside, crossing itself
        hole = rng.uniform(5, 20, (3, 2))
        mask = rle_to_mask(polygons_to_rle([Polygon(outer, [hole])], (height, width)))
        for row in range(height):
            for column in range(width):
                centre = column + 0.5, row + 0.5
                assert mask[row, column] == (is_inside(outer, *centre) != is_inside(hole, *centre))


def test_polygons_are_united():
    square = np.array([[1, 1], [5, 1], [5, 4], [1, 4]])
    rle = polygons_to_rle([(square, []), (square + 2, []), (square[::-1], [])], (10, 12))
    assert rle_area(rle) == 12 + 12 - 2
    assert polygons_to_rle([], (3, 4)) == {"size": [3, 4], "counts": [12]}


def test_polygons_are_those_of_pycocotools():
    for mask in random_masks():
        for outer, _ in rle_to_polygons(mask_to_rle(mask)):
            (theirs,) = coco_masks.frPyObjects([outer.ravel().tolist()], *mask.shape)
            ours = polygons_to_rle([(outer, [])], mask.shape)
            np.testing.assert_array_equal(rle_to_mask(theirs), rle_to_mask(ours))


def test_bad_input():
    with pytest.raises(ValueError, match=r"`tolerance` must be 0 or more pixels, got -1"):
        polygons_of([[1]], tolerance=-1)
    with pytest.raises(ValueError, match="must be finite"):
        polygons_to_rle([(np.array([[0, 0], [np.nan, 1], [2, 2]]), [])], (3, 4))
