import pytest

from anymask.tiling.grid import cut_edges, make_grid, overlap_xyxy, overlapping_pairs


def test_cores_cover_the_image_once_and_windows_show_what_is_around():
    tiles = make_grid((70, 110), 50, 12)
    assert [tile.core_xyxy for tile in tiles] == [
        (0, 0, 50, 50),
        (50, 0, 100, 50),
        (100, 0, 110, 50),
        (0, 50, 50, 70),
        (50, 50, 100, 70),
        (100, 50, 110, 70),
    ]
    assert tiles[1].window_xyxy == (38, 0, 110, 62) and tiles[5].window_xyxy == (88, 38, 110, 70)
    assert [tile.name for tile in tiles[:2]] == ["tile_000000", "tile_000001"]


def test_pairs_are_those_whose_windows_overlap():
    tiles = make_grid((40, 160), 40, 15)
    assert overlapping_pairs(tiles) == [(0, 1), (1, 2), (2, 3)]
    assert overlapping_pairs(make_grid((40, 160), 40, 21)) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    assert overlap_xyxy((0, 0, 4, 5), (4, 0, 6, 5)) is None
    assert overlap_xyxy((0, 0, 4, 5), (2, 3, 6, 9)) == (2, 3, 4, 5)


def test_only_inner_edges_cut():
    window, size_hw = (0, 30, 50, 80), (80, 100)
    assert not cut_edges((0, 40, 20, 80), window, size_hw, 0)  # both are edges of the image
    assert cut_edges((10, 30, 20, 40), window, size_hw, 0)
    assert cut_edges((10, 40, 48, 50), window, size_hw, 2) and not cut_edges((10, 40, 48, 50), window, size_hw, 1)


@pytest.mark.parametrize(
    ("size_hw", "sizes", "message"),
    [((0, 5), dict(tile=4, halo=1), "at least one pixel"), ((5, 5), dict(tile=0, halo=1), "`tile` must be at least 1")],
)
def test_sizes_that_cannot_be(size_hw, sizes, message):
    with pytest.raises(ValueError, match=message):
        make_grid(size_hw, **sizes)
