import io

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SAM
from anymask.demo.app import Demo, make_app
from anymask.demo.pictures import Limits, Pictures
from anymask.processing_sam import SamProcessor

SIZE_HW = (70, 104)
LIMITS = Limits(bytes=60_000, pixels=20_000)


def picture(seed=0, size_hw=SIZE_HW, form="PNG", **options) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=form, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def sam():
    model = tiny_model()
    # Random weights are sure of nothing.
    model.config.mask_generation = dict(
        points_per_side=7, points_per_batch=20, pred_iou_thresh=-1e3, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    return SAM(model, processor=SamProcessor(tiny_image_processor()))


@pytest.fixture
def named(tmp_path):
    path = tmp_path / "named.png"
    path.write_bytes(picture(5))
    return path


@pytest.fixture
def demo(sam, named):
    return Demo(sam, "tiny", Pictures([named], LIMITS))


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    (folder / "ort").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "ort" / "run.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def client(demo, page):
    with TestClient(make_app(demo, page=page), base_url="http://localhost:8000") as client:
        yield client


@pytest.fixture
def uploaded(client):
    return client.post("/api/images", content=picture()).json()["id"]
