"""Which pieces are one object, on two tiles that lie side by side."""

import numpy as np

from anymask.tiling.grid import make_grid
from anymask.tiling.pieces import PieceStore, make_piece
from anymask.tiling.stitch import stitch_objects

SIZE_HW = (40, 100)
TILES = make_grid(SIZE_HW, 50, 20)  # windows 0..70 and 30..100


def stitched(tmp_path, *pieces_of_tile):
    store = PieceStore(tmp_path, {})
    for tile, pieces in zip(TILES, pieces_of_tile, strict=True):
        store.put(tile, [piece(*box, is_cut=is_cut) for box, is_cut in pieces])
    return [(found.box_xyxy, found.area) for found in stitch_objects(TILES, store)]


def piece(x0, y0, x1, y1, is_cut):
    mask = np.zeros(SIZE_HW, bool)
    mask[y0:y1, x0:x1] = True
    return make_piece(mask, (0, 0), is_cut=is_cut, score=0.9, stability=0.9, point_xy=None)


def test_both_see_it_whole_and_the_owner_counts(tmp_path):
    """Though the tiles disagree by a pixel about where it ends."""
    assert stitched(tmp_path, [((52, 5, 62, 15), False)], [((52, 5, 63, 15), False)]) == [((52, 5, 63, 15), 110)]


def test_it_is_found_where_each_thinks_that_it_is_the_others(tmp_path):
    (found,) = stitched(tmp_path, [((44, 5, 57, 15), False)], [((43, 5, 56, 15), False)])
    assert found in [((44, 5, 57, 15), 130), ((43, 5, 56, 15), 130)]


def test_a_part_stays_apart_from_its_whole(tmp_path):
    whole, part = (32, 5, 68, 35), (34, 7, 60, 33)
    found = stitched(tmp_path, [(whole, False), (part, False)], [(part, False), (whole, False)])
    assert found == [(whole, 36 * 30), (part, 26 * 26)]


def test_cut_pieces_are_joined(tmp_path):
    assert stitched(tmp_path, [((10, 5, 70, 9), True)], [((30, 5, 90, 9), True)]) == [((10, 5, 90, 9), 320)]


def test_branches_are_joined_by_what_holds_them(tmp_path):
    """The left tile sees two branches, the right one where they meet."""
    store = PieceStore(tmp_path, {})
    joined = np.zeros(SIZE_HW, bool)
    joined[5:8, 30:90] = joined[20:23, 30:90] = joined[5:23, 85:90] = True
    store.put(TILES[0], [piece(10, 5, 70, 8, True), piece(10, 20, 70, 23, True)])
    store.put(TILES[1], [make_piece(joined, (0, 0), is_cut=True, score=0.9, stability=0.9, point_xy=None)])
    (found,) = stitch_objects(TILES, store)
    assert found.box_xyxy == (10, 5, 90, 23) and found.area == joined.sum() + 2 * 3 * 20


def test_a_rest_at_the_edge_goes(tmp_path):
    """A piece cut by the window's edge, in the other tile's core, which that one does not confirm."""
    assert stitched(tmp_path, [((60, 5, 70, 15), True)], []) == []
    assert stitched(tmp_path / "own", [((10, 5, 70, 15), True)], []) == [((10, 5, 70, 15), 600)]
