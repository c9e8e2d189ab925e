import assert from "node:assert/strict";
import { test } from "node:test";

import { resizeAcross, resizeDown } from "../src/browser/pixels.ts";
import { cleanUp, removeSmallRegions } from "../src/browser/regions.ts";
import { fitIn, logitsToRle } from "../src/browser/upsample.ts";
import { rleToMask } from "../src/rle.ts";
import { draw, randomMask } from "./masks.ts";

test("an image fits in the model's input by its longer side, halves rounded up", () => {
  const { resizedHeight, resizedWidth } = fitIn(256, 683, 1024);
  assert.deepEqual([resizedHeight, resizedWidth], [171, 256]);
});

test("masks are two bilinear resizes with a cut between", () => {
  const low = 4;
  const logits = Float32Array.from(randomMask(low, low, 7), (pixel) => pixel * 2 - 0.7);
  for (const [height, width] of [[10, 15], [31, 20], [3, 5]] as const) {
    const geometry = fitIn(8, height, width);
    const frame = bilinear([...logits], low, low, 8, 8).filter(
      (_, i) => Math.floor(i / 8) < geometry.resizedHeight && i % 8 < geometry.resizedWidth,
    );
    const whole = bilinear(frame, geometry.resizedHeight, geometry.resizedWidth, height, width);
    const mask = rleToMask(logitsToRle(logits, low, geometry, height, width));
    whole.forEach((value, i) => {
      if (Math.abs(value) > 1e-9) assert.equal(mask[i] === 1, value > 0, `pixel ${i} of ${height} x ${width}`);
    });
  }
});

// torch.nn.functional.interpolate(mode="bilinear", align_corners=False), pixel by pixel.
function bilinear(values: number[], height: number, width: number, toHeight: number, toWidth: number): number[] {
  const at = (i: number, from: number, to: number) => Math.max(0, ((i + 0.5) * from) / to - 0.5);
  return Array.from({ length: toHeight * toWidth }, (_, i) => {
    const [y, x] = [at(Math.floor(i / toWidth), height, toHeight), at(i % toWidth, width, toWidth)];
    let sum = 0;
    for (const [row, rowWeight] of [[Math.floor(y), 1 - (y % 1)], [Math.floor(y) + 1, y % 1]]) {
      for (const [column, weight] of [[Math.floor(x), 1 - (x % 1)], [Math.floor(x) + 1, x % 1]]) {
        sum += rowWeight * weight * values[Math.min(row, height - 1) * width + Math.min(column, width - 1)];
      }
    }
    return sum;
  });
}

// Pillow 13.0: Image.fromarray(image).resize((4, 3), Image.Resampling.BILINEAR), image[y, x, c] = (37 y + 59 x + 91 c) % 256.
test("photos are resized as Pillow does", () => {
  const [height, width] = [7, 10];
  const rgba = Uint8ClampedArray.from({ length: height * width * 4 }, (_, i) => {
    const [y, x, c] = [Math.floor(i / 4 / width), Math.floor(i / 4) % width, i % 4];
    return c === 3 ? 255 : (37 * y + 59 * x + 91 * c) % 256;
  });
  const found = resizeDown(resizeAcross(rgba, height, width, 4), height, 4, 3);
  assert.deepEqual([...found], PILLOW);
});
const PILLOW = [91, 157, 118, 146, 109, 132, 125, 144, 98, 144, 113, 156, 144, 116, 100, 120, 130, 141, 143, 115, 124, 106, 139, 142, 142, 102, 145, 121, 129, 114, 115, 112, 149, 153, 123, 101];

test("small holes are filled, small islands go", () => {
  const mask = draw("######.", "#.##.#.", "####.#.", "######.", ".......", "..#...#", "..#....");
  const clean = removeSmallRegions(mask, 2, 2);
  assert.deepEqual(clean, draw("######.", "####.#.", "####.#.", "######.", ".......", "..#....", "..#...."));
  // The mask has 24 pixels: below a twentieth of it is one.
  assert.deepEqual(cleanUp(mask, { hole_share: 0.05, island_share: 0.05 }), clean);
  assert.deepEqual(cleanUp(mask, { min_mask_region_area: 2 }), clean);
  assert.deepEqual(cleanUp(mask, { hole_share: 0.04 }), mask);
  assert.deepEqual(cleanUp(mask, {}), mask);
});

test("pixels that touch at a corner are one region", () => {
  assert.deepEqual(removeSmallRegions(draw("#..", ".#.", "..#"), 0, 3), draw("#..", ".#.", "..#"));
  assert.deepEqual(removeSmallRegions(draw("..#", ".#.", "#.."), 0, 3), draw("..#", ".#.", "#.."));
});

test("the largest island stays, however small", () => {
  assert.deepEqual(removeSmallRegions(draw("#.##", "...."), 0, 9), draw("..##", "...."));
});

test("regions are those of a flood fill", () => {
  for (const seed of [1, 2, 3, 4]) {
    const [height, width, least] = [12, 17, 4];
    const mask = randomMask(height, width, seed);
    const found = removeSmallRegions(draw(...rowsOf(mask, width)), 0, least);
    assert.deepEqual(rleToMask(found), flooded(mask, height, width, least));
  }
});

function rowsOf(mask: Uint8Array, width: number): string[] {
  const text = Array.from(mask, (pixel) => (pixel === 1 ? "#" : ".")).join("");
  return text.match(new RegExp(`.{${width}}`, "g"))!;
}

function flooded(mask: Uint8Array, height: number, width: number, least: number): Uint8Array {
  const left = mask.slice();
  const kept = new Uint8Array(mask.length);
  for (let start = 0; start < mask.length; start++) {
    if (left[start] === 0) continue;
    const region = [start];
    left[start] = 0;
    for (let i = 0; i < region.length; i++) {
      const [y, x] = [Math.floor(region[i] / width), region[i] % width];
      for (let near = 0; near < 9; near++) {
        const [v, u] = [y + Math.floor(near / 3) - 1, x + (near % 3) - 1];
        if (v < 0 || u < 0 || v >= height || u >= width || left[v * width + u] === 0) continue;
        left[v * width + u] = 0;
        region.push(v * width + u);
      }
    }
    if (region.length >= least) for (const pixel of region) kept[pixel] = 1;
  }
  return kept;
}
