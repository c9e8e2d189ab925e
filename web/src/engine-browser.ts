// The engine of a plain folder: the exported model runs in a worker of this page, and the photo goes nowhere.

import type { Manifest } from "./browser/model.ts";
import type { FromWorker, Question, ToWorker } from "./browser/worker.ts";
import {
  type Candidate,
  type Engine,
  type EngineInfo,
  type Mask,
  type OpenedImage,
  type PredictOptions,
  type Prediction,
  type Prompts,
  Superseded,
} from "./types.ts";

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
  onProgress?: (done: number, total: number) => void;
}

const SHOWN_SIDE = 4096; // of the picture on the screen

export class BrowserEngine implements Engine {
  private readonly worker = new Worker("worker.js", { type: "module" });
  private readonly waiting = new Map<number, Waiting>();
  private readonly files = new Map<string, Blob>();
  private count = 0;
  private failure: Error | null = null; // of the worker itself, which answers nothing any more

  private constructor(readonly info: EngineInfo) {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    this.worker.onerror = () => {
      this.failure = new Error("The model could not be started in this browser.");
      for (const { reject } of this.waiting.values()) reject(this.failure);
      this.waiting.clear();
    };
  }

  static connect(manifest: Manifest): BrowserEngine {
    const engine = new BrowserEngine({ model: manifest.model ?? "", images: [], isLocal: true });
    engine.ask({ kind: "load", manifest }).catch(() => {}); // the first photo tells what is wrong
    return engine;
  }

  async ping(): Promise<void> {}

  async open(file: Blob, name: string): Promise<OpenedImage> {
    const picture = await decode(file, name);
    const { height, width } = picture;
    const id = String(++this.count);
    this.files.set(id, file);
    // The worker gets the whole picture, the screen a smaller one.
    const shrink = Math.min(1, SHOWN_SIDE / Math.max(height, width));
    const size = { resizeWidth: Math.round(width * shrink), resizeHeight: Math.round(height * shrink) };
    const shown = await createImageBitmap(picture, { ...size, resizeQuality: "high" });
    await this.ask({ kind: "encode", image: id, picture }, { transfer: [picture] });
    return { id, name, height, width, picture: shown };
  }

  openListed(): Promise<OpenedImage> {
    return Promise.reject(new Error("A page without a server has no photos of its own."));
  }

  wholePicture(image: OpenedImage): Promise<ImageBitmap> {
    return decode(this.files.get(image.id)!, image.name);
  }

  async predict(image: OpenedImage, prompts: Prompts, options: PredictOptions): Promise<Prediction> {
    const start = performance.now();
    const { token = null, maxSide, isCorrected = false, signal } = options;
    const size = maxSide === undefined ? {} : { maxSide };
    const question: Question = { kind: "predict", image: image.id, prompts, token, isCorrected, ...size };
    const candidates = (await this.ask(question, { signal })) as Candidate[];
    candidates.sort((a, b) => b.score - a.score);
    return { candidates, milliseconds: performance.now() - start };
  }

  everything(
    image: OpenedImage,
    onProgress: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<readonly Mask[]> {
    return this.ask({ kind: "everything", image: image.id }, { signal, onProgress }) as Promise<readonly Mask[]>;
  }

  private ask(
    question: Question,
    { signal, onProgress, transfer = [] }: {
      signal?: AbortSignal;
      onProgress?: (done: number, total: number) => void;
      transfer?: Transferable[];
    } = {},
  ): Promise<unknown> {
    if (this.failure !== null) return Promise.reject(this.failure);
    const id = ++this.count;
    const send = (message: ToWorker, transferred: Transferable[] = []) => this.worker.postMessage(message, transferred);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, ...(onProgress === undefined ? {} : { onProgress }) });
      signal?.addEventListener("abort", () => {
        if (!this.waiting.delete(id)) return;
        send({ cancelled: id });
        reject(new Superseded());
      });
      send({ id, question }, transfer);
    });
  }

  private receive(message: FromWorker): void {
    const waiting = this.waiting.get(message.id);
    if (waiting === undefined) return; // cancelled
    if ("done" in message) {
      waiting.onProgress?.(message.done, message.total);
      return;
    }
    this.waiting.delete(message.id);
    if ("answer" in message) waiting.resolve(message.answer);
    else waiting.reject(message.isSuperseded ? new Superseded() : new Error(message.error));
  }
}

/** EXIF applied, and no colour profile, so that the numbers are those that Python reads. */
async function decode(file: Blob, name: string): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${name} must be a picture that this browser can read, such as a JPEG, PNG or WebP file.`);
  }
}
