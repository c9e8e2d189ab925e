"""The report on a data set with one of every fault."""

import json
from pathlib import Path

import numpy as np
import pytest

from anymask.data import BrokenSampleError, check, open_dataset
from anymask.data.checks import usable_samples


def test_every_fault_is_found(tmp_path, photo, shapes, save):
    masks = {
        "good": shapes[0].astype(np.uint8),
        "empty": np.zeros((20, 30), np.uint8),
        "full": np.ones((20, 30), np.uint8),
        "tiny": np.pad(np.ones((1, 3), np.uint8), ((5, 14), (5, 22))),
        "white": shapes[0],
        "small": shapes[0][:10],
    }
    for name, mask in masks.items():
        save(tmp_path / f"images/{name}.png", photo)
        save(tmp_path / f"masks/{name}.png", mask)
    (tmp_path / "images/broken.png").write_bytes(b"no image")
    save(tmp_path / "masks/broken.png", shapes[0])
    save(tmp_path / "images/unmasked.png", photo)
    save(tmp_path / "masks/misnamed.png", shapes[0])
    dataset = open_dataset(tmp_path)
    report = check(dataset)
    found = {(finding.kind, finding.sample.removeprefix("images/")) for finding in report.findings}
    assert found == {
        ("broken", "broken.png"),
        ("broken", "small.png"),
        ("empty", "empty.png"),
        ("almost full", "full.png"),
        ("tiny", "tiny.png"),
        ("values", "white.png"),
        ("alone", "unmasked.png"),
        ("alone", "masks/misnamed.png"),
    }
    assert (report.samples, report.objects, report.is_usable) == (5, 5, False)
    assert [name.removeprefix("images/") for name in report.unusable] == ["empty.png", "full.png"]
    assert "2 cannot be read, the first: images/broken.png" in str(report)
    assert "2 files have no image or no mask of their name and are left out" in str(report)
    assert json.loads(json.dumps(report.as_dict()))["sizes_hw"] == {"20 x 30": 5}
    with pytest.raises(BrokenSampleError, match=r"read, but 2 cannot; the first: .*broken\.png.*skip_broken=True"):
        usable_samples(dataset, report)
    kept = usable_samples(dataset, report, skip_broken=True)
    assert {Path(entry.name).stem for entry in kept.entries} == {"good", "tiny", "white"}
    with pytest.raises(ValueError, match="2 images with usable objects or more, got 1"):
        usable_samples(kept[:1], check(kept[:1]))


def test_nothing_to_say(tmp_path, photo, shapes, save):
    save(tmp_path / "a.png", photo)
    save(tmp_path / "a_mask.png", shapes[0].astype(np.uint8))
    report = check(open_dataset(tmp_path))
    assert report.is_usable and report.findings == []
    assert str(report).splitlines()[1:] == ["  1 of 20 x 30 pixels"]


def test_side_by_side_only_images_without_a_mask_are_alone(tmp_path, photo, shapes, save):
    for name in ("a.png", "b.png"):
        save(tmp_path / name, photo)
    save(tmp_path / "a_mask.png", shapes[0].astype(np.uint8))
    found = check(open_dataset(tmp_path)).findings
    assert [(finding.kind, finding.sample) for finding in found] == [("alone", "b.png")]
