// Photos to the model's input, with Pillow's resize: bilinear, with antialiasing, in 8 bits between its two passes.
// The browser's own resize gives other pixels, and so other masks.

import type { Geometry } from "./upsample.ts";

interface Filter {
  readonly starts: Int32Array;
  readonly weights: readonly Float64Array[];
}

const ONE = 2 ** 22; // Pillow computes in whole numbers of this part
const STRIP = 256; // rows read at a time, so that a large photo is never in memory as numbers

/** Weights in parts of `ONE`. Source: https://github.com/python-pillow/Pillow, Resample.c. */
function triangleFilter(from: number, to: number): Filter {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const starts = new Int32Array(to);
  const weights: Float64Array[] = [];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.floor(centre - support + 0.5));
    const end = Math.min(from, Math.floor(centre + support + 0.5));
    const of = Float64Array.from({ length: end - start }, (_, k) =>
      Math.max(0, 1 - Math.abs((start + k - centre + 0.5) / support)),
    );
    const sum = of.reduce((total, weight) => total + weight, 0);
    starts[i] = start;
    weights.push(of.map((weight) => Math.round((weight / sum) * ONE)));
  }
  return { starts, weights };
}

/** Resize rows of RGBA pixels to 8-bit RGB. */
export function resizeAcross(rgba: Uint8ClampedArray, height: number, width: number, to: number): Uint8ClampedArray {
  const { starts, weights } = triangleFilter(width, to);
  const rgb = new Uint8ClampedArray(height * to * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < to; x++) {
      const of = weights[x];
      let [red, green, blue] = [ONE / 2, ONE / 2, ONE / 2];
      let at = 4 * (y * width + starts[x]);
      for (let k = 0; k < of.length; k++, at += 4) {
        red += of[k] * rgba[at];
        green += of[k] * rgba[at + 1];
        blue += of[k] * rgba[at + 2];
      }
      const into = 3 * (y * to + x);
      rgb[into] = Math.floor(red / ONE);
      rgb[into + 1] = Math.floor(green / ONE);
      rgb[into + 2] = Math.floor(blue / ONE);
    }
  }
  return rgb;
}

/** Resize columns of RGB pixels. */
export function resizeDown(rgb: Uint8ClampedArray, height: number, width: number, to: number): Uint8ClampedArray {
  const { starts, weights } = triangleFilter(height, to);
  const resized = new Uint8ClampedArray(to * width * 3);
  const row = new Float64Array(width * 3);
  for (let y = 0; y < to; y++) {
    row.fill(ONE / 2);
    weights[y].forEach((weight, k) => {
      const at = (starts[y] + k) * row.length;
      for (let i = 0; i < row.length; i++) row[i] += weight * rgb[at + i];
    });
    for (let i = 0; i < row.length; i++) resized[y * row.length + i] = Math.floor(row[i] / ONE);
  }
  return resized;
}

/** The photo as the model's input (3, side, side): resized, normalised, zero in the padding. */
export function toPixelValues(
  picture: ImageBitmap,
  { height, width, resizedHeight, resizedWidth, side }: Geometry,
  mean: readonly number[],
  std: readonly number[],
): Float32Array {
  const narrow = new Uint8ClampedArray(height * resizedWidth * 3);
  const canvas = new OffscreenCanvas(width, Math.min(STRIP, height));
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  for (let top = 0; top < height; top += STRIP) {
    const rows = Math.min(STRIP, height - top);
    // Transparent pixels are black, as Pillow's conversion to RGB leaves most files.
    context.fillRect(0, 0, width, rows);
    context.drawImage(picture, 0, -top);
    const { data } = context.getImageData(0, 0, width, rows);
    narrow.set(resizeAcross(data, rows, width, resizedWidth), top * resizedWidth * 3);
  }
  const rgb = resizeDown(narrow, height, resizedWidth, resizedHeight);
  const values = new Float32Array(3 * side * side);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < resizedHeight; y++) {
      for (let x = 0; x < resizedWidth; x++) {
        const value = rgb[3 * (y * resizedWidth + x) + channel] / 255;
        values[channel * side * side + y * side + x] = (value - mean[channel]) / std[channel];
      }
    }
  }
  return values;
}
