"""Photographs with masks, cut-outs and backgrounds from a folder of tars, and which photographs are held out.

The folder has `photos/*.tar`, `cutouts/*.tar` and `backgrounds/*.tar`. Each tar is one source: image files and one
`annotations.json` in COCO form, its masks as compressed RLE at the size of the image. Cut-outs are images with alpha
and have no masks. Images stay encoded in memory and are decoded when asked for: a hundred megabytes hold thousands.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..masks.rle import Rle, rle_to_mask

HELD_OUT_SHARE = 0.08
MIN_HELD_OUT = 10


@dataclass(frozen=True)
class Photograph:
    """An encoded image with the masks given for it; what they leave out may be an object too.

    Attributes:
        name: `SOURCE/FILE`.
        series: photographs that share it were taken one after the other, as far as their file names tell.
        encoded: bytes of the image file.
        rles: masks at the size of the image, as COCO RLE.
    """

    name: str
    series: str
    encoded: bytes = field(repr=False)
    rles: tuple[Rle, ...] = field(repr=False)

    def image(self) -> np.ndarray:
        """Decode to RGB, (H, W, 3) uint8."""
        with Image.open(io.BytesIO(self.encoded)) as opened:
            return np.asarray(opened.convert("RGB"))

    def rgba(self) -> Image.Image:
        """Decode with alpha."""
        with Image.open(io.BytesIO(self.encoded)) as opened:
            return opened.convert("RGBA")

    def masks(self, indices: np.ndarray | None = None) -> np.ndarray:
        """Decode all masks, or those of `indices`: (N, H, W) bool."""
        rles = self.rles if indices is None else [self.rles[index] for index in indices]
        return np.stack([rle_to_mask(rle) for rle in rles])


def read_sources(folder: Path) -> dict[str, list[Photograph]]:
    """Read every `NAME.tar` of a folder: its photographs by NAME, in the order of their annotations.

    Raises:
        FileNotFoundError: If the folder has no tar.
    """
    paths = sorted(Path(folder).glob("*.tar"))
    if not paths:
        raise FileNotFoundError(f"{folder} must hold tars of images with annotations.json, found none.")
    return {path.stem: _read_tar(path) for path in paths}


def split_held_out(photographs: list[Photograph]) -> tuple[list[Photograph], list[Photograph]]:
    """Divide one source into photographs for training and held-out ones: the same at every call, series kept together.

    Series are taken in the order of a hash of their names until 8 % of the photographs are held out, ten at least.
    """
    by_series = defaultdict(list)
    for photograph in photographs:
        by_series[photograph.series].append(photograph)
    wanted = max(MIN_HELD_OUT, round(HELD_OUT_SHARE * len(photographs)))
    training: list[Photograph] = []
    held_out: list[Photograph] = []
    for series in sorted(by_series, key=lambda name: hashlib.sha256(name.encode()).digest()):
        (held_out if len(held_out) < wanted else training).extend(by_series[series])
    return training, held_out


def series_name(original: str) -> str:
    """What photographs taken one after the other share: the name up to its first number, and that by tens.

    "IMG_0718_scaled_1.rf.005f.jpg" gives "IMG_071".
    """
    found = re.match(r"(.*?\d+)\d", original)
    return found.group(1) if found else original


def _read_tar(path: Path) -> list[Photograph]:
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
    coco = json.loads(files["annotations.json"])
    rles = defaultdict(list)
    for annotation in coco.get("annotations", ()):
        if not annotation.get("iscrowd"):
            rles[annotation["image_id"]].append(annotation["segmentation"])
    return [
        Photograph(
            f"{path.stem}/{Path(image['file_name']).stem}",
            series_name(str(image.get("original", image.get("coco_id", image["file_name"])))),
            files[image["file_name"]],
            tuple(rles[image["id"]]),
        )
        for image in coco["images"]
    ]
