"""A drawn phantom of a CT: one organ from a box in one slice, and how well it is met. See docs/volumes.md.

python examples/volume.py OUTPUT
"""

import sys
from pathlib import Path

import numpy as np

from anymask import SAM
from anymask.volumes.files import save_labels
from anymask.volumes.propagate import Seed, VolumePredictor
from anymask.volumes.volume import Volume

output = Path(sys.argv[1])
output.mkdir(parents=True, exist_ok=True)

# A body with an organ and a bone, in Hounsfield units with noise; slices lie along the first axis.
z, y, x = np.mgrid[:12, :96, :112]
body = ((x - 56) / 50) ** 2 + ((y - 48) / 42) ** 2 <= 1
organ = ((x - 60) / 22) ** 2 + ((y - 40) / 16) ** 2 + ((z - 6) / 8) ** 2 <= 1
bone = (x - 56) ** 2 + (y - 75) ** 2 <= 64
noise = np.random.default_rng(0).normal(0, 15, z.shape)
ct = np.select([organ, bone, body], [120, 700, -60], -1000) + noise
volume = Volume(ct.astype(np.int16), axis=0, spacing=(2.5, 0.8, 0.8))

sam = SAM("sam-vit-nano")
for name, truth in {"organ": organ, "bone": bone}.items():
    rows, columns = np.nonzero(truth[6])
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    predictor = VolumePredictor(sam, volume, window="abdomen" if name == "organ" else "bone")
    mask = predictor.propagate({6: Seed(box_xyxy=box)}, iou_threshold=0.5) > 0
    save_labels(output / f"{name}.nii.gz", mask.astype(np.uint8), volume)
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    print(f"{name}: Dice {dice:.3f} in {mask.any(axis=(1, 2)).sum()} of {truth.any(axis=(1, 2)).sum()} slices")
