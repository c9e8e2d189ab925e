import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateSync } from "node:zlib";

import { toCoco, toLabelMap, toLabelMapPng, toSa1b, toSvg } from "../src/exports.ts";
import { labelMapToPng } from "../src/png.ts";
import { drawn } from "./masks.ts";

const PROMPTS = { points: [{ x: 1, y: 1, adds: true }], box: null };
const IMAGE = {
  name: "photo.jpg",
  height: 3,
  width: 4,
  objects: [
    { name: "cat", colour: "#ff0000", mask: drawn("....", ".##.", "...."), prompts: PROMPTS },
    { name: "tail <&>", colour: "#00ff00", mask: drawn("####", "#.##", "####"), prompts: PROMPTS },
    { name: "cat", colour: "#0000ff", mask: drawn("#...", "....", "...."), prompts: PROMPTS },
  ],
};

test("COCO: a category for each name, boxes as x, y, width and height", () => {
  const { images, annotations, categories } = toCoco(IMAGE) as any;
  assert.deepEqual(images, [{ id: 1, file_name: "photo.jpg", height: 3, width: 4 }]);
  assert.deepEqual(categories, [{ id: 1, name: "cat" }, { id: 2, name: "tail <&>" }]);
  assert.deepEqual(annotations.map((a: any) => a.category_id), [1, 2, 1]);
  assert.deepEqual(annotations[0], {
    iscrowd: 0, id: 1, image_id: 1, category_id: 1,
    segmentation: { size: [3, 4], counts: "41202" },
    area: 2, bbox: [1, 1, 2, 1], score: 0.5,
  });
});

test("SA-1B: boxes between the centres of pixels, the prompt's points", () => {
  const { image, annotations } = toSa1b(IMAGE) as any;
  assert.deepEqual(image, { file_name: "photo.jpg", height: 3, width: 4 });
  assert.deepEqual(annotations[0].bbox, [1, 1, 1, 0]);
  assert.deepEqual(annotations[0].point_coords, [[1, 1]]);
  assert.equal(annotations[0].predicted_iou, 0.5);
});

test("SVG: a path per object, names escaped", () => {
  const svg = toSvg(IMAGE);
  assert.match(svg, /viewBox="0 0 4 3"/);
  assert.match(svg, /fill="#ff0000" fill-rule="evenodd" d="M1 1L3 1L3 2L1 2Z"><title>cat</);
  assert.match(svg, /<title>tail &#60;&#38;&#62;</);
});

test("a label map shows the smaller object where two overlap", () => {
  assert.deepEqual([...toLabelMap(IMAGE)], [3, 2, 2, 2, 2, 1, 1, 2, 2, 2, 2, 2]);
});

test("a label map of few objects is a palette PNG", async () => {
  const png = new DataView(await (await toLabelMapPng(IMAGE)).arrayBuffer());
  assert.deepEqual([png.getUint32(16), png.getUint32(20), png.getUint8(24), png.getUint8(25)], [4, 3, 8, 3]);
  assert.deepEqual([...part(png, "PLTE")], [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]);
  assert.deepEqual([...inflateSync(part(png, "IDAT"))], [0, 3, 2, 2, 2, 0, 2, 1, 1, 2, 0, 2, 2, 2, 2]);
});

test("a label map of more than 255 objects has 16 bits, high byte first", async () => {
  const colours = Array.from({ length: 300 }, () => [1, 2, 3] as const);
  const png = new DataView(await (await labelMapToPng(Uint16Array.of(0, 258), 1, 2, colours)).arrayBuffer());
  assert.deepEqual([png.getUint8(24), png.getUint8(25)], [16, 0]);
  assert.deepEqual([...inflateSync(part(png, "IDAT"))], [0, 0, 0, 1, 2]);
});

function part(png: DataView, kind: string): Uint8Array {
  for (let at = 8; at < png.byteLength; at += 12 + png.getUint32(at)) {
    const found = String.fromCharCode(...new Uint8Array(png.buffer, at + 4, 4));
    if (found === kind) return new Uint8Array(png.buffer, at + 8, png.getUint32(at));
  }
  throw new Error(`no ${kind}`);
}
