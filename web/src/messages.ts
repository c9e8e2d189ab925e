// What the page says: in the line below the photo, to screen readers, and in the bar of problems.

import { byId } from "./dom.ts";
import type { OpenedImage } from "./types.ts";

/** On the screen alone. */
export function show(text: string): void {
  byId("status").textContent = text;
}

/** On the screen, and aloud where there is a screen reader. */
export function say(text: string, aloud = text): void {
  show(text);
  byId("live").textContent = aloud;
}

/** What is being done that must be waited for; null when it is over. */
export function showBusy(text: string | null): void {
  byId("busy").hidden = text === null;
  byId("busy-text").textContent = text;
  byId("stage").setAttribute("aria-busy", String(text !== null));
}

export function showProblem(text: string): void {
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

export function hideProblem(): void {
  byId("problem").hidden = true;
}

export function describe(
  mask: { readonly area: number; readonly score: number } | undefined,
  image: OpenedImage,
  milliseconds?: number,
): string {
  if (mask === undefined || mask.area === 0) return "Nothing is there.";
  const share = (100 * mask.area) / (image.height * image.width);
  const time = milliseconds === undefined ? "" : ` (${Math.round(milliseconds)} ms)`;
  return `Mask of ${share.toPrecision(share < 10 ? 2 : 3)} % of the photo, score ${mask.score.toFixed(2)}.${time}`;
}
