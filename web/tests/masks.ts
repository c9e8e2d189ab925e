// Masks drawn as text, for tests: "#" is foreground.

import { maskToRle, rleArea, rleBox } from "../src/rle.ts";
import type { Mask, Rle } from "../src/types.ts";

export function draw(...rows: string[]): Rle {
  const pixels = Uint8Array.from(rows.join(""), (character) => (character === "#" ? 1 : 0));
  return maskToRle(pixels, rows.length, rows[0].length);
}

export function drawn(...rows: string[]): Mask {
  const rle = draw(...rows);
  return { rle, area: rleArea(rle), box: rleBox(rle), score: 0.5 };
}

/** Numbers that look random and are the same in every run. */
export function randomMask(height: number, width: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: height * width }, () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648 > 0.6 ? 1 : 0;
  });
}
