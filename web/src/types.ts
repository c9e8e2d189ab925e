// What the page and its engines speak of. All coordinates are pixels of the original image, x to the right, y down.

/** Uncompressed run lengths of COCO: background first, column after column. */
export interface Rle {
  readonly size: readonly [height: number, width: number];
  readonly counts: readonly number[];
}

export type BoxXyxy = readonly [x0: number, y0: number, x1: number, y1: number];

export interface Mask {
  readonly rle: Rle;
  /** Pixels of the original image, also where `rle` is smaller. */
  readonly area: number;
  /** Edges of the pixels covered: x1 and y1 lie behind the last ones. */
  readonly box: BoxXyxy;
  /** The model's estimate of its IoU. */
  readonly score: number;
  readonly stability?: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
  /** True adds, false takes away. */
  readonly adds: boolean;
}

export interface Prompts {
  readonly points: readonly Point[];
  readonly box: BoxXyxy | null;
}

export interface Prediction {
  /** Best score first. */
  readonly candidates: readonly Candidate[];
  readonly milliseconds: number;
}

export interface Candidate extends Mask {
  /** By which the engine knows this mask, to correct it by more points; null where it does not. */
  readonly token: string | null;
}

export interface OpenedImage {
  readonly id: string;
  readonly name: string;
  readonly height: number;
  readonly width: number;
  /** For the screen: EXIF applied, perhaps smaller than the image. */
  readonly picture: ImageBitmap;
}

export interface EngineInfo {
  readonly model: string;
  /** Runs in the browser: nothing leaves this computer, not even for this one's server. */
  readonly isLocal: boolean;
  /** Images that the engine has from the start. */
  readonly images: readonly { readonly id: string; readonly name: string }[];
}

export interface PredictOptions {
  readonly signal: AbortSignal;
  /** Of the mask that the newest point corrects. */
  readonly token?: string | null;
  /** Masks of this side at most; whole size by default. */
  readonly maxSide?: number;
  /** Whether a point may correct one of the masks, which then needs a token; not so for what is only looked at. */
  readonly isCorrected?: boolean;
}

/** What segments: a server, or this browser. A call that was aborted or overtaken rejects with `Superseded`. */
export interface Engine {
  readonly info: EngineInfo;
  open(file: Blob, name: string): Promise<OpenedImage>;
  /** Open one of `info.images`. */
  openListed(id: string): Promise<OpenedImage>;
  /** The photo with all its pixels. */
  wholePicture(image: OpenedImage): Promise<ImageBitmap>;
  /** Reject with `Unreachable` while the engine cannot answer. */
  ping(): Promise<void>;
  predict(image: OpenedImage, prompts: Prompts, options: PredictOptions): Promise<Prediction>;
  everything(
    image: OpenedImage,
    onProgress: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<readonly Mask[]>;
}

/** A newer request took the place of this one, or somebody cancelled it: nothing to tell. */
export class Superseded extends Error {}

/** The server does not answer. */
export class Unreachable extends Error {}
