import assert from "node:assert/strict";
import { test } from "node:test";

import {
  compressCounts,
  maskToRle,
  resizeRle,
  rleArea,
  rleBox,
  rleBoxIn,
  rleContains,
  rleIntersection,
  rleToMask,
} from "../src/rle.ts";
import { draw, randomMask } from "./masks.ts";

test("counts go down the columns, background first", () => {
  assert.deepEqual(draw("#.", "##", ".."), { size: [3, 2], counts: [0, 2, 2, 1, 1] });
});

test("a run that goes on in the next column is one run", () => {
  assert.deepEqual(draw(".#", "##").counts, [1, 3]);
});

test("empty and full masks", () => {
  assert.deepEqual(draw("..", "..").counts, [4]);
  assert.deepEqual(draw("##", "##").counts, [0, 4]);
  assert.deepEqual(rleBox(draw("..", "..")), [0, 0, 0, 0]);
});

test("masks come back from their runs", () => {
  for (const [height, width] of [[1, 7], [5, 3], [17, 23]] as const) {
    const mask = randomMask(height, width, height);
    const rle = maskToRle(mask, height, width);
    assert.deepEqual(rleToMask(rle), mask);
    assert.equal(rleArea(rle), mask.reduce((sum, pixel) => sum + pixel, 0));
  }
});

test("a box is in the pixels of the image that the mask is a smaller copy of", () => {
  assert.deepEqual(rleBoxIn(draw("....", ".##."), { height: 6, width: 40 }), [10, 3, 30, 6]);
});

test("a box ends behind the last pixels", () => {
  assert.deepEqual(rleBox(draw("....", ".##.", ".#..", "....")), [1, 1, 3, 3]);
});

test("a pixel is asked by x and y, outside too", () => {
  const rle = draw("..#", "...");
  assert.ok(rleContains(rle, 2, 0));
  assert.ok(!rleContains(rle, 0, 1) && !rleContains(rle, 3, 0) && !rleContains(rle, 2, -1));
});

test("intersections are those of the pixels", () => {
  const [a, b] = [randomMask(13, 9, 1), randomMask(13, 9, 2)];
  const both = a.reduce((sum, pixel, i) => sum + (pixel & b[i]), 0);
  assert.equal(rleIntersection(maskToRle(a, 13, 9), maskToRle(b, 13, 9)), both);
});

test("a mask at twice its size and back is the same", () => {
  const rle = maskToRle(randomMask(6, 5, 3), 6, 5);
  assert.deepEqual(resizeRle(resizeRle(rle, 12, 10), 6, 5), rle);
});

// Written by pycocotools 2.0.11: mask.frPyObjects({"size": size, "counts": counts}, h, w)["counts"].
test("compressed counts are pycocotools'", () => {
  assert.equal(compressCounts(COCO.counts), COCO.text);
});
const COCO = { counts: [6, 1, 40, 4, 5, 4, 5, 4, 21, 1000, 2, 70000, 1], text: "61X13mN000`0To0]OX\\S2O" };
