"""How many specks and holes segment-everything leaves, and what cleaning them up costs, on held-out photographs.

    python utils/nano_clean_up.py --data DATA --per-source 2

For each way to clean up: the mean IoU of given masks with the nearest one that was found, and islands and holes per
mask that stay. DATA is what `anymask.data.photographs` reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from anymask import SAM
from anymask.evaluation.nano.photographs import held_out_examples
from anymask.masks.clean_up import CleanUp
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


def best_ious(given: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The IoU (N,) of each given mask (N, H, W) with the nearest found one (M, H, W)."""
    given, found = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (given, found))
    intersections = given @ found.T
    unions = given.sum(axis=1)[:, None] + found.sum(axis=1) - intersections
    return (intersections / unions.clip(1)).max(axis=1, initial=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="sam-vit-nano")
    parser.add_argument("--per-source", type=int, default=2)
    arguments = parser.parse_args()
    sam = SAM(arguments.model)
    ious: dict[str, list[float]] = {way: [] for way in WAYS}
    islands, holes, n_masks = dict.fromkeys(WAYS, 0), dict.fromkeys(WAYS, 0), 0
    held_out = held_out_examples(arguments.data, arguments.per_source, masks_each=40)
    for example in (example for examples in held_out.values() for example in examples):
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


if __name__ == "__main__":
    main()
