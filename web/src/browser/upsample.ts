// Low-resolution logits to masks of the image: SAM's two bilinear resizes with a cut between, straight to run lengths.

import { RleWriter } from "../rle.ts";
import type { Rle } from "../types.ts";

export interface Geometry {
  readonly height: number;
  readonly width: number;
  /** Of the image in the model's input; the rest is padding. */
  readonly resizedHeight: number;
  readonly resizedWidth: number;
  /** Side of the model's input. */
  readonly side: number;
}

/** How an image is brought to the model's input; halves are rounded up, as Meta does. */
export function fitIn(side: number, height: number, width: number): Geometry {
  const scale = side / Math.max(height, width);
  const resized = (length: number) => Math.max(1, Math.floor(length * scale + 0.5));
  return { height, width, resizedHeight: resized(height), resizedWidth: resized(width), side };
}

/** Of each output pixel the first of two inputs, and the weight of the second. */
interface Taps {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly weight: Float64Array;
}

function bilinearTaps(from: number, to: number, count = to): Taps {
  const taps = { first: new Int32Array(count), second: new Int32Array(count), weight: new Float64Array(count) };
  for (let i = 0; i < count; i++) {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    taps.first[i] = Math.min(Math.floor(at), from - 1);
    taps.second[i] = Math.min(taps.first[i] + 1, from - 1);
    taps.weight[i] = at - taps.first[i];
  }
  return taps;
}

function resizeRows(values: Float64Array, taps: Taps, width: number): Float64Array {
  const resized = new Float64Array(taps.first.length * width);
  taps.first.forEach((first, y) => {
    const [above, below, weight] = [first * width, taps.second[y] * width, taps.weight[y]];
    for (let x = 0; x < width; x++) {
      resized[y * width + x] = values[above + x] * (1 - weight) + values[below + x] * weight;
    }
  });
  return resized;
}

/**
 * The mask of an image, or of a smaller copy.
 *
 * @param logits Row after row; the whole model input is on this grid, padding too.
 * @param low Side of the grid.
 * @param height Of the mask.
 */
export function logitsToRle(logits: Float32Array, low: number, geometry: Geometry, height: number, width: number): Rle {
  const { side, resizedHeight, resizedWidth } = geometry;
  // Rows come to the model's frame at once; columns one by one, from the grid to the frame and from there to the mask.
  const rows = resizeRows(Float64Array.from(logits), bilinearTaps(low, side, resizedHeight), low);
  const toFrame = bilinearTaps(low, side, resizedWidth);
  const [across, down] = [bilinearTaps(resizedWidth, width), bilinearTaps(resizedHeight, height)];
  const writer = new RleWriter([height, width]);
  const column = new Float64Array(resizedHeight);
  for (let x = 0; x < width; x++) {
    const [left, right, weight] = [across.first[x], across.second[x], across.weight[x]];
    let highest = -Infinity;
    for (let y = 0; y < resizedHeight; y++) {
      const at = y * low;
      const value =
        (1 - weight) * between(rows, at, toFrame, left) + weight * between(rows, at, toFrame, right);
      column[y] = value;
      if (value > highest) highest = value;
    }
    if (highest > 0) writeColumn(writer, column, down, x * height);
  }
  return writer.finish();
}

function between(rows: Float64Array, row: number, taps: Taps, x: number): number {
  const weight = taps.weight[x];
  return rows[row + taps.first[x]] * (1 - weight) + rows[row + taps.second[x]] * weight;
}

function writeColumn(writer: RleWriter, column: Float64Array, down: Taps, offset: number): void {
  const height = down.first.length;
  let start = -1;
  for (let y = 0; y < height; y++) {
    const [above, below] = [column[down.first[y]], column[down.second[y]]];
    const isInside = above > 0 && below > 0 ? true : above * (1 - down.weight[y]) + below * down.weight[y] > 0;
    if (isInside && start < 0) start = y;
    if (!isInside && start >= 0) {
      writer.add(offset + start, offset + y);
      start = -1;
    }
  }
  if (start >= 0) writer.add(offset + start, offset + height);
}
