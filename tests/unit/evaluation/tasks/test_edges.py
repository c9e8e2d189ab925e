"""Edges: matching against SciPy's assignment and NetworkX, scores by hand, and an edge map of known masks."""

import networkx
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from tests.unit.evaluation.drawn import KnowingSegmenter, sample

from anymask.data.samples import sample_of_masks
from anymask.evaluation.tasks.edges import (
    boundaries_of,
    edge_counts,
    edge_map,
    edge_rows,
    edge_summary,
    match,
    thin_across,
)
from anymask.evaluation.tasks.protocols import PROTOCOLS


@pytest.mark.parametrize("seed", range(4))
def test_matching_is_as_large_as_the_cheapest_assignment(seed):
    """BSDS500's own way: an assignment in which staying alone costs a hundred times the reach."""
    rng = np.random.default_rng(seed)
    pixels, others = (np.unique(rng.integers(0, 14, (count, 2)), axis=0) for count in (40, 55))
    reach = 1.5
    distances = cdist(pixels, others)
    alone = np.full((len(pixels), len(pixels)), 100 * reach)
    costs = np.concatenate([np.where(distances <= reach, distances, 1e6), alone], axis=1)
    rows, columns = linear_sum_assignment(costs)
    expected = (costs[rows, columns] < 100 * reach).sum()
    matched = match(pixels, others, reach)
    assert len(matched) == expected and len(set(matched.tolist())) == expected
    assert len(match(pixels[:0], others, reach)) == 0


@pytest.mark.parametrize("reach", [1, 1.5, 2.9])
def test_matching_is_as_large_as_that_of_networkx(reach):
    """Hopcroft and Karp's by another library, on lines that are crowded, broken, doubled and crossed."""
    drawn, annotated = np.zeros((2, 30, 41), dtype=bool)
    drawn[4, 2:38], drawn[5, 10:20], drawn[8:29, 17], drawn[20, 3:30] = True, True, True, True
    annotated[6, 5:33], annotated[10:26, 18], annotated[10:26, 16], annotated[21, 8:40:2] = True, True, True, True
    pixels, others = np.argwhere(drawn), np.argwhere(annotated)
    near = cdist(pixels, others) <= reach
    graph = networkx.Graph()
    graph.add_nodes_from(("pixel", index) for index in range(len(pixels)))
    graph.add_edges_from((("pixel", one), ("other", other)) for one, other in np.argwhere(near).tolist())
    top = [node for node in graph if node[0] == "pixel"]
    pairs = networkx.bipartite.hopcroft_karp_matching(graph, top)
    expected = sum(node[0] == "pixel" for node in pairs)
    matched = match(pixels, others, reach)
    assert len(matched) == len(set(matched.tolist())) == expected > 0
    assert near[matched].any(axis=1).all()


def test_a_pixel_gives_way_where_another_has_no_choice():
    # Taken greedily, the nearest first, the middle pixel would keep what the left one needs.
    pixels, others = np.array([[0, 0], [0, 2]]), np.array([[0, 1], [0, 4]])
    assert match(pixels, others, reach=2).tolist() == [0, 1]


def test_a_thick_edge_is_thinned_to_its_middle_before_it_is_matched():
    edges = np.zeros((40, 60), dtype=np.float32)
    edges[10:13, 5:25] = 0.9
    annotator = np.zeros((1, 40, 60), dtype=bool)
    annotator[0, 11, 6:24] = True  # the middle line, whose ends thinning takes off
    counts = edge_counts(edges, annotator, np.array([0.5]))
    assert counts == {"found": [18], "correct": [18], "matched": [18], "wanted": 18}


def test_counts_by_hand():
    edges = np.zeros((40, 60), dtype=np.float32)
    edges[10, 5:25] = 0.9  # drawn by both, one row off for the second
    edges[30, 5:15] = 0.4  # drawn by nobody
    first, second = np.zeros((2, 40, 60), dtype=bool)
    first[10, 5:25] = True
    second[9, 5:25] = True
    second[20, 40:50] = True  # missed
    assert np.hypot(40, 60) * 0.0075 < 1  # so one row off does not match at this size
    counts = edge_counts(edges, np.stack([first, second]), np.array([0.3, 0.5, 0.95]))
    assert counts == {"found": [30, 20, 0], "correct": [20, 20, 0], "matched": [20, 20, 0], "wanted": 50}


def test_pixels_near_enough_match():
    edges = np.zeros((200, 160), dtype=np.float32)  # the diagonal's share is 1.9 pixels
    edges[50, 20:120] = 1
    annotator = np.zeros((1, 200, 160), dtype=bool)
    annotator[0, 51, 20:120] = True
    assert edge_counts(edges, annotator, np.array([0.5]))["matched"] == [100]
    assert edge_counts(edges, np.roll(annotator, 1, axis=1), np.array([0.5]))["matched"] == [0]


def test_scores_by_hand():
    images = [
        {"counts": {"found": [10, 4], "correct": [5, 4], "matched": [8, 4], "wanted": 10}},
        {"counts": {"found": [20, 10], "correct": [4, 5], "matched": [6, 5], "wanted": 10}},
    ]
    scores = edge_summary(images)
    recall, precision = np.array([14 / 20, 9 / 20]), np.array([9 / 30, 9 / 14])
    steps = np.linspace(0, 1, 100)
    r, p = (values[0] * (1 - steps) + values[1] * steps for values in (recall, precision))
    assert scores["ODS"] == pytest.approx((2 * r * p / (r + p)).max())
    # The first image is best at its first threshold (F = 0.615), the second at its second (0.5).
    r, p = (8 + 5) / 20, (5 + 5) / 20
    assert scores["OIS"] == pytest.approx(2 * r * p / (r + p))
    assert scores["R50"] == pytest.approx(np.interp(0.5, precision, recall))
    at = np.arange(45, 71) / 100
    assert scores["AP"] == pytest.approx(np.interp(at, recall[::-1], precision[::-1]).sum() / 100)
    assert edge_summary([]) == {}


def test_thinning_leaves_the_ridge():
    rows, columns = np.mgrid[:60, :80]
    ring = np.exp(-((np.hypot(rows - 30, columns - 40) - 18) ** 2) / 8).astype(np.float32)
    thin = thin_across(ring)
    kept = thin > 0.3
    distances = np.abs(np.hypot(rows - 30, columns - 40) - 18)
    assert distances[kept].max() < 1.1 and kept.sum() > 90
    assert (thin[kept] == ring[kept]).all()


def test_boundaries_of_objects_and_of_annotators():
    one = sample()
    outlines = boundaries_of(one)
    assert outlines.shape == (1, 48, 64)
    assert not outlines[0, 24, 20] and outlines[0, 24, 8] and outlines[0, 24, 32]  # the middle, and both sides
    drawn = sample_of_masks("b", one.image, one.masks, labels=["boundary"] * 2)
    assert np.array_equal(boundaries_of(drawn), one.masks)
    assert len(boundaries_of(sample_of_masks("n", one.image, []))) == 0


def test_edge_map_of_known_masks():
    from dataclasses import replace

    one = sample()
    protocol = replace(PROTOCOLS["paper"], edge_points_per_side=8)
    edges = edge_map(KnowingSegmenter(one), one.image, protocol)
    assert edges.shape == (48, 64) and edges.max() == 1
    rows, columns = np.mgrid[:48, :64]
    from_outlines = np.minimum(
        np.abs(np.hypot(rows - 24, columns - 20) - 12), np.abs(np.hypot(rows - 20, columns - 50) - 8)
    )
    above = rows < 16  # where the masks are not cut
    assert from_outlines[(edges > 0.5) & above].max() < 3
    (row,) = edge_rows(KnowingSegmenter(one), one, protocol, 0)
    assert len(row["counts"]["found"]) == 99 and 0 < edge_summary([row])["ODS"] <= 1
