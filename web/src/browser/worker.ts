// The worker that holds the model, so that the page stays quick: questions and answers as messages.

import { type FedBack, type Mask, type Prompts, Superseded } from "../types.ts";
import { findEverything } from "./everything.ts";
import { type EncodedImage, fetchRuntime, type Logits, type Manifest, Model } from "./model.ts";

export type Question =
  | { readonly kind: "load"; readonly manifest: Manifest }
  | { readonly kind: "encode"; readonly image: string; readonly picture: ImageBitmap }
  | {
      readonly kind: "predict";
      readonly image: string;
      readonly prompts: Prompts;
      readonly fedBack: FedBack | null;
      readonly maxSide?: number;
    }
  | { readonly kind: "everything"; readonly image: string };

export type ToWorker = { readonly id: number; readonly question: Question } | { readonly cancelled: number };

export type FromWorker =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string; readonly isSuperseded: boolean }
  | { readonly id: number; readonly done: number; readonly total: number };

export interface PredictAnswer {
  readonly masks: readonly Mask[];
  readonly token: string;
}

const KEPT = 32; // predictions whose logits may still be asked for

let model: Model;
let encoded: { readonly name: string; readonly image: EncodedImage } | null = null; // one photo at a time
const predictions = new Map<string, Logits>();
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
  switch (question.kind) {
    case "load":
      model = await Model.load(question.manifest, await fetchRuntime());
      return null;
    case "encode":
      encoded = { name: question.image, image: await model.encode(question.picture) };
      predictions.clear();
      return null;
    case "predict":
      return predict(question);
    case "everything":
      return findEverything(
        model,
        encodedImage(question.image),
        (done, total) => self.postMessage({ id, done, total } satisfies FromWorker),
        () => pause(id),
      );
  }
}

async function predict(question: Question & { kind: "predict" }): Promise<PredictAnswer> {
  const { prompts, fedBack, maxSide } = question;
  const image = encodedImage(question.image);
  const before = fedBack === null ? undefined : predictions.get(fedBack.token);
  const logits = await model.decode(image, prompts, before?.masks[fedBack!.index] ?? null);
  const token = String(Math.random());
  if (maxSide === undefined) predictions.set(token, logits);
  if (predictions.size > KEPT) predictions.delete(predictions.keys().next().value!);
  return { token, masks: logits.masks.map((_, index) => model.toMask(logits, index, image.geometry, maxSide)) };
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
