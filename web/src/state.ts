// What the page shows: the photo, what is on it, and what is under the pointer.

import * as change from "./objects.ts";
import type { OpenedImage } from "./types.ts";
import { type Hints, NO_HINTS } from "./view.ts";

export interface Drawing {
  /** After a change of `hints` alone, which come with every move of the pointer. */
  hints(): void;
  /** After any other. */
  all(): void;
}

export class State {
  image: OpenedImage | null = null;
  history = new change.History();
  hints: Hints = NO_HINTS;
  areMasksShown = true;
  /** Whether a click of the left button adds. */
  addsByClick = true;
  /** Whether "everything" is on its way. */
  isFinding = false;
  /** Whether something changed since a file was written. */
  isUnsaved = false;

  constructor(private readonly drawing: Drawing) {}

  get objects(): change.Objects {
    return this.history.now;
  }

  get draft(): change.Draft {
    return this.history.now.draft;
  }

  open(image: OpenedImage, history: change.History): void {
    [this.image, this.history] = [image, history];
    this.setHints(NO_HINTS);
  }

  /** A step that can be undone. */
  change(objects: change.Objects): void {
    this.history.change(objects);
    this.isUnsaved = true;
    this.setHints({ hovered: null });
    this.refresh();
  }

  setHints(changes: Partial<Hints>): void {
    this.hints = { ...this.hints, ...changes };
    this.drawing.hints();
  }

  refresh(): void {
    this.drawing.all();
  }

  /** The pixel at a place of the image, null outside. */
  pixelAt(x: number, y: number): { x: number; y: number } | null {
    const at = { x: Math.floor(x), y: Math.floor(y) };
    const isInside = this.image !== null && at.x >= 0 && at.y >= 0 && at.x < this.image.width && at.y < this.image.height;
    return isInside ? at : null;
  }
}
