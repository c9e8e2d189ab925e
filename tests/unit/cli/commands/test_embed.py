import numpy as np
import pytest
import torch
from PIL import Image
from tests.tiny_sam import tiny_model

from anymask import SAM, SamImageProcessor, SamProcessor
from anymask.cli.commands import embed
from anymask.cli.files import find_photos
from anymask.embeddings.image_embedding import ImageEmbedding


@pytest.fixture
def sam(monkeypatch):
    sizes = dict(size={"longest_edge": 80}, pad_size={"height": 80, "width": 80})
    masks = dict(mask_size={"longest_edge": 40}, mask_pad_size={"height": 40, "width": 40})
    loaded = SAM(tiny_model(), processor=SamProcessor(SamImageProcessor(**sizes, **masks)))
    monkeypatch.setattr(embed, "load_sam", lambda *arguments: loaded)
    return loaded


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8)).save(path)
    return path


def reports(photos, folder, half=False, resume=False):
    found = find_photos(map(str, photos))
    return list(embed.embed_photos(found, folder, half, model="tiny", device="cpu", dtype="float32", resume=resume))


def test_embeddings_answer_prompts_as_the_photo_does(sam, photo, tmp_path):
    [report] = reports([photo], tmp_path / "out")
    assert report.facts == {"shape": [32, 10, 10]}
    embedding = ImageEmbedding.load(tmp_path / "out" / "photo.safetensors")
    assert embedding.name == "photo.png"
    [expected], [actual] = (sam.predict(source, points=[20, 10]) for source in (str(photo), embedding))
    assert torch.equal(actual.low_res_logits, expected.low_res_logits)


def test_half_is_half_the_size(sam, photo, tmp_path):
    reports([photo], tmp_path / "full")
    reports([photo], tmp_path / "half", half=True)
    full, half = (ImageEmbedding.load(tmp_path / name / "photo.safetensors").tensor for name in ("full", "half"))
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), full, rtol=1e-3, atol=1e-3)


def test_bad_photos_fail_and_finished_ones_are_skipped(sam, photo, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    assert [report.status for report in reports([photo], tmp_path / "out")] == ["done"]
    found = reports([photo, broken], tmp_path / "out", resume=True)
    assert [report.status for report in found] == ["skipped", "failed"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.safetensors"]
