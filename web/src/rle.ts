// Run lengths of COCO: read, write, measure, shrink.

import type { BoxXyxy, Rle } from "./types.ts";

/** Foreground by columns: `edges` holds first and past-last row of each run, those of column x at offsets[x] to [x+1]. */
export interface Columns {
  readonly height: number;
  readonly width: number;
  readonly offsets: Int32Array;
  readonly edges: Int32Array;
}

const columnsOfRle = new WeakMap<Rle, Columns>(); // asked for with every frame

export function toColumns(rle: Rle): Columns {
  let columns = columnsOfRle.get(rle);
  if (columns === undefined) columnsOfRle.set(rle, (columns = makeColumns(rle)));
  return columns;
}

function makeColumns({ size: [height, width], counts }: Rle): Columns {
  const edges: number[] = [];
  const offsets = new Int32Array(width + 1);
  let position = 0;
  let closed = 0; // columns whose offset is known
  for (let i = 0; i < counts.length; i++) {
    let end = position + counts[i];
    if (i % 2 === 1) {
      // A run may go on in the next column.
      for (let start = position; start < end; ) {
        const x = Math.floor(start / height);
        while (closed < x) offsets[++closed] = edges.length;
        const stop = Math.min(end, (x + 1) * height);
        edges.push(start - x * height, stop - x * height);
        start = stop;
      }
    }
    position = end;
  }
  if (position !== height * width) {
    throw new Error(`The runs of a mask must cover its ${width} × ${height} pixels, got ${position}.`);
  }
  while (closed < width) offsets[++closed] = edges.length;
  return { height, width, offsets, edges: Int32Array.from(edges) };
}

/** Collects runs in column order; neighbouring ones become one. */
export class RleWriter {
  private readonly counts: number[] = [];
  private end = 0;
  area = 0;

  constructor(private readonly size: readonly [height: number, width: number]) {}

  /** Add pixels `start` to `end`, counted down the columns. */
  add(start: number, end: number): void {
    if (end <= start) return;
    if (start === this.end && this.counts.length > 0) this.counts[this.counts.length - 1] += end - start;
    else this.counts.push(start - this.end, end - start);
    this.end = end;
    this.area += end - start;
  }

  finish(): Rle {
    const [height, width] = this.size;
    const left = height * width - this.end;
    return { size: this.size, counts: left > 0 || this.counts.length === 0 ? [...this.counts, left] : this.counts };
  }
}

export function maskToRle(mask: Uint8Array, height: number, width: number): Rle {
  const writer = new RleWriter([height, width]);
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (mask[y * width + x] === 0) continue;
      const start = y;
      while (y < height && mask[y * width + x] !== 0) y++;
      writer.add(x * height + start, x * height + y);
    }
  }
  return writer.finish();
}

/** Foreground as 1, row after row. */
export function rleToMask(rle: Rle): Uint8Array {
  const { height, width, offsets, edges } = toColumns(rle);
  const mask = new Uint8Array(height * width);
  for (let x = 0; x < width; x++) {
    for (let i = offsets[x]; i < offsets[x + 1]; i += 2) {
      for (let y = edges[i]; y < edges[i + 1]; y++) mask[y * width + x] = 1;
    }
  }
  return mask;
}

export function rleArea(rle: Rle): number {
  let area = 0;
  for (let i = 1; i < rle.counts.length; i += 2) area += rle.counts[i];
  return area;
}

/** Edges of the pixels covered, in pixels of an image of which the mask may be a smaller copy; zeros for an empty one. */
export function rleBoxIn(rle: Rle, { height, width }: { readonly height: number; readonly width: number }): BoxXyxy {
  const [x0, y0, x1, y1] = rleBox(rle);
  const [across, down] = [width / rle.size[1], height / rle.size[0]];
  return [x0 * across, y0 * down, x1 * across, y1 * down];
}

/** Edges of the pixels covered; zeros for an empty mask. */
export function rleBox(rle: Rle): BoxXyxy {
  const { width, offsets, edges } = toColumns(rle);
  let [x0, y0, x1, y1] = [Infinity, Infinity, 0, 0];
  for (let x = 0; x < width; x++) {
    if (offsets[x] === offsets[x + 1]) continue;
    x0 = Math.min(x0, x);
    x1 = x + 1;
    y0 = Math.min(y0, edges[offsets[x]]);
    y1 = Math.max(y1, edges[offsets[x + 1] - 1]);
  }
  return x1 === 0 ? [0, 0, 0, 0] : [x0, y0, x1, y1];
}

export function rleContains(rle: Rle, x: number, y: number): boolean {
  const { height, width, offsets, edges } = toColumns(rle);
  if (x < 0 || y < 0 || x >= width || y >= height) return false;
  for (let i = offsets[x]; i < offsets[x + 1]; i += 2) if (edges[i] <= y && y < edges[i + 1]) return true;
  return false;
}

/** Pixels of two masks of one size that both cover. */
export function rleIntersection(a: Rle, b: Rle): number {
  let [i, j, startA, startB, area] = [0, 0, 0, 0, 0];
  while (i < a.counts.length && j < b.counts.length) {
    const [endA, endB] = [startA + a.counts[i], startB + b.counts[j]];
    if (i % 2 === 1 && j % 2 === 1) area += Math.max(0, Math.min(endA, endB) - Math.max(startA, startB));
    if (endA <= endB) [startA, i] = [endA, i + 1];
    if (endB <= endA) [startB, j] = [endB, j + 1];
  }
  return area;
}

/** A mask of another size, by the nearest pixel: for the screen. */
export function resizeRle(rle: Rle, height: number, width: number): Rle {
  const from = toColumns(rle);
  const writer = new RleWriter([height, width]);
  const perRow = height / from.height;
  for (let x = 0; x < width; x++) {
    const source = Math.min(from.width - 1, Math.floor(((x + 0.5) * from.width) / width));
    for (let i = from.offsets[source]; i < from.offsets[source + 1]; i += 2) {
      const start = Math.max(0, Math.ceil(from.edges[i] * perRow - 0.5));
      const end = Math.min(height, Math.ceil(from.edges[i + 1] * perRow - 0.5));
      writer.add(x * height + start, x * height + end);
    }
  }
  return writer.finish();
}

/**
 * Counts as COCO's string: each, from the third on less the one two before, in groups of 5 bits, lowest first, bit 6
 * saying that more follow, and 48 added. Source: https://github.com/cocodataset/cocoapi, maskApi.c.
 */
export function compressCounts(counts: readonly number[]): string {
  let text = "";
  for (let i = 0; i < counts.length; i++) {
    let left = i > 2 ? counts[i] - counts[i - 2] : counts[i];
    for (let goesOn = true; goesOn; ) {
      let bits = left & 31;
      left >>= 5;
      goesOn = (bits & 16) !== 0 ? left !== -1 : left !== 0;
      if (goesOn) bits |= 32;
      text += String.fromCharCode(bits + 48);
    }
  }
  return text;
}
