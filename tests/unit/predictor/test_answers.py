"""Answers for each image of a source, through the door that asks for them: `SAM.predict`."""

import numpy as np
import pytest
from PIL import Image
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask.processing_sam import SamProcessor
from anymask.sam import SAM

SIZE_HW = (47, 71)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def sam():
    return SAM(tiny_model(), processor=SamProcessor(tiny_image_processor()))


def segmentations(results):
    return [record["segmentation"] for record in results]


def test_frames_are_asked_the_same_and_must_have_one_size(sam):
    mirrored = IMAGE[:, ::-1].copy()
    together = sam.predict([IMAGE, mirrored], points=[[10, 20], [50, 40]])
    for frame, results in zip((IMAGE, mirrored), together, strict=True):
        assert segmentations(results) == segmentations(sam.predict(frame, points=[[10, 20], [50, 40]])[0])
    with pytest.raises(ValueError, match=r"images of one size, height x width, got \(47, 71\) and \(40, 71\)"):
        sam.predict([IMAGE, IMAGE[:40]], points=[10, 20])


def test_no_mask_comes_with_a_hint(sam):
    with pytest.warns(UserWarning, match=r"No mask of the image passed pred_iou_thresh=50 .* lower ones, such as 0.8"):
        (results,) = sam.predict(IMAGE, points_per_side=3, pred_iou_thresh=50, stability_score_thresh=0)
    assert len(results) == 0


def test_relative_paths_outlive_the_folder_that_they_are_relative_to(sam, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    (results,), stream = sam.predict("a.png", points=[10, 20]), sam.predict("*.png", points=[10, 20], stream=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert results.plot().size == SIZE_HW[::-1]
    assert segmentations(next(stream)) == segmentations(results)


def test_images_that_cannot_be_read_are_skipped_when_asked(sam, tmp_path):
    paths = [tmp_path / name for name in ("a.png", "broken.png", "c.png")]
    for path in paths:
        Image.fromarray(IMAGE).save(path)
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    with pytest.warns(UserWarning, match=r"Skipped broken\.png: .* must be a complete image"):
        results = sam.predict(tmp_path, points=[10, 20], on_error="skip")
    assert [each.name for each in results] == ["a.png", "c.png"]
    with pytest.raises(ValueError, match="must be a complete image"):
        sam.predict(tmp_path, points=[10, 20])
    with pytest.raises(ValueError, match="prompt 0"):
        sam.predict(tmp_path, points=[9999, 20], on_error="skip")
    with pytest.raises(ValueError, match="'raise' or 'skip', got 'ignore'"):
        sam.predict(tmp_path, on_error="ignore")
