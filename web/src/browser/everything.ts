// "Segment everything" in the browser: a grid of points, a mask for each, and the good ones of these, each once.
// The steps are those of anymask.mask_generation; stability and first boxes are told at the model's size, for speed.

import { rleArea, rleBoxIn } from "../rle.ts";
import type { BoxXyxy, Mask } from "../types.ts";
import type { EncodedImage, Model } from "./model.ts";
import { cleanUp } from "./regions.ts";
import { type Geometry, logitsToRle } from "./upsample.ts";

interface Proposal {
  readonly logits: Float32Array;
  readonly low: number;
  readonly score: number;
  readonly stability: number;
  readonly box: BoxXyxy;
}

const POINTS_AT_A_TIME = 8; // between two looks at whether somebody cancelled

/** `pause` lets messages in, and throws if nobody waits any more. */
export async function findEverything(
  model: Model,
  image: EncodedImage,
  onProgress: (done: number, total: number) => void,
  pause: () => Promise<void>,
): Promise<Mask[]> {
  const options = {
    points_per_side: 32,
    pred_iou_thresh: 0.88,
    stability_score_thresh: 0.95,
    stability_score_offset: 1,
    box_nms_thresh: 0.7,
    crop_nms_thresh: 0.7,
    min_mask_region_area: 0,
    hole_share: 0,
    island_share: 0,
    ...model.manifest.mask_generation,
  };
  const { geometry } = image;
  const perSide = options.points_per_side;
  const total = perSide * perSide;
  const proposals: Proposal[] = [];
  for (let point = 0; point < total; point++) {
    if (point % POINTS_AT_A_TIME === 0) {
      onProgress(point, total);
      await pause();
    }
    const x = (((point % perSide) + 0.5) / perSide) * geometry.width;
    const y = ((Math.floor(point / perSide) + 0.5) / perSide) * geometry.height;
    const { low, masks, scores } = await model.decode(image, { points: [{ x, y, adds: true }], box: null }, null);
    masks.forEach((logits, index) => {
      if (scores[index] <= options.pred_iou_thresh) return;
      const stability = stabilityOf(logits, low, geometry, options.stability_score_offset);
      if (stability < options.stability_score_thresh) return;
      const small = logitsToRle(logits, low, geometry, geometry.resizedHeight, geometry.resizedWidth);
      if (rleArea(small) === 0) return;
      proposals.push({ logits, low, score: scores[index], stability, box: rleBoxIn(small, geometry) });
    });
  }
  onProgress(total, total);
  const cleaned: { mask: Mask; box: BoxXyxy; score: number }[] = [];
  for (const { logits, low, score, stability } of withoutDuplicates(proposals, options.box_nms_thresh)) {
    await pause();
    const whole = logitsToRle(logits, low, geometry, geometry.height, geometry.width);
    const rle = cleanUp(whole, options);
    const box = rleBoxIn(rle, geometry);
    const isUnchanged = rle.counts.join() === whole.counts.join();
    cleaned.push({ mask: { rle, area: rleArea(rle), box, score, stability }, box, score: isUnchanged ? 1 : 0 });
  }
  // What was cleaned may be what another mask is; that one stays.
  const threshold = Math.max(options.box_nms_thresh, options.crop_nms_thresh);
  return withoutDuplicates(cleaned, threshold).map(({ mask }) => mask).filter((mask) => mask.area > 0);
}

/** The share of a mask's pixels that stay when its threshold moves up and down. */
function stabilityOf(logits: Float32Array, low: number, geometry: Geometry, offset: number): number {
  const areaAbove = (threshold: number) => {
    const moved = logits.map((logit) => logit - threshold);
    return rleArea(logitsToRle(moved, low, geometry, geometry.resizedHeight, geometry.resizedWidth));
  };
  return areaAbove(offset) / Math.max(1, areaAbove(-offset));
}

/** Best score first; of two whose boxes overlap by more than a threshold (IoU) the better one stays. */
function withoutDuplicates<T extends { box: BoxXyxy; score: number }>(masks: readonly T[], threshold: number): T[] {
  const kept: T[] = [];
  for (const mask of [...masks].sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => boxOverlap(other.box, mask.box) <= threshold)) kept.push(mask);
  }
  return kept;
}

/** IoU of two boxes, from the first to the last pixel, as Meta counts; boxes without an extent overlap nothing. */
function boxOverlap(a: BoxXyxy, b: BoxXyxy): number {
  const extent = (from: number, past: number) => Math.max(0, past - 1 - from);
  const area = ([x0, y0, x1, y1]: BoxXyxy) => extent(x0, x1) * extent(y0, y1);
  const both = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  return both === 0 ? 0 : both / (area(a) + area(b) - both);
}
