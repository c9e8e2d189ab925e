import numpy as np
import pytest

from anymask.masks.rle import mask_to_rle, rle_to_coco, rle_to_mask
from anymask.tiling.grid import make_grid
from anymask.tiling.pieces import PieceStore, make_piece, merge_pieces, place_runs

FACTS = dict(is_cut=True, score=0.5, stability=0.25, point_xy=(3.0, 4.0))


def random_mask(seed, size_hw=(23, 31)):
    return np.random.default_rng(seed).random(size_hw) > 0.6


def test_a_piece_is_its_mask_in_its_box():
    mask = np.zeros((20, 30), bool)
    mask[5:8, 10:21] = random_mask(0, (3, 11))
    mask[5, 10] = mask[7, 20] = True
    piece = make_piece(mask, (100, 200), **FACTS)
    assert piece.box_xyxy == (110, 205, 121, 208)
    np.testing.assert_array_equal(piece.mask(), mask[5:8, 10:21])
    y, x = np.argwhere(mask).mean(axis=0)
    assert piece.area == mask.sum() and piece.centre_xy == pytest.approx((x + 100.5, y + 200.5))
    assert make_piece(np.zeros((4, 5), bool), (0, 0), **FACTS) is None


def test_runs_lie_where_the_mask_does():
    mask = random_mask(1)
    whole = np.zeros((60, 80), bool)
    whole[7:30, 40:71] = mask
    starts, ends = place_runs(rle_to_coco(mask_to_rle(mask)), (40, 7), 60)
    painted = np.zeros(60 * 80, bool)
    for start, end in zip(starts, ends, strict=True):
        painted[start:end] = True
    np.testing.assert_array_equal(painted.reshape(80, 60).T, whole)


def test_merged_pieces_are_their_union():
    whole = np.zeros((70, 90), bool)
    pieces = []
    for seed, (left, top) in enumerate([(5, 9), (20, 15), (44, 40)]):
        mask = random_mask(seed)
        whole[top : top + 23, left : left + 31] |= mask
        pieces.append(make_piece(mask, (left, top), **FACTS))
    (left, top, right, bottom), rle = merge_pieces(pieces)
    painted = np.zeros_like(whole)
    painted[top:bottom, left:right] = rle_to_mask(rle)
    np.testing.assert_array_equal(painted, whole)


def test_what_is_put_comes_back(tmp_path):
    tiles = make_grid((50, 90), 50, 5)
    store = PieceStore(tmp_path, {"model": "one", "sizes": (1, 2)})
    piece = make_piece(random_mask(3), (3, 4), **{**FACTS, "point_xy": None})
    store.put(tiles[0], [piece])
    again = PieceStore(tmp_path, {"model": "one", "sizes": (1, 2)})
    assert again.get(tiles[0]) == [piece] and tiles[0] in again and tiles[1] not in again
    with pytest.raises(ValueError, match="was made with another model; pass another folder"):
        PieceStore(tmp_path, {"model": "two", "sizes": (1, 2)})
