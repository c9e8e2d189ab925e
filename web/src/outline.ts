// Masks to outlines: closed polygons along the edges of pixels, clockwise around a region, the other way in a hole.

import { rleBox, toColumns } from "./rle.ts";
import type { Rle } from "./types.ts";

export type Polygon = readonly (readonly [x: number, y: number])[];

const [RIGHT, DOWN, LEFT, UP] = [1, 2, 4, 8];
const STEPS: Readonly<Record<number, readonly [dx: number, dy: number]>> = {
  [RIGHT]: [1, 0],
  [DOWN]: [0, 1],
  [LEFT]: [-1, 0],
  [UP]: [0, -1],
};
// Where two pixels touch at a corner only, turning right keeps them apart.
const turnsFrom = (direction: number): readonly number[] => [
  direction === UP ? RIGHT : direction << 1,
  direction,
  direction === RIGHT ? UP : direction >> 1,
];

/** Polygons of a mask. Regions that touch at a corner only are separate ones. */
export function traceOutlines(rle: Rle): Polygon[] {
  const [x0, y0, x1, y1] = rleBox(rle);
  const [width, height] = [x1 - x0, y1 - y0];
  if (width === 0) return [];
  const corners = markEdges(rle, x0, y0, width, height);
  const across = width + 1;
  const polygons: Polygon[] = [];
  for (let start = 0; start < corners.length; start++) {
    // A region's topmost corner has an edge to the right; a hole's, in the same sense, one down its other side.
    while (corners[start] !== 0) {
      let direction = corners[start] & -corners[start];
      let at = start;
      const polygon: [number, number][] = [];
      let before = 0;
      do {
        corners[at] &= ~direction;
        if (direction !== before) polygon.push([x0 + (at % across), y0 + Math.floor(at / across)]);
        before = direction;
        const [dx, dy] = STEPS[direction];
        at += dy * across + dx;
        direction = turnsFrom(direction).find((turn) => (corners[at] & turn) !== 0) ?? 0;
      } while (direction !== 0);
      polygons.push(polygon);
    }
  }
  return polygons;
}

/** Which ways the outline leaves each corner of the pixels of a box, the mask at its right hand. */
function markEdges(rle: Rle, x0: number, y0: number, width: number, height: number): Uint8Array {
  const across = width + 1;
  const corners = new Uint8Array(across * (height + 1));
  const { offsets, edges } = toColumns(rle);
  const isSet = new Uint8Array(2 * height); // of the column and the one to its left
  let [now, left] = [isSet.subarray(0, height), isSet.subarray(height)];
  for (let x = 0; x <= width; x++) {
    [now, left] = [left, now];
    now.fill(0);
    if (x < width) {
      for (let i = offsets[x0 + x]; i < offsets[x0 + x + 1]; i += 2) {
        const [top, bottom] = [edges[i] - y0, edges[i + 1] - y0];
        now.fill(1, top, bottom);
        corners[top * across + x] |= RIGHT;
        corners[bottom * across + x + 1] |= LEFT;
      }
    }
    for (let y = 0; y < height; y++) {
      if (now[y] === left[y]) continue;
      if (now[y] === 1) corners[(y + 1) * across + x] |= UP;
      else corners[y * across + x] |= DOWN;
    }
  }
  return corners;
}

/** The `d` of an SVG path, to be filled by "evenodd". */
export function outlinesToPath(polygons: readonly Polygon[]): string {
  return polygons.map((polygon) => `M${polygon.map(([x, y]) => `${x} ${y}`).join("L")}Z`).join("");
}
