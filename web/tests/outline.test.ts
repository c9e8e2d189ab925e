import assert from "node:assert/strict";
import { test } from "node:test";

import { outlinesToPath, type Polygon, traceOutlines } from "../src/outline.ts";
import { maskToRle } from "../src/rle.ts";
import { draw, randomMask } from "./masks.ts";

test("a pixel is a square, clockwise", () => {
  assert.deepEqual(traceOutlines(draw("...", ".#.")), [[[1, 1], [2, 1], [2, 2], [1, 2]]]);
});

test("straight edges have corners at their ends only", () => {
  assert.equal(traceOutlines(draw("####", "####"))[0].length, 4);
});

test("a hole is a polygon of its own, the other way round", () => {
  const [outer, hole] = traceOutlines(draw("###", "#.#", "###")).map(signedArea);
  assert.deepEqual([outer, hole], [9, -1]);
});

test("pixels that touch at a corner are two regions", () => {
  assert.equal(traceOutlines(draw("#.", ".#")).length, 2);
  assert.equal(traceOutlines(draw(".#", "#.")).length, 2);
});

test("nothing has no outline", () => {
  assert.equal(outlinesToPath(traceOutlines(draw("..", ".."))), "");
});

test("a path is closed polygons", () => {
  assert.equal(outlinesToPath(traceOutlines(draw("#"))), "M0 0L1 0L1 1L0 1Z");
});

test("the even-odd rule gives the mask back", () => {
  for (const [height, width, seed] of [[9, 14, 5], [20, 11, 6]] as const) {
    const mask = randomMask(height, width, seed);
    const polygons = traceOutlines(maskToRle(mask, height, width));
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        assert.equal(isInside(polygons, x + 0.5, y + 0.5), mask[y * width + x] === 1, `pixel ${x}, ${y}`);
      }
    }
    const area = polygons.reduce((sum, polygon) => sum + signedArea(polygon), 0);
    assert.equal(area, mask.reduce((sum, pixel) => sum + pixel, 0));
  }
});

/** Positive where the mask is at the right hand. */
function signedArea(polygon: Polygon): number {
  let twice = 0;
  polygon.forEach(([x, y], i) => {
    const [nextX, nextY] = polygon[(i + 1) % polygon.length];
    twice += x * nextY - nextX * y;
  });
  return twice / 2;
}

function isInside(polygons: readonly Polygon[], x: number, y: number): boolean {
  let crossings = 0;
  for (const polygon of polygons) {
    polygon.forEach(([x0, y0], i) => {
      const [x1, y1] = polygon[(i + 1) % polygon.length];
      if (x0 === x1 && x0 > x && Math.min(y0, y1) < y && y < Math.max(y0, y1)) crossings++;
    });
  }
  return crossings % 2 === 1;
}
