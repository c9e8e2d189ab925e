// Small holes and islands of masks, on their runs: what the checkpoint's configuration asks for after prediction.

import { rleArea, RleWriter, toColumns } from "../rle.ts";
import type { Rle } from "../types.ts";

/** Which holes and islands of a mask go: those below a number of pixels, or below a share of the mask's own area. */
export interface CleanUp {
  readonly min_mask_region_area?: number;
  readonly hole_share?: number;
  readonly island_share?: number;
}

interface Runs {
  readonly starts: number[];
  readonly ends: number[];
}

/** Fill holes, then remove islands; the largest island stays. */
export function cleanUp(rle: Rle, { min_mask_region_area = 0, hole_share = 0, island_share = 0 }: CleanUp): Rle {
  const area = rleArea(rle);
  const least = (share: number) => Math.max(min_mask_region_area, Math.ceil(share * area));
  return removeSmallRegions(rle, least(hole_share), least(island_share));
}

/** Fill holes of fewer pixels than one area, then remove islands of fewer than another; the largest island stays. */
export function removeSmallRegions(rle: Rle, minHole: number, minIsland: number): Rle {
  const filled = minHole > 0 ? fillHoles(rle, minHole) : rle;
  return minIsland > 0 ? removeIslands(filled, minIsland) : filled;
}

function fillHoles(rle: Rle, minArea: number): Rle {
  const background = backgroundRuns(rle);
  const { regions, areas } = joinRuns(background, rle.size[0]);
  const all = foregroundRuns(rle);
  background.starts.forEach((start, i) => {
    if (areas[regions[i]] < minArea) {
      all.starts.push(start);
      all.ends.push(background.ends[i]);
    }
  });
  return toRle(all, rle.size);
}

function removeIslands(rle: Rle, minArea: number): Rle {
  const runs = foregroundRuns(rle);
  const { regions, areas } = joinRuns(runs, rle.size[0]);
  const largest = areas.reduce((best, area, i) => (area > (areas[best] ?? -1) ? i : best), 0);
  const stays = runs.starts.map((_, i) => areas[regions[i]] >= minArea || regions[i] === largest);
  const pick = (values: number[]) => values.filter((_, i) => stays[i]);
  return toRle({ starts: pick(runs.starts), ends: pick(runs.ends) }, rle.size);
}

function foregroundRuns(rle: Rle): Runs {
  const { height, width, offsets, edges } = toColumns(rle);
  const runs: Runs = { starts: [], ends: [] };
  for (let x = 0; x < width; x++) {
    for (let i = offsets[x]; i < offsets[x + 1]; i += 2) {
      runs.starts.push(x * height + edges[i]);
      runs.ends.push(x * height + edges[i + 1]);
    }
  }
  return runs;
}

function backgroundRuns(rle: Rle): Runs {
  const { height, width, offsets, edges } = toColumns(rle);
  const runs: Runs = { starts: [], ends: [] };
  for (let x = 0; x < width; x++) {
    let from = 0;
    for (let i = offsets[x]; i <= offsets[x + 1]; i += 2) {
      const to = i < offsets[x + 1] ? edges[i] : height;
      if (to > from) {
        runs.starts.push(x * height + from);
        runs.ends.push(x * height + to);
      }
      from = edges[i + 1];
    }
  }
  return runs;
}

/** Which 8-connected region each run, inside one column, belongs to, and the regions' areas; 0 where there is none. */
function joinRuns({ starts, ends }: Runs, height: number): { regions: number[]; areas: number[] } {
  const parents = starts.map((_, i) => i);
  const root = (i: number): number => {
    while (parents[i] !== i) i = parents[i] = parents[parents[i]];
    return i;
  };
  // Both walk down neighbouring columns; a corner is enough to touch.
  for (let left = 0, right = 0; right < starts.length; ) {
    const [from, to] = [starts[right] - height, ends[right] - height];
    const isBefore = Math.floor(starts[left] / height) < Math.floor(starts[right] / height) - 1;
    if (left >= right || isBefore || ends[left] < from) {
      if (left < right) left++;
      else right++;
    } else {
      const isSame = Math.floor(starts[left] / height) === Math.floor(starts[right] / height) - 1;
      if (isSame && starts[left] <= to) parents[root(right)] = root(left);
      if (isSame && ends[left] <= to) left++;
      else right++;
    }
  }
  const regions = starts.map((_, i) => root(i));
  const areas = starts.map(() => 0);
  regions.forEach((region, i) => (areas[region] += ends[i] - starts[i]));
  return { regions, areas };
}

function toRle({ starts, ends }: Runs, size: Rle["size"]): Rle {
  const writer = new RleWriter(size);
  const order = starts.map((_, i) => i).sort((a, b) => starts[a] - starts[b]);
  for (const i of order) writer.add(starts[i], ends[i]);
  return writer.finish();
}
