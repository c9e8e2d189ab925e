// The exported model in ONNX Runtime: Meta's layout, of which the decoder gives all four masks.

import { InferenceSession, Tensor, env } from "onnxruntime-web/wasm";

import { rleArea, rleBoxIn } from "../rle.ts";
import type { Mask, Prompts } from "../types.ts";
import { toPixelValues } from "./pixels.ts";
import { type CleanUp, cleanUp } from "./regions.ts";
import { fitIn, type Geometry, logitsToRle } from "./upsample.ts";

/** What `anymask demo --static` writes beside the page. */
export interface Manifest {
  readonly model?: string;
  readonly encoder: string;
  readonly decoder: string;
  readonly layout: string;
  readonly image_size: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** The checkpoint's `prompted_masks`: holes and islands below these shares of a mask go. */
  readonly prompted_masks?: CleanUp | null;
  /** The checkpoint's `mask_generation`. */
  readonly mask_generation?: Readonly<Record<string, number>> | null;
}

export interface EncodedImage {
  readonly geometry: Geometry;
  readonly embedding: Tensor;
}

/** The answers to one prompt: three masks for ambiguous ones. */
export interface Logits {
  readonly low: number;
  readonly masks: readonly Float32Array[];
  readonly scores: readonly number[];
}

const [TOP_LEFT, BOTTOM_RIGHT] = [2, 3]; // labels of a box's corners
const GRID = 4; // pixels of a mask's grid for each patch of the embedding

export class Model {
  private constructor(
    readonly manifest: Manifest,
    private readonly encoder: InferenceSession,
    private readonly decoder: InferenceSession,
  ) {}

  static async load(manifest: Manifest, runtime: ArrayBuffer): Promise<Model> {
    if (manifest.layout !== "meta") {
      throw new Error(`manifest.json must have the layout meta, got ${manifest.layout}; write the folder again.`);
    }
    env.wasm.wasmBinary = runtime;
    env.wasm.numThreads = 1; // more need headers that plain web servers do not send
    const read = async (name: string) => InferenceSession.create(new Uint8Array(await fetchBytes(name)));
    return new Model(manifest, await read(manifest.encoder), await read(manifest.decoder));
  }

  async encode(picture: ImageBitmap): Promise<EncodedImage> {
    const { image_size: side, mean, std } = this.manifest;
    const geometry = fitIn(side, picture.height, picture.width);
    const values = toPixelValues(picture, geometry, mean, std);
    const { image_embeddings } = await this.encoder.run({ pixel_values: new Tensor("float32", values, [1, 3, side, side]) });
    return { geometry, embedding: image_embeddings };
  }

  async decode({ geometry, embedding }: EncodedImage, prompts: Prompts, fedBack: Float32Array | null): Promise<Logits> {
    const points = prompts.points.map(({ x, y, adds }) => [x, y, adds ? 1 : 0]);
    if (prompts.box !== null) {
      const [x0, y0, x1, y1] = prompts.box;
      points.push([x0, y0, TOP_LEFT], [x1, y1, BOTTOM_RIGHT]);
    }
    const [acrossBy, downBy] = [geometry.resizedWidth / geometry.width, geometry.resizedHeight / geometry.height];
    const coordinates = Float32Array.from(points.flatMap(([x, y]) => [x * acrossBy, y * downBy]));
    const low = GRID * embedding.dims[2];
    const { low_res_masks: masks, iou_predictions: scores } = await this.decoder.run({
      image_embeddings: embedding,
      point_coords: new Tensor("float32", coordinates, [1, points.length, 2]),
      point_labels: new Tensor("float32", Float32Array.from(points, ([, , label]) => label), [1, points.length]),
      mask_input: new Tensor("float32", fedBack ?? new Float32Array(low * low), [1, 1, low, low]),
      has_mask_input: new Tensor("float32", Float32Array.of(fedBack === null ? 0 : 1), [1]),
      orig_im_size: new Tensor("float32", Float32Array.of(1, 1), [2]), // its full masks are not what we need
    });
    const values = masks.data as Float32Array;
    return {
      low,
      // The first is for unambiguous prompts.
      masks: [1, 2, 3].map((i) => values.slice(i * low * low, (i + 1) * low * low)),
      scores: [1, 2, 3].map((i) => (scores.data as Float32Array)[i]),
    };
  }

  /** The mask of one of the answers to a prompt, cleaned as the checkpoint says of these. */
  toMask(logits: Logits, index: number, geometry: Geometry, maxSide = Infinity): Mask {
    const { height, width } = geometry;
    const shrink = Math.min(1, maxSide / Math.max(height, width));
    const side = (length: number) => Math.max(1, Math.round(length * shrink));
    const whole = logitsToRle(logits.masks[index], logits.low, geometry, side(height), side(width));
    const rle = cleanUp(whole, this.manifest.prompted_masks ?? {});
    return {
      rle,
      area: Math.round((rleArea(rle) * height * width) / (side(height) * side(width))),
      box: rleBoxIn(rle, geometry),
      score: logits.scores[index],
    };
  }
}

async function fetchBytes(name: string): Promise<ArrayBuffer> {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} must lie beside the page, but the web server answered ${response.status}.`);
  return response.arrayBuffer();
}

/** The runtime lies packed beside the page; some servers unpack it on the way. */
export async function fetchRuntime(): Promise<ArrayBuffer> {
  const bytes = await fetchBytes("onnxruntime.wasm.gz");
  const isPacked = new DataView(bytes).getUint16(0) === 0x1f8b;
  if (!isPacked) return bytes;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
