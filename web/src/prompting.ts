// Points and boxes, and the masks that the engine answers them with: of the object being made, and under the pointer.

import type { Connection } from "./connection.ts";
import { LatestOnly } from "./latest.ts";
import { describe, say, show } from "./messages.ts";
import * as change from "./objects.ts";
import type { State } from "./state.ts";
import { type Engine, type OpenedImage, type Prompts, Superseded, Unreachable } from "./types.ts";
import type { View } from "./view.ts";

const SCREEN_SIDE = 1024; // what a mask that is looked at needs at the most

/** What the engine is asked about the draft. */
interface Question {
  readonly prompts: Prompts;
  readonly control: AbortController;
  /** Whether the draft becomes an object as soon as its mask is there. */
  isToBeKept: boolean;
}

export class Prompting {
  private readonly hovers = new LatestOnly();
  private hovering: AbortController | null = null;
  private question: Question | null = null;

  constructor(
    private readonly engine: Engine,
    private readonly state: State,
    private readonly view: View,
    private readonly connection: Connection,
  ) {}

  addPoint(x: number, y: number, adds: boolean): void {
    this.prompt(change.withPoint(this.state.objects, { x, y, adds }));
  }

  /** A box being drawn between two places of the image, or done. */
  drawBox(x0: number, y0: number, x1: number, y1: number, isDone: boolean): void {
    if (this.state.image === null) return;
    const { height, width } = this.state.image;
    const edge = (value: number, side: number) => Math.min(Math.max(value, 0), side);
    const [left, right] = [edge(Math.floor(Math.min(x0, x1)), width), edge(Math.ceil(Math.max(x0, x1)), width)];
    const [top, bottom] = [edge(Math.floor(Math.min(y0, y1)), height), edge(Math.ceil(Math.max(y0, y1)), height)];
    const isBox = right > left && bottom > top;
    this.state.setHints({ hovered: null, box: isDone || !isBox ? null : [left, top, right, bottom] });
    if (isDone && isBox) this.prompt(change.withBox(this.state.objects, [left, top, right, bottom]));
  }

  private prompt(objects: change.Objects): void {
    this.hovers.clear();
    this.hovering?.abort();
    this.state.areMasksShown = true;
    this.state.change(objects);
    void this.predict();
  }

  /**
   * Ask for the draft's masks, unless they are there; a question that waits for its answer is overtaken. Of a large
   * photo masks for the screen come first, which take the same time whatever its size, and then those of its pixels.
   */
  async predict(): Promise<void> {
    this.stop();
    const { image, draft } = this.state;
    const { prompts } = draft;
    if (image === null || (prompts.points.length === 0 && prompts.box === null) || change.isWhole(draft, image)) return;
    const question = (this.question = { prompts, control: new AbortController(), isToBeKept: false });
    const isAsked = () => this.isAsking && this.question === question;
    const isLarge = Math.max(image.height, image.width) > SCREEN_SIDE;
    try {
      if (draft.candidates.length === 0) {
        this.view.canvas.setAttribute("aria-busy", "true");
        const milliseconds = await this.ask(image, question, isLarge ? SCREEN_SIDE : undefined);
        if (!isAsked()) return;
        this.sayMask(milliseconds);
        this.view.canvas.removeAttribute("aria-busy");
      }
      if (!change.isWhole(this.state.draft, image)) await this.ask(image, question);
      if (!isAsked()) return;
      this.stop();
      if (question.isToBeKept) this.keep();
    } catch (error) {
      if (!isAsked()) return;
      this.stop();
      if (error instanceof Superseded) {
        void this.predict(); // by a hover that was sent before and came later
        return;
      }
      // A server that comes back is asked again.
      if (!(error instanceof Unreachable) && this.state.draft.candidates.length === 0) this.state.history.undo();
      this.state.setHints({ hover: null });
      this.state.refresh();
      this.connection.complain(error);
    }
  }

  /** Ask once, and put the answer into the draft; the time it took. */
  private async ask(image: OpenedImage, { prompts, control: { signal } }: Question, maxSide?: number): Promise<number> {
    const { token } = this.state.draft;
    const size = maxSide === undefined ? {} : { maxSide };
    const options = { signal, token, isCorrected: true, ...size };
    const { candidates, milliseconds } = await this.engine.predict(image, prompts, options);
    if (this.isAsking && !signal.aborted) {
      this.state.history.amend(change.withAnswer(this.state.objects, candidates));
      this.state.setHints({ hover: null });
      this.state.refresh();
    }
    return milliseconds;
  }

  /** Whether the masks of what is being made are on their way. */
  private get isAsking(): boolean {
    return this.question !== null && this.question.prompts === this.state.draft.prompts;
  }

  /** Nobody waits for an answer any more. */
  stop(): void {
    this.question?.control.abort();
    this.question = null;
    this.hovers.clear();
    this.view.canvas.removeAttribute("aria-busy");
  }

  choose(index: number): void {
    const { draft, objects } = this.state;
    if (index >= draft.candidates.length || index === draft.chosen) return;
    this.state.change(change.withChoice(objects, index));
    this.sayMask();
  }

  /** The draft becomes an object, now or when the mask of the photo's pixels is there. */
  keep(): void {
    const { draft, objects, image } = this.state;
    const lacksWhole = image !== null && draft.candidates.length > 0 && !change.isWhole(draft, image);
    if (lacksWhole && !this.isAsking) void this.predict(); // nobody is on it after an error, or another photo
    if (this.question !== null && this.isAsking) {
      this.question.isToBeKept = true;
      return;
    }
    const next = change.keepDraft(objects);
    if (next === objects) return;
    this.state.change(next);
    const kept = draft.editing === null ? next.kept[next.kept.length - 1] : next.kept.find(({ id }) => id === draft.editing);
    say(`${kept?.name ?? "The object"} is kept.`);
    this.view.canvas.focus({ preventScroll: true });
  }

  discard(): void {
    if (change.isEmpty(this.state.draft)) return;
    this.stop();
    this.state.change(change.dropDraft(this.state.objects));
    say("Discarded.");
    this.view.canvas.focus({ preventScroll: true });
  }

  /** Show the mask under the pointer, at a place of the image. */
  hover(x: number, y: number): void {
    const { state } = this;
    const { image, history } = state;
    const at = state.pixelAt(x, y);
    const isFree = change.isEmpty(state.draft) && !state.isFinding && state.areMasksShown;
    if (image === null || at === null || !isFree) {
      this.leave();
      return;
    }
    const hovered = change.keptAt(state.objects, at.x, at.y);
    if (hovered !== null) {
      this.hovers.clear();
      if (state.hints.hovered !== hovered) show(`${hovered.name}. Click to edit it, Shift+click for a new object.`);
      state.setHints({ hovered, hover: null });
      return;
    }
    state.setHints({ hovered: null });
    if (this.connection.isLost) return;
    const isStillThere = () => state.history === history && !this.isAsking && change.isEmpty(state.draft);
    this.hovers.run(async () => {
      if (!isStillThere()) return;
      try {
        const prompts = { points: [{ ...at, adds: true }], box: null };
        const { signal } = (this.hovering = new AbortController());
        const maxSide = Math.min(SCREEN_SIDE, this.view.sideOnScreen);
        const { candidates, milliseconds } = await this.engine.predict(image, prompts, { signal, maxSide });
        if (!isStillThere() || state.hints.hovered !== null) return;
        state.setHints({ hover: candidates[0] ?? null });
        show(describe(candidates[0], image, milliseconds));
      } catch (error) {
        this.connection.complain(error);
      }
    });
  }

  /** The pointer is nowhere on the photo. */
  leave(): void {
    this.hovers.clear();
    if (!this.isAsking) this.state.setHints({ hover: null, hovered: null });
  }

  private sayMask(milliseconds?: number): void {
    const { draft, image } = this.state;
    const mask = change.draftMask(draft);
    if (mask === null || image === null) return;
    const which = draft.candidates.length > 1 ? ` Candidate ${draft.chosen + 1} of ${draft.candidates.length}.` : "";
    say(`${describe(mask, image, milliseconds)}${which}`, `${describe(mask, image)}${which}`);
  }
}
