"""Exported files in labelme and X-AnyLabeling themselves, as they come, clicked on as a user does.

`make test-tools` installs each in an environment of its own; their windows are drawn to nowhere.
"""

import base64
import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anymask import SAM
from anymask.export.export import export
from anymask.masks.measures import mask_iou
from anymask.masks.polygons import Polygon, polygons_to_rle
from anymask.masks.rle import rle_to_mask

pytestmark = pytest.mark.tools
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PHOTO = ROOT / "examples" / "chelsea.jpg"
SIZE_HW = (300, 451)
POINT = [220, 160]


@pytest.fixture(scope="module")
def sam():
    return SAM("sam-vit-nano", device="cpu")


@pytest.fixture(scope="module")
def exported(sam, tmp_path_factory):
    def make(layout):
        folder = tmp_path_factory.mktemp(layout) / "model"
        export(sam.model, folder, preprocessor=sam.processor.image_processor, layout=layout)
        return folder

    return make


def run(tool, script, *arguments, home):
    """Run a script in the environment of a tool, which finds nothing of this machine's user."""
    command = [ROOT / ".venv-tools" / tool / "bin" / "python", HERE / script, *map(str, arguments)]
    environment = {**os.environ, "HOME": str(home), "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run(command, env=environment, cwd=home, timeout=1000, capture_output=True, text=True)
    assert ended.returncode == 0, f"{script} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"


def raw_masks(sam, photo=PHOTO, **prompts):
    """Masks without the clean-up that the checkpoint asks for, which files do not hold."""
    return np.asarray(sam.predict(photo, **prompts, max_hole_area=0, max_sprinkle_area=0)[0].masks.data)


def test_labelme(sam, exported, tmp_path):
    run("labelme", "click_in_labelme.py", exported("osam"), PHOTO, tmp_path / "out", *POINT, home=tmp_path)
    [shape] = json.loads((tmp_path / "out" / "chelsea.json").read_text())["shapes"]
    assert (shape["label"], shape["shape_type"]) == ("cat", "mask")
    (x, y), _ = np.array(shape["points"], dtype=int)
    part = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    # It gives red for blue to its models, whichever they are.
    photo = np.asarray(Image.open(PHOTO).convert("RGB"))[..., ::-1]
    assert mask_iou(mask[None], raw_masks(sam, photo, points=POINT))[0] >= 0.98


@pytest.mark.parametrize(
    ("marks", "prompts"),
    [
        ([{"type": "point", "data": POINT, "label": 1}], dict(points=POINT)),
        ([{"type": "rectangle", "data": [10, 5, 400, 299]}], dict(boxes=[10, 5, 400, 299])),
    ],
)
def test_x_anylabeling(sam, exported, tmp_path, marks, prompts):
    model, answer = exported("x-anylabeling") / "anymask.yaml", tmp_path / "answer.json"
    run("x-anylabeling", "click_in_x_anylabeling.py", model, PHOTO, answer, json.dumps(marks), home=tmp_path)
    said = json.loads(answer.read_text())
    assert said["polygons"], said
    # Its outlines have no holes, it drops small parts, and its way of resizing photos is its own.
    outlines = [Polygon(np.array(polygon[:-1]) + 0.5, []) for polygon in said["polygons"]]
    assert mask_iou(rle_to_mask(polygons_to_rle(outlines, SIZE_HW))[None], raw_masks(sam, **prompts))[0] >= 0.9
