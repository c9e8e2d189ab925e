"""A run from samples to the report: rows are kept, a stopped run goes on, wrong calls are told."""

import json
from dataclasses import replace

import pytest
from tests.unit.evaluation.drawn import KnowingSegmenter, dataset, sample

from anymask.data.samples import BrokenSampleError, Entry, MaskDataset
from anymask.evaluation.runs import TASKS, evaluate, read_rows
from anymask.evaluation.tasks.detections import DetectionFile
from anymask.evaluation.tasks.protocols import PROTOCOLS

SAMPLES = [sample("one"), sample("two", circles=((30, 20, 15),)), sample("three", circles=((40, 30, 9), (12, 12, 7)))]


def broken():
    raise OSError("cut off")


@pytest.mark.parametrize("task", [task for task in TASKS if task != "edges"])
def test_every_task_gives_a_report(task, tmp_path):
    report = evaluate(task, dataset(*SAMPLES[:2]), KnowingSegmenter(*SAMPLES), tmp_path)
    document = json.loads((tmp_path / "report.json").read_text())
    assert document == json.loads(json.dumps(report.document))
    assert (document["samples"], document["objects"]) == (2, 3)
    assert document["settings"]["task"] == task and document["settings"]["protocol"] == "paper"
    assert document["worst"] and (tmp_path / document["worst"][0]["picture"]).stat().st_size > 0
    text = (tmp_path / "report.md").read_text()
    assert text.startswith(f"# {task}: knowing on drawn discs") and "95 % interval" in text


def test_a_stopped_run_goes_on_and_gives_the_same(tmp_path):
    whole = evaluate("boxes", dataset(*SAMPLES), KnowingSegmenter(*SAMPLES), tmp_path / "whole")
    stopped = tmp_path / "stopped"
    evaluate("boxes", dataset(*SAMPLES).limited(1), KnowingSegmenter(*SAMPLES), stopped)  # the first that is drawn
    with open(stopped / "rows.jsonl", "a", encoding="utf-8") as file:
        file.write('{"sample": "next", "rows": [{"sam')  # killed while it wrote
    segmenter = KnowingSegmenter(*SAMPLES)
    report = evaluate("boxes", dataset(*SAMPLES), segmenter, stopped)
    assert segmenter.encoded == 2
    assert report.document == whole.document
    assert (stopped / "rows.jsonl").read_bytes() == (tmp_path / "whole/rows.jsonl").read_bytes()
    assert sorted(name for name, _ in read_rows(stopped / "rows.jsonl")) == ["one", "three", "two"]


def test_images_are_drawn_until_there_are_enough_masks(tmp_path):
    samples = [sample(f"image {number}", circles=((10 + 4 * number, 20, 9), (40, 30, 8))) for number in range(6)]
    few = replace(PROTOCOLS["paper"], max_masks=3)

    def asked(seed, folder, task="points"):
        segmenter, data = KnowingSegmenter(*samples), dataset(*samples)
        evaluate(task, data, segmenter, tmp_path / folder, protocol=few, protocol_name="few", seed=seed)
        return [name for name, _ in read_rows(tmp_path / folder / "rows.jsonl")], segmenter.encoded

    first, encoded = asked(0, "first")
    assert len(first) == encoded == 2  # of two objects each, two clicks for each
    assert asked(0, "first") == (first, 0)  # what is done counts
    assert asked(0, "again")[0] == first and len({tuple(asked(s, f"{s}")[0]) for s in range(4)}) > 1
    assert len(asked(0, "everything", "instances")[0]) == 6


def test_rows_of_another_evaluation_are_refused(tmp_path):
    evaluate("boxes", dataset(*SAMPLES), KnowingSegmenter(*SAMPLES), tmp_path)
    with pytest.raises(ValueError, match="but task was boxes and is points, seed was 0 and is 1; name another"):
        evaluate("points", dataset(*SAMPLES), KnowingSegmenter(*SAMPLES), tmp_path, seed=1)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text().replace('"max_masks": 10000, ', ""))  # an earlier version did not know it
    with pytest.raises(ValueError, match="max_masks was not asked and is 10000; name another --output, or remove"):
        evaluate("boxes", dataset(*SAMPLES), KnowingSegmenter(*SAMPLES), tmp_path)


def test_broken_samples(tmp_path):
    some = MaskDataset([Entry("bad", broken), Entry("one", lambda: SAMPLES[0])], "drawn discs")
    with pytest.raises(BrokenSampleError, match="bad of drawn discs must be readable"):
        evaluate("boxes", some, KnowingSegmenter(*SAMPLES), tmp_path)
    report = evaluate("boxes", some, KnowingSegmenter(*SAMPLES), tmp_path, on_broken="skip")
    assert report.document["samples"] == 1
    assert report.document["skipped"] == ["bad of drawn discs must be readable, but: cut off"]
    assert "could not be read: 1" in str(report)


def test_wrong_calls(tmp_path):
    with pytest.raises(ValueError, match="got 'point'; did you mean 'points'"):
        evaluate("point", dataset(*SAMPLES), KnowingSegmenter(), tmp_path)
    with pytest.raises(ValueError, match="got 'ritm2'; did you mean 'ritm'"):
        evaluate("points", dataset(*SAMPLES), KnowingSegmenter(), tmp_path, protocol="ritm2")
    with pytest.raises(ValueError, match="come with the task 'instances', got 'boxes'"):
        evaluate("boxes", dataset(*SAMPLES), KnowingSegmenter(), tmp_path, detections=DetectionFile("boxes.json", {}))
    with pytest.raises(ValueError, match="'raise' or 'skip'"):
        evaluate("points", dataset(*SAMPLES), KnowingSegmenter(), tmp_path, on_broken="no")
