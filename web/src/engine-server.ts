// The engine behind `anymask demo`: docs/demo-api.md.

import { rleBoxIn } from "./rle.ts";
import {
  type Candidate,
  type Engine,
  type EngineInfo,
  type Mask,
  type OpenedImage,
  type PredictOptions,
  type Prediction,
  type Prompts,
  type Rle,
  Superseded,
  Unreachable,
} from "./types.ts";

interface SentMask {
  readonly rle: Rle;
  readonly area: number;
  readonly score: number;
  readonly logits?: string;
}

export class ServerEngine implements Engine {
  // A tab is a client of its own: its requests overtake each other, those of another tab do not.
  private readonly client = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16)).join("");
  private readonly files = new Map<string, Blob>(); // for a server that was started anew

  private constructor(readonly info: EngineInfo) {}

  static async connect(): Promise<ServerEngine> {
    const { model, images } = await (await fetch("api/info")).json();
    return new ServerEngine({ model, images, isLocal: false });
  }

  async ping(): Promise<void> {
    await this.ask("api/info", {});
  }

  async open(file: Blob, name: string): Promise<OpenedImage> {
    const { id, height, width } = await this.upload(file);
    this.files.set(id, file);
    return { id, name, height, width, picture: await this.picture(id) };
  }

  async openListed(id: string): Promise<OpenedImage> {
    const name = this.info.images.find((image) => image.id === id)?.name ?? id;
    const response = await this.ask(`api/images/${encodeURIComponent(id)}/encode`, { method: "POST" });
    const { height, width } = await response.json();
    return { id, name, height, width, picture: await this.picture(id) };
  }

  async wholePicture(image: OpenedImage): Promise<ImageBitmap> {
    const file = this.files.get(image.id);
    if (file === undefined) return image.picture;
    return createImageBitmap(file).catch(() => image.picture); // of a kind that this browser cannot read
  }

  async predict(image: OpenedImage, prompts: Prompts, options: PredictOptions): Promise<Prediction> {
    const start = performance.now();
    const body = {
      points: prompts.points.map(({ x, y }) => [x, y]),
      labels: prompts.points.map(({ adds }) => (adds ? 1 : 0)),
      box: prompts.box,
      multimask: true,
      mask: options.token ?? null,
      ...(options.maxSide === undefined ? {} : { max_side: options.maxSide }),
    };
    const response = await this.askOf(image, "predict", body, options.signal);
    const { masks }: { masks: SentMask[] } = await response.json();
    const candidates = masks.map((mask): Candidate => ({ ...toMask(mask, image), token: mask.logits ?? null }));
    candidates.sort((a, b) => b.score - a.score);
    return { candidates, milliseconds: performance.now() - start };
  }

  async everything(
    image: OpenedImage,
    onProgress: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<readonly Mask[]> {
    const response = await this.askOf(image, "everything", {}, signal);
    for await (const line of linesOf(response)) {
      const { done, total, masks, error } = JSON.parse(line);
      if (error !== undefined) throw new Error(error);
      if (masks !== undefined) return masks.map((mask: SentMask) => toMask(mask, image));
      onProgress(done, total);
    }
    throw new Unreachable("The server stopped before it was done.");
  }

  private async upload(file: Blob): Promise<{ id: string; height: number; width: number }> {
    const response = await this.ask("api/images", {
      method: "POST",
      body: file,
      headers: { "Content-Type": "application/octet-stream" },
    });
    return response.json();
  }

  private async picture(id: string): Promise<ImageBitmap> {
    const response = await this.ask(`api/images/${encodeURIComponent(id)}`, {});
    return createImageBitmap(await response.blob());
  }

  /** Ask something of an image. A server that knows it, or its mask, no longer gets it again, or is asked without. */
  private async askOf(image: OpenedImage, what: string, body: object, signal: AbortSignal): Promise<Response> {
    const address = `api/images/${encodeURIComponent(image.id)}/${what}`;
    const request = {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
      signal,
    };
    try {
      return await this.ask(address, request);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 404)) throw error;
    }
    const file = this.files.get(image.id);
    if (file !== undefined) await this.upload(file); // its id is made of its bytes, so it is the same again
    return this.ask(address, { ...request, body: JSON.stringify({ ...body, mask: null }) });
  }

  private async ask(address: string, request: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(address, { ...request, headers: { ...request.headers, "X-Client": this.client } });
    } catch {
      if (request.signal?.aborted) throw new Superseded();
      throw new Unreachable("The server does not answer.");
    }
    if (response.ok) return response;
    if (response.status === 409) throw new Superseded();
    const { error } = await response.json().catch(() => ({ error: `The server answered with ${response.status}.` }));
    throw new Refused(error, response.status);
  }
}

class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** What the server says of a mask that is made smaller, it says in the smaller one's pixels. */
function toMask({ rle, area, score }: SentMask, image: OpenedImage): Mask {
  const [height, width] = rle.size;
  return { rle, area: Math.round((area * image.height * image.width) / (height * width)), score, box: rleBoxIn(rle, image) };
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop()!;
      yield* lines.filter((line) => line !== "");
    }
  } catch (error) {
    throw (error as Error).name === "AbortError" ? new Superseded() : new Unreachable("The server does not answer.");
  }
  if (rest !== "") yield rest;
}
