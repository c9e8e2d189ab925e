import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Five pictures of different sizes with coloured boxes in noise, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 90, (60 + 4 * number, 90, 3), np.uint8)
        pixels[10:40, 10 + 8 * number : 50 + 8 * number] = (200, 40 * number, 90)
        (folder / f"part{number % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"part{number % 2}" / f"p{number}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="session")
def options():
    """So few points that a picture takes no time."""
    return {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
