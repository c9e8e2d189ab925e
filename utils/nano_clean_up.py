"""What cleaning up masks costs and leaves, on held-out photographs: specks and holes, of everything or of prompts.

    python utils/nano_clean_up.py --data DATA --per-source 2
    python utils/nano_clean_up.py --data DATA --per-source 8 --prompts

For each way to clean up. Of everything: the mean IoU of given masks with the nearest one that was found, and islands
and holes per mask that stay. Of prompts, a click in the middle of each given mask and its box: the mean IoU of the
answers. DATA is what `anymask.data.photographs` reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from anymask import SAM
from anymask.evaluation.nano.examples import Example
from anymask.evaluation.nano.photographs import read_photograph_examples
from anymask.evaluation.tasks.clicks import innermost_pixel_xy
from anymask.masks.clean_up import CleanUp
from anymask.masks.measures import mask_iou, outer_box_xyxy
from anymask.masks.rle import rle_to_mask

WAYS = {
    "none": CleanUp(),
    "250 pixels": CleanUp(250, 250),
    "shares 0.02, 0.05": CleanUp(hole_share=0.02, island_share=0.05),
    "shares 0.05, 0.1": CleanUp(hole_share=0.05, island_share=0.1),
    "shares 0.05, 0.2": CleanUp(hole_share=0.05, island_share=0.2),
    "shares 0.1, 0.3": CleanUp(hole_share=0.1, island_share=0.3),
}
TOUCHING = np.ones((3, 3))  # corners too
MASKS_EACH = 5  # of a photograph, from large to small, that are asked for by prompts


def best_ious(given: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The IoU (N,) of each given mask (N, H, W) with the nearest found one (M, H, W)."""
    given, found = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (given, found))
    intersections = given @ found.T
    unions = given.sum(axis=1)[:, None] + found.sum(axis=1) - intersections
    return (intersections / unions.clip(1)).max(axis=1, initial=0.0)


def score_everything(sam: SAM, examples: list[Example]) -> None:
    """Print IoU, islands and holes for each of `WAYS`."""
    ious: dict[str, list[float]] = {way: [] for way in WAYS}
    islands, holes, n_masks = dict.fromkeys(WAYS, 0), dict.fromkeys(WAYS, 0), 0
    for example in examples:
        (results,) = sam.predict(np.asarray(example.image), min_mask_region_area=0)
        n_masks += len(results)
        for way, clean_up in WAYS.items():
            masks = [rle_to_mask(clean_up.apply(record["segmentation"])[0]) for record in results]
            found = np.array(masks).reshape(-1, *results.size_hw)
            ious[way] += best_ious(np.array(example.masks), found).tolist()
            islands[way] += sum(ndimage.label(mask, TOUCHING)[1] - 1 for mask in masks)
            holes[way] += sum(max(ndimage.label(~mask)[1] - 1, 0) for mask in masks)
    for way in WAYS:
        mean, per_mask = np.mean(ious[way]), (counts[way] / max(n_masks, 1) for counts in (islands, holes))
        print(f"{way}: IoU {mean:.4f}, islands {{:.3f}} and holes {{:.3f}} per mask".format(*per_mask))


def score_prompts(sam: SAM, examples: list[Example]) -> None:
    """Print the IoU of clicks and of boxes for each of `WAYS`."""
    ious: dict[tuple[str, str], list[float]] = {(way, kind): [] for way in WAYS for kind in ("click", "box")}
    for example in examples:
        prompts = {
            "click": {"points": [[innermost_pixel_xy(mask)] for mask in example.masks]},
            "box": {"boxes": [outer_box_xyxy(mask) for mask in example.masks]},
        }
        for kind, prompt in prompts.items():
            (results,) = sam.predict(np.asarray(example.image), min_mask_region_area=0, **prompt)
            for way, clean_up in WAYS.items():
                masks = [rle_to_mask(clean_up.apply(record["segmentation"])[0]) for record in results]
                ious[way, kind] += mask_iou(np.array(masks), np.array(example.masks)).tolist()
    for way in WAYS:
        print(f"{way}: IoU of a click {np.mean(ious[way, 'click']):.4f}, of a box {np.mean(ious[way, 'box']):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="sam-vit-nano")
    parser.add_argument("--per-source", type=int, default=2)
    parser.add_argument("--prompts", action="store_true", help="clean up masks of prompts, not of everything")
    arguments = parser.parse_args()
    held_out = read_photograph_examples(arguments.data, arguments.per_source, MASKS_EACH if arguments.prompts else 40)
    examples = [example for of_source in held_out.values() for example in of_source if len(example.masks)]
    (score_prompts if arguments.prompts else score_everything)(SAM(arguments.model), examples)
    print(f"{len(examples)} photographs, {sum(len(example.masks) for example in examples)} given masks")


if __name__ == "__main__":
    main()
