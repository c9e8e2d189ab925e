"""Draw the pictures of sam-vit-nano's model card and of the README.

python utils/nano_pictures.py hero            # docs/images/hero.jpg, from the photographs in examples/
python utils/nano_pictures.py calibration     # docs/results/sam-vit-nano/calibration.png, from its JSON files
python utils/nano_pictures.py failures --data DATA   # docs/results/sam-vit-nano/failures.jpg
"""

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from anymask import SAM
from anymask.evaluation.nano.photographs import read_photograph_examples
from anymask.evaluation.tasks.clicks import innermost_pixel_xy
from anymask.masks.measures import mask_iou

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "sam-vit-nano"
OVERLAYS = ROOT / "docs" / "results" / "fine-tuning-ultrasound" / "overlays"  # each: truth, before, after
OVERLAY_GAP = 8
# (photograph, prompts) of each tile; no prompts: everything.
HERO: list[tuple[str, dict]] = [
    ("chelsea.jpg", {}),
    ("tulip.jpg", {"points": [160, 130]}),
    ("dandelions.jpg", {"boxes": [112, 62, 216, 172]}),
]
TILE_HEIGHT = 280
GAP = 6
FAILURE_SOURCES = ("coco-by", "flowers")  # whose photographs name their page at Flickr
FAILURES = 6


def draw_hero() -> None:
    """Write the tiles side by side, as large as they are high."""
    sam = SAM("sam-vit-nano")
    tiles = [sam.predict(ROOT / "examples" / name, **prompts)[0].plot() for name, prompts in HERO]
    tiles.append(_before_and_after(min(OVERLAYS.glob("*.png"))))
    tiles = [tile.resize((round(tile.width * TILE_HEIGHT / tile.height), TILE_HEIGHT), Image.LANCZOS) for tile in tiles]
    _row(tiles).save(ROOT / "docs" / "images" / "hero.jpg", quality=88)


def _before_and_after(overlay_path: Path) -> Image.Image:
    """What a box gave before fine-tuning, and below it what it gave afterwards."""
    overlay = Image.open(overlay_path).convert("RGB")
    width = (overlay.width - 2 * OVERLAY_GAP) // 3
    lefts = [number * (width + OVERLAY_GAP) for number in (1, 2)]
    return _column([overlay.crop((left, 0, left + width, overlay.height)) for left in lefts])


def draw_calibration() -> None:
    """Predicted against real IoU, before and after photographs were seen."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True)
    for axis, prompt in zip(axes, ("click", "box"), strict=True):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, label in (("photographs_before", "drawn scenes alone"), ("photographs", "with photographs")):
            bins = json.loads((RESULTS / f"{name}.json").read_text())["calibration"][prompt]["bins"]
            sizes = [4 + 40 * bin_["count"] ** 0.5 / max(b["count"] for b in bins) ** 0.5 for bin_ in bins]
            places = [bin_["predicted"] for bin_ in bins], [bin_["real"] for bin_ in bins]
            axis.plot(*places, linewidth=1)
            axis.scatter(*places, s=sizes, label=label)
        axis.set(xlabel=f"predicted IoU, one {prompt}", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("real IoU")
    axes[0].legend(loc="upper left", frameon=False)
    figure.tight_layout()
    figure.savefig(RESULTS / "calibration.png", dpi=90)


def draw_failures(data: Path) -> None:
    """The held-out objects of at least 2 % of a photograph that one click finds worst: the truth, and the answer."""
    sam = SAM("sam-vit-nano")
    rows = []
    for source, examples in read_photograph_examples(data, masks_each=4).items():
        for example in examples if source in FAILURE_SOURCES else ():
            for mask in example.masks[example.masks.mean(axis=(1, 2)) >= 0.02]:
                point = innermost_pixel_xy(mask)
                results = sam.predict(example.image, points=point)[0]
                iou = float(mask_iou(results.masks[0], mask))
                rows.append((iou, example.name, _tinted(example.image, mask), results.plot()))
    rows.sort(key=lambda row: row[0])
    seen: set[str] = set()
    pairs = []
    for iou, name, truth, answer in rows:
        if name not in seen and len(pairs) < FAILURES:
            seen.add(name)
            pair = _row([_small(truth), _small(answer)])
            ImageDraw.Draw(pair).text(
                (4, 4), f"{name}  IoU {iou:.2f}", fill="white", stroke_width=1, stroke_fill="black"
            )
            pairs.append(pair)
    half = len(pairs) // 2
    columns = [_row([_column(pairs[:half]), _column(pairs[half:])])]
    columns[0].save(RESULTS / "failures.jpg", quality=85)


def _tinted(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    tinted = image.astype(np.float32)
    tinted[mask] = 0.5 * tinted[mask] + 0.5 * np.array([40, 220, 90])
    return Image.fromarray(tinted.astype(np.uint8))


def _small(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize((round(picture.width * 150 / picture.height), 150), Image.LANCZOS)


def _row(pictures: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (sum(p.width + GAP for p in pictures) - GAP, max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    return row


def _column(pictures: list[Image.Image]) -> Image.Image:
    column = Image.new("RGB", (max(p.width for p in pictures), sum(p.height + GAP for p in pictures) - GAP), "white")
    top = 0
    for picture in pictures:
        column.paste(picture, (0, top))
        top += picture.height + GAP
    return column


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", choices=("hero", "calibration", "failures"))
    parser.add_argument("--data", type=Path, help="folder with photos/*.tar, for the failures")
    arguments = parser.parse_args()
    if arguments.picture == "failures" and arguments.data is None:
        parser.error("the failures need --data")
    if arguments.picture == "hero":
        draw_hero()
    elif arguments.picture == "calibration":
        draw_calibration()
    else:
        draw_failures(arguments.data)


if __name__ == "__main__":
    main()
