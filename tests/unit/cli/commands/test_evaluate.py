"""`anymask evaluate` with the packaged checkpoint on a drawn scene."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anymask.cli.main import app


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_report_of_boxes(tmp_path):
    result = run("boxes", "synthetic:1", "--output", tmp_path, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# boxes: sam-vit-nano on 1 held-out scenes")
    assert result.stdout.strip().endswith("report.md")
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["groups"]["box"]["iou_answer"]["mean"] > 0.5
    assert document["settings"]["implementation"] == "anymask"
    again = run("boxes", "synthetic:1", "--output", tmp_path, "--device", "cpu", "--json")
    assert json.loads(again.stdout) == document


def test_several_data_sets_count_alike(tmp_path):
    common = ["--output", tmp_path, "--device", "cpu"]
    result = run("boxes", "synthetic:1", "synthetic:2", "synthetic:1", *common)
    assert result.exit_code == 0, result.output
    names = ["synthetic_1", "synthetic_2", "synthetic_1_2"]
    means = [
        json.loads((tmp_path / name / "report.json").read_text())["groups"]["box"]["iou_answer"]["mean"]
        for name in names
    ]
    document = json.loads((tmp_path / "report.json").read_text())
    assert list(document["data"]) == names
    assert document["mean"]["box"]["iou_answer"] == pytest.approx(sum(means) / 3)
    lines = (tmp_path / "report.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(("| [synthetic", "| **mean**"))]
    assert len(rows) == 4 and f"{sum(means) / 3:.4f}" in rows[3] and f"{means[1]:.4f}" in rows[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["boxes", "nothing-here"], "nothing-here must be a folder or a file of data"),
        (["boxes", "synthetic:1", "--protocol", "papers"], "did you mean 'paper'"),
        (["boxes", "synthetic:1", "--implementation", "meta"], "there are anymask, transformers"),
        (["lines", "synthetic:1"], "'lines' is not one of 'points'"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, message):
    result = run(*arguments, "--output", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_detections_need_coco(tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    result = run("instances", "synthetic:1", "--detections", tmp_path / "boxes.json", "--output", tmp_path / "out")
    assert result.exit_code == 2 and "must come with data in COCO JSON" in " ".join(result.stderr.split())
    two = run("instances", "a", "b", "--detections", tmp_path / "boxes.json", "--output", tmp_path / "out")
    assert two.exit_code == 2 and "--detections must come with one DATA" in two.stderr


def test_edges_of_a_folder_laid_out_as_bsds500(tmp_path):
    """Counts and scores of the command beside an assignment by SciPy and plain loops."""
    from scipy.io import savemat
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist
    from skimage.morphology import thin

    from anymask.data.synthetic.held_out import read_held_out_scenes
    from anymask.evaluation.segmenters import load_segmenter
    from anymask.evaluation.tasks.edges import boundaries_of, edge_map
    from anymask.evaluation.tasks.protocols import PROTOCOLS

    data, out = tmp_path / "BSDS500/data", tmp_path / "out"
    annotators = {}
    for kind in ("images", "groundTruth"):
        (data / kind / "test").mkdir(parents=True)
    for number, scene in enumerate(read_held_out_scenes("synthetic:2").samples()):
        image, outline = scene.image[40:161, 10:191], boundaries_of(scene)[0, 40:161, 10:191]
        drawn = [outline, np.roll(outline, 3, axis=number), outline & (np.arange(181) < 90)]  # three people
        cells = np.empty((1, 3), dtype=object)
        for index, boundaries in enumerate(drawn):
            segments = np.ones(boundaries.shape, dtype=np.uint16)
            cells[0, index] = {"Segmentation": segments, "Boundaries": boundaries.astype(np.uint8)}
        Image.fromarray(image).save(data / f"images/test/{number}.jpg")
        savemat(data / f"groundTruth/test/{number}.mat", {"groundTruth": cells})
        annotators[f"{number}.jpg"] = np.stack(drawn)
    result = run("edges", data, "--output", out, "--device", "cpu", "--points-per-side", 3)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()][1:]
    assert len(lines) == 2 and all(line["sample"].endswith(tuple(annotators)) for line in lines)

    protocol = replace(PROTOCOLS["paper"], edge_points_per_side=3)
    counts = {name: np.zeros((2, 99)) for name in ("found", "correct", "matched", "wanted")}
    checked = (9, 49)
    for place, line in enumerate(lines):
        name = line["sample"].rpartition("/")[2]
        edges = edge_map(
            load_segmenter("sam-vit-nano", device="cpu"), np.asarray(Image.open(data / "images/test" / name)), protocol
        )
        (row,) = line["rows"]
        assert row["counts"]["wanted"] == annotators[name].sum()
        reach = 0.0075 * np.hypot(*edges.shape)
        for at in checked:
            pixels = np.argwhere(thin(edges >= (at + 1) / 100))
            found_by_any, matched = np.zeros(len(pixels), dtype=bool), 0
            for drawn in annotators[name]:
                distances = cdist(pixels, np.argwhere(drawn))
                near, there = linear_sum_assignment(np.where(distances <= reach, distances, 100 * reach))
                hits = near[distances[near, there] <= reach]
                found_by_any[hits] = True
                matched += len(hits)
            assert row["counts"]["found"][at] == len(pixels)
            assert row["counts"]["matched"][at] == matched
            # How many pixels a largest matching has is one number; which they are is free, and so the union is.
            assert row["counts"]["correct"][at] == pytest.approx(found_by_any.sum(), rel=0.05)
        for key in counts:
            counts[key][place] = row["counts"][key]
    recall, precision = (
        counts["matched"].sum(0) / counts["wanted"].sum(0),
        counts["correct"].sum(0) / np.maximum(counts["found"].sum(0), 1),
    )
    f_measures = [2 * r * p / (r + p) if r + p else 0.0 for r, p in zip(recall, precision, strict=True)]
    summary = json.loads((out / "report.json").read_text())["summary"]
    assert max(f_measures) <= summary["ODS"] <= max(f_measures) + 0.01  # between thresholds F may be a little higher
    best = [max(range(99), key=lambda at: _f(counts, place, at)) for place in (0, 1)]
    hits, wanted = (sum(counts[key][place, best[place]] for place in (0, 1)) for key in ("matched", "wanted"))
    right, found = (sum(counts[key][place, best[place]] for place in (0, 1)) for key in ("correct", "found"))
    assert summary["OIS"] == pytest.approx(2 / (wanted / hits + found / right))
    assert 0 < summary["AP"] < 1 and 0 <= summary["R50"] <= 1


def _f(counts, place, at):
    recall = counts["matched"][place, at] / counts["wanted"][place, at]
    precision = counts["correct"][place, at] / max(counts["found"][place, at], 1)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0
