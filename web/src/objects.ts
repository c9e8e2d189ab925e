// What is on the photo: the objects kept and the one being made. States are never changed, only replaced, so undo is a
// list of them.

import { rleContains, rleIntersection } from "./rle.ts";
import type { BoxXyxy, Candidate, Mask, Point, Prompts } from "./types.ts";

export interface KeptObject {
  readonly id: number;
  readonly name: string;
  readonly colour: string;
  readonly isVisible: boolean;
  readonly mask: Mask;
  readonly prompts: Prompts;
}

/** The object being made or edited. */
export interface Draft {
  readonly prompts: Prompts;
  /** Of the mask that its newest point corrects; see `withPoint`. */
  readonly token: string | null;
  /** Empty until the engine has answered. */
  readonly candidates: readonly Candidate[];
  readonly chosen: number;
  /** The kept object that it replaces. */
  readonly editing: number | null;
}

export interface Objects {
  readonly kept: readonly KeptObject[];
  readonly draft: Draft;
  readonly nextId: number;
}

export const NO_PROMPTS: Prompts = { points: [], box: null };
const NO_DRAFT: Draft = { prompts: NO_PROMPTS, token: null, candidates: [], chosen: 0, editing: null };
export const NO_OBJECTS: Objects = { kept: [], draft: NO_DRAFT, nextId: 1 };

// Apart in hue and in lightness, and seen on light and dark photos.
export const COLOURS = [
  "#2f7df6", "#f2994a", "#21b573", "#e5484d", "#a66bff", "#f0c000", "#12b5cb", "#ff6fae", "#8fbf26", "#b5793b",
];

const SAME = 0.8; // IoU from which on two masks are one object

export function isEmpty(draft: Draft): boolean {
  return draft.prompts.points.length === 0 && draft.prompts.box === null && draft.editing === null;
}

/** That of the object which the draft is to be. */
export function draftColour({ draft, kept, nextId }: Objects): string {
  return kept.find((object) => object.id === draft.editing)?.colour ?? COLOURS[(nextId - 1) % COLOURS.length];
}

/** The mask of the draft, once there is one. */
export function draftMask(draft: Draft): Candidate | null {
  return draft.candidates[draft.chosen] ?? null;
}

/** Whether the draft has masks of all the image's pixels; those for the screen alone may be smaller. */
export function isWhole(draft: Draft, image: { readonly height: number; readonly width: number }): boolean {
  const mask = draftMask(draft);
  return mask !== null && mask.rle.size[0] === image.height && mask.rle.size[1] === image.width;
}

/** A point corrects the mask that the object has, which therefore goes into the model with it, as in SAM's training. */
export function withPoint(objects: Objects, point: Point): Objects {
  const { draft } = objects;
  const prompts = { ...draft.prompts, points: [...draft.prompts.points, point] };
  const token = draftMask(draft)?.token ?? draft.token;
  return { ...objects, draft: { ...draft, prompts, token, candidates: [], chosen: 0 } };
}

/** A box begins the object's mask afresh. */
export function withBox(objects: Objects, box: BoxXyxy): Objects {
  const prompts = { ...objects.draft.prompts, box };
  return { ...objects, draft: { ...objects.draft, prompts, token: null, candidates: [], chosen: 0 } };
}

/** Candidates of the draft's prompts; the same ones of another size leave the choice as it is. */
export function withAnswer(objects: Objects, candidates: readonly Candidate[]): Objects {
  return { ...objects, draft: { ...objects.draft, candidates } };
}

export function withChoice(objects: Objects, chosen: number): Objects {
  return { ...objects, draft: { ...objects.draft, chosen } };
}

/** The draft becomes an object, or replaces the one that it edits. */
export function keepDraft(objects: Objects): Objects {
  const { draft, kept } = objects;
  const mask = draftMask(draft);
  if (mask === null) return objects;
  if (draft.editing !== null) {
    const replaced = kept.map((object) =>
      object.id === draft.editing ? { ...object, mask, prompts: draft.prompts } : object,
    );
    return { ...objects, kept: replaced, draft: NO_DRAFT };
  }
  return { ...addKept(objects, [mask], [draft.prompts]), draft: NO_DRAFT };
}

export function dropDraft(objects: Objects): Objects {
  return { ...objects, draft: NO_DRAFT };
}

export function addKept(objects: Objects, masks: readonly Mask[], prompts: readonly Prompts[] = []): Objects {
  const added = masks.map((mask, index) => {
    const id = objects.nextId + index;
    const colour = COLOURS[(id - 1) % COLOURS.length];
    return { id, name: `Object ${id}`, colour, isVisible: true, mask, prompts: prompts[index] ?? NO_PROMPTS };
  });
  return { ...objects, kept: [...objects.kept, ...added], nextId: objects.nextId + added.length };
}

/** Those of the masks that no kept object is nearly the same as. */
export function withoutKnown(objects: Objects, masks: readonly Mask[]): Mask[] {
  return masks.filter((mask) =>
    objects.kept.every(({ mask: kept }) => {
      const both = rleIntersection(mask.rle, kept.rle);
      return both <= SAME * (mask.area + kept.area - both);
    }),
  );
}

/**
 * Begin to edit an object. One that "everything" found has no prompts, and the model has not its mask: its box stands in
 * for them.
 */
export function editKept(objects: Objects, id: number): Objects {
  const object = objects.kept.find((each) => each.id === id);
  if (object === undefined) return objects;
  const hasPrompts = object.prompts.points.length > 0 || object.prompts.box !== null;
  const prompts: Prompts = hasPrompts ? object.prompts : { points: [], box: object.mask.box };
  const candidate: Candidate = { token: null, ...object.mask };
  return { ...objects, draft: { prompts, token: null, candidates: [candidate], chosen: 0, editing: id } };
}

export function changeKept(objects: Objects, id: number, changes: Partial<KeptObject>): Objects {
  return { ...objects, kept: objects.kept.map((object) => (object.id === id ? { ...object, ...changes } : object)) };
}

export function removeKept(objects: Objects, id: number): Objects {
  const draft = objects.draft.editing === id ? NO_DRAFT : objects.draft;
  return { ...objects, kept: objects.kept.filter((object) => object.id !== id), draft };
}

/** The smallest visible object at a pixel: what lies upon another can be reached. */
export function keptAt(objects: Objects, x: number, y: number): KeptObject | null {
  const hit = objects.kept.filter((object) => object.isVisible && rleContains(object.mask.rle, x, y));
  return hit.sort((a, b) => a.mask.area - b.mask.area)[0] ?? null;
}

/** Undo and redo. */
export class History {
  private past: Objects[] = [];
  private future: Objects[] = [];

  constructor(private state: Objects = NO_OBJECTS) {}

  get now(): Objects {
    return this.state;
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  change(next: Objects): void {
    if (next === this.state) return;
    this.past.push(this.state);
    this.future = [];
    this.state = next;
  }

  /** Complete the state with what became known of it; no step. */
  amend(next: Objects): void {
    this.state = next;
  }

  undo(): boolean {
    const before = this.past.pop();
    if (before === undefined) return false;
    this.future.push(this.state);
    this.state = before;
    return true;
  }

  redo(): boolean {
    const after = this.future.pop();
    if (after === undefined) return false;
    this.past.push(this.state);
    this.state = after;
    return true;
  }
}
