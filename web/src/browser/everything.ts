// "Segment everything" in the browser: a grid of points, a mask for each, and the good ones of these, each once.
// The steps are those of anymask.mask_generation; here stability and duplicates are told at the model's size.

import { rleArea, rleIntersection } from "../rle.ts";
import type { Mask, Rle } from "../types.ts";
import type { EncodedImage, Logits, Model } from "./model.ts";
import { logitsToRle } from "./upsample.ts";

interface Proposal {
  readonly logits: Logits;
  readonly index: number;
  readonly small: Rle;
  readonly area: number;
  readonly stability: number;
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
    const logits = await model.decode(image, { points: [{ x, y, adds: true }], box: null }, null);
    for (let index = 0; index < logits.scores.length; index++) {
      if (logits.scores[index] <= options.pred_iou_thresh) continue;
      const stability = stabilityOf(logits.masks[index], options.stability_score_offset);
      if (stability < options.stability_score_thresh) continue;
      const small = logitsToRle(logits.masks[index], logits.low, geometry, geometry.resizedHeight, geometry.resizedWidth);
      const area = rleArea(small);
      if (area > 0) proposals.push({ logits, index, small, area, stability });
    }
  }
  onProgress(total, total);
  const masks: Mask[] = [];
  for (const proposal of withoutDuplicates(proposals, options.box_nms_thresh)) {
    await pause();
    const mask = model.toMask(proposal.logits, proposal.index, geometry, Infinity, options);
    masks.push({ ...mask, stability: proposal.stability });
  }
  return masks.filter((mask) => mask.area > 0);
}

/** The share of pixels that stay when the threshold moves up and down. */
function stabilityOf(logits: Float32Array, offset: number): number {
  let [above, below] = [0, 0];
  for (const logit of logits) {
    if (logit > offset) above++;
    if (logit > -offset) below++;
  }
  return below === 0 ? 0 : above / below;
}

/** Best score first; of two masks that overlap by more than a threshold (IoU) the better one stays. */
function withoutDuplicates(proposals: readonly Proposal[], threshold: number): Proposal[] {
  const scoreOf = ({ logits, index }: Proposal) => logits.scores[index];
  const kept: Proposal[] = [];
  for (const proposal of [...proposals].sort((a, b) => scoreOf(b) - scoreOf(a))) {
    const isNew = kept.every(({ small, area }) => {
      if (Math.min(area, proposal.area) / Math.max(area, proposal.area) <= threshold) return true;
      const both = rleIntersection(small, proposal.small);
      return both / (area + proposal.area - both) <= threshold;
    });
    if (isNew) kept.push(proposal);
  }
  return kept;
}
