// Kept objects as files: COCO and SA-1B JSON, label map, SVG. The same forms as those of anymask.results.formats.

import { outlinesToPath, traceOutlines } from "./outline.ts";
import { labelMapToPng, type Rgb } from "./png.ts";
import { compressCounts, toColumns } from "./rle.ts";
import type { Mask, Prompts, Rle } from "./types.ts";

export interface ExportedObject {
  readonly name: string;
  /** "#rrggbb". */
  readonly colour: string;
  readonly mask: Mask;
  readonly prompts: Prompts;
}

export interface ExportedImage {
  readonly name: string;
  readonly height: number;
  readonly width: number;
  readonly objects: readonly ExportedObject[];
}

/** One category for each name, in order of appearance; masks as compressed RLE. */
export function toCoco(image: ExportedImage): object {
  const names = [...new Set(image.objects.map((object) => object.name))];
  return {
    images: [{ id: 1, file_name: image.name, height: image.height, width: image.width }],
    annotations: image.objects.map((object, index) => ({
      iscrowd: 0,
      id: index + 1,
      image_id: 1,
      category_id: names.indexOf(object.name) + 1,
      segmentation: toCocoRle(object.mask.rle),
      area: object.mask.area,
      bbox: widths(object.mask),
      score: object.mask.score,
    })),
    categories: names.map((name, index) => ({ id: index + 1, name })),
  };
}

/** The fields of SA-1B and, as "label", the object's name. */
export function toSa1b(image: ExportedImage): object {
  return {
    image: { file_name: image.name, height: image.height, width: image.width },
    annotations: image.objects.map((object, index) => {
      const [x, y, width, height] = widths(object.mask);
      return {
        id: index + 1,
        label: object.name,
        segmentation: toCocoRle(object.mask.rle),
        area: object.mask.area,
        // Meta's boxes span the centres of the outermost pixels.
        bbox: [x, y, Math.max(0, width - 1), Math.max(0, height - 1)],
        predicted_iou: object.mask.score,
        point_coords: object.prompts.points.map((point) => [point.x, point.y]),
        ...(object.mask.stability === undefined ? {} : { stability_score: object.mask.stability }),
        crop_box: [0, 0, image.width, image.height],
      };
    }),
  };
}

/** One path per object, holes left out, in pixels of the image. */
export function toSvg(image: ExportedImage): string {
  const paths = image.objects.map((object) => {
    const d = outlinesToPath(traceOutlines(object.mask.rle));
    const name = escapeXml(object.name);
    return `  <path fill="${object.colour}" fill-rule="evenodd" d="${d}"><title>${name}</title></path>\n`;
  });
  const size = `width="${image.width}" height="${image.height}" viewBox="0 0 ${image.width} ${image.height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>\n${paths.join("")}</svg>\n`;
}

/** Where objects overlap the smaller one is seen, as in anymask's own label maps. */
export function toLabelMap(image: ExportedImage): Uint16Array {
  const labels = new Uint16Array(image.height * image.width);
  const largestFirst = image.objects
    .map(({ mask }, index) => ({ mask, label: index + 1 }))
    .sort((a, b) => b.mask.area - a.mask.area);
  for (const { mask, label } of largestFirst) {
    const { width, offsets, edges } = toColumns(mask.rle);
    for (let x = 0; x < width; x++) {
      for (let i = offsets[x]; i < offsets[x + 1]; i += 2) {
        for (let y = edges[i]; y < edges[i + 1]; y++) labels[y * width + x] = label;
      }
    }
  }
  return labels;
}

export function toLabelMapPng(image: ExportedImage): Promise<Blob> {
  const colours = image.objects.map((object) => toRgb(object.colour));
  return labelMapToPng(toLabelMap(image), image.height, image.width, colours);
}

/** The photo where one of the objects is, transparent elsewhere, cut to their box. */
export async function toCutout(image: ExportedImage, picture: ImageBitmap): Promise<Blob> {
  const boxes = image.objects.map((object) => object.mask.box);
  const [x0, y0] = [0, 1].map((i) => Math.min(...boxes.map((box) => box[i])));
  const [x1, y1] = [2, 3].map((i) => Math.max(...boxes.map((box) => box[i])));
  const canvas = new OffscreenCanvas(Math.max(1, x1 - x0), Math.max(1, y1 - y0));
  const context = canvas.getContext("2d")!;
  context.translate(-x0, -y0);
  // A mask for the alpha channel pixel by pixel: a path would blur its edge.
  context.drawImage(picture, 0, 0, image.width, image.height);
  context.globalCompositeOperation = "destination-in";
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(alphaOf(image, x0, y0, canvas.width, canvas.height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

function alphaOf(image: ExportedImage, x0: number, y0: number, width: number, height: number): OffscreenCanvas {
  const pixels = new ImageData(width, height);
  const rgba = new Uint32Array(pixels.data.buffer);
  for (const { mask } of image.objects) {
    const { offsets, edges } = toColumns(mask.rle);
    for (let x = 0; x < width; x++) {
      for (let i = offsets[x0 + x]; i < offsets[x0 + x + 1]; i += 2) {
        for (let y = edges[i] - y0; y < edges[i + 1] - y0; y++) rgba[y * width + x] = 0xffffffff;
      }
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}

export function toRgb(colour: string): Rgb {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16)) as unknown as Rgb;
}

function toCocoRle(rle: Rle): { size: readonly number[]; counts: string } {
  return { size: rle.size, counts: compressCounts(rle.counts) };
}

function widths({ box: [x0, y0, x1, y1] }: Mask): [x: number, y: number, width: number, height: number] {
  return [x0, y0, x1 - x0, y1 - y0];
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
