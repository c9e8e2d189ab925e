// The worker that holds the model, so that the page stays quick: questions and answers as messages.

import { type Candidate, type Prompts, Superseded } from "../types.ts";
import { findEverything } from "./everything.ts";
import { type EncodedImage, fetchRuntime, type Manifest, Model } from "./model.ts";

export type Question =
  | { readonly kind: "load"; readonly manifest: Manifest }
  | { readonly kind: "encode"; readonly image: string; readonly picture: ImageBitmap }
  | {
      readonly kind: "predict";
      readonly image: string;
      readonly prompts: Prompts;
      readonly token: string | null;
      readonly maxSide?: number;
      readonly isCorrected: boolean;
    }
  | { readonly kind: "everything"; readonly image: string };

export type ToWorker = { readonly id: number; readonly question: Question } | { readonly cancelled: number };

export type FromWorker =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string; readonly isSuperseded: boolean }
  | { readonly id: number; readonly done: number; readonly total: number };

const KEPT = 100; // masks whose logits may still be asked for

let loading: Promise<Model> | null = null; // where it failed, every question is answered with why
let encoded: { readonly name: string; readonly image: EncodedImage } | null = null; // one photo at a time
const keptLogits = new Map<string, Float32Array>();
let tokens = 0;
const cancelled = new Set<number>();
let previous: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if ("cancelled" in data) {
    cancelled.add(data.cancelled);
    return;
  }
  // One after another: the runtime computes one thing at a time.
  previous = previous.then(() => answer(data.id, data.question));
};

async function answer(id: number, question: Question): Promise<void> {
  const send = (message: FromWorker) => self.postMessage(message);
  try {
    await pause(id);
    send({ id, answer: await answers(id, question) });
  } catch (error) {
    send({ id, error: (error as Error).message, isSuperseded: error instanceof Superseded });
  }
  cancelled.delete(id);
}

async function answers(id: number, question: Question): Promise<unknown> {
  if (question.kind === "load") loading = fetchRuntime().then((runtime) => Model.load(question.manifest, runtime));
  const model = await loading!; // the page asks for it first
  switch (question.kind) {
    case "load":
      return null;
    case "encode":
      encoded = { name: question.image, image: await model.encode(question.picture) };
      keptLogits.clear();
      return null;
    case "predict":
      return predict(model, question);
    case "everything":
      return findEverything(
        model,
        encodedImage(question.image),
        (done, total) => self.postMessage({ id, done, total } satisfies FromWorker),
        () => pause(id),
      );
  }
}

async function predict(model: Model, question: Question & { kind: "predict" }): Promise<Candidate[]> {
  const { prompts, token, maxSide, isCorrected } = question;
  const image = encodedImage(question.image);
  const logits = await model.decode(image, prompts, (token !== null && keptLogits.get(token)) || null);
  return logits.masks.map((mask, index) => ({
    ...model.toMask(logits, index, image.geometry, maxSide),
    token: isCorrected ? keep(mask) : null,
  }));
}

function keep(logits: Float32Array): string {
  const token = String(++tokens);
  keptLogits.set(token, logits);
  if (keptLogits.size > KEPT) keptLogits.delete(keptLogits.keys().next().value!);
  return token;
}

function encodedImage(name: string): EncodedImage {
  if (encoded?.name !== name) throw new Superseded(); // another photo was opened
  return encoded.image;
}

/** Let messages in, such as that nobody waits for the answer any more. */
async function pause(id: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
  if (cancelled.has(id)) throw new Superseded();
}
