"""Fine-tune sam-vit-nano on drawn ultrasound, and see what it gains; `make demo-training` runs this.

    python examples/train_ultrasound.py OUTPUT

Draws 80 images that look like ultrasound with their masks into OUTPUT/data, trains the mask decoder on 60 of them for a
few minutes on a CPU, and writes everything that `anymask train` writes into OUTPUT/run. The last line says what the
held-out images gained.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from anymask import SAM
from anymask.data.synthetic.ultrasound import ultrasound_dataset


def write_data(folder: Path, count: int) -> None:
    """Images, and label maps of the same names."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for sample in ultrasound_dataset(count):
        label_map = np.zeros(sample.size_hw, np.uint8)
        for number, mask in enumerate(sample.masks, start=1):
            label_map[mask] = number
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.name}.png")
        Image.fromarray(label_map).save(folder / "masks" / f"{sample.name}.png")


def main(output: str) -> None:
    data = Path(output) / "data"
    write_data(data, 80)
    sam = SAM("sam-vit-nano")
    result = sam.train(data, Path(output) / "run", epochs=10, learning_rate=1e-3, validation=0.25)
    before, after = result.before, result.after
    means = [(scores.box_dice + scores.click_dice) / 2 for scores in (before, after)]
    print(f"held-out Dice, mean of boxes and clicks: {means[0]:.3f} before, {means[1]:.3f} after")


if __name__ == "__main__":
    main(*sys.argv[1:])
