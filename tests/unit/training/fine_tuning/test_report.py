"""What a report writes for names of samples that file systems do not take, or would take for one."""

import re
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from anymask.data.samples import Entry, MaskDataset, sample_of_masks
from anymask.masks.rle import mask_to_rle
from anymask.training.fine_tuning.options import FineTuneOptions
from anymask.training.fine_tuning.report import Scores, write_report

MASK = np.zeros((20, 30), dtype=bool)
MASK[4:11, 6:21] = True
LONG = "\u00e9" * 300


@pytest.mark.parametrize(
    "names", [("a.nii.gz:0041", "a.nii.gz:0042"), ("images/a.jpg", "images/a.png"), (f"{LONG}1", f"{LONG}2")]
)
def test_each_sample_has_a_picture_of_its_own(tmp_path, names):
    images = {name: np.full((20, 30, 3), 60 * number, np.uint8) for number, name in enumerate(names, start=1)}

    def read(name):
        return sample_of_masks(name, images[name], [MASK])

    samples = MaskDataset([Entry(name, lambda name=name: read(name)) for name in names], "two")
    scores = Scores(2, 0.5, 0.4, 0.3, 0.2, dict.fromkeys(names, 0.5))
    drawn = {name: {kind: [mask_to_rle(MASK)] for kind in ("truth", "box", "click")} for name in names}
    (tmp_path / "log.jsonl").write_text("")
    write_report(tmp_path, FineTuneOptions("data", str(tmp_path)), (scores, drawn), (scores, drawn), samples)
    linked = re.findall(r"\((overlays/.*\.png)\)", (tmp_path / "report.md").read_text(encoding="utf-8"))
    shades = {
        name: np.asarray(Image.open(tmp_path / unquote(link)))[0, 0, 0]
        for name, link in zip(names, linked, strict=True)
    }
    assert shades == {name: image[0, 0, 0] for name, image in images.items()}
