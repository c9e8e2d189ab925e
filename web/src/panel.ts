// The lists beside the photo: candidates of the mask, kept objects, photos; and which buttons can be pressed.

import { button, byId, icon, iconButton, make } from "./dom.ts";
import { type Draft, draftMask, isEmpty, isWhole, type KeptObject, type Objects } from "./objects.ts";
import type { State } from "./state.ts";
import type { OpenedImage } from "./types.ts";
import { toPath } from "./view.ts";

export interface PanelActions {
  choose(index: number): void;
  edit(id: number): void;
  change(id: number, changes: Partial<KeptObject>): void;
  remove(id: number): void;
}

const THUMBNAIL = 84; // pixels, for 42 on the screen

export class Panel {
  private rows = new Map<number, { readonly row: HTMLLIElement; object: KeptObject; isEdited: boolean }>();
  private shown: Draft | null = null;

  constructor(private readonly actions: PanelActions) {}

  update(objects: Objects, image: OpenedImage | null): void {
    if (image !== null && this.shown !== objects.draft) this.updateCandidates(objects.draft, image);
    this.updateObjects(objects);
  }

  private updateCandidates(draft: Draft, image: OpenedImage): void {
    this.shown = draft;
    const list = byId("candidates");
    const choices = draft.candidates.length > 1 ? draft.candidates : [];
    const hadFocus = list.contains(document.activeElement);
    list.replaceChildren(
      ...choices.map((candidate, index) => {
        const name = `Candidate ${index + 1} of ${choices.length}, score ${candidate.score.toFixed(2)}`;
        const isChosen = String(index === draft.chosen);
        const choice = make("button", { type: "button", "aria-label": name, "aria-pressed": isChosen, title: name });
        choice.append(thumbnail(draft, index, image), candidate.score.toFixed(2));
        choice.addEventListener("click", () => this.actions.choose(index));
        return choice;
      }),
    );
    if (hadFocus) (list.children[draft.chosen] as HTMLElement | undefined)?.focus();
  }

  /** Rows that did not change stay, so that a name being typed keeps its cursor. */
  private updateObjects({ kept, draft }: Objects): void {
    byId("no-objects").hidden = kept.length > 0;
    const list = byId("objects");
    const ids = new Set(kept.map((object) => object.id));
    for (const [id, { row }] of this.rows) {
      if (!ids.has(id)) {
        const next = row.nextElementSibling ?? row.previousElementSibling;
        const hadFocus = row.contains(document.activeElement);
        row.remove();
        this.rows.delete(id);
        if (hadFocus) (next?.lastElementChild as HTMLElement | null | undefined)?.focus();
      }
    }
    kept.forEach((object, index) => {
      const isEdited = object.id === draft.editing;
      const before = this.rows.get(object.id);
      if (before?.object !== object || before.isEdited !== isEdited) {
        const focused = [...(before?.row.children ?? [])].indexOf(document.activeElement as Element);
        const row = this.makeRow(object, isEdited);
        if (before === undefined) list.insertBefore(row, list.children[index] ?? null);
        else before.row.replaceWith(row);
        this.rows.set(object.id, { row, object, isEdited });
        if (focused >= 0) (row.children[focused] as HTMLElement).focus();
      }
    });
  }

  private makeRow(object: KeptObject, isEdited: boolean): HTMLLIElement {
    const { id, name } = object;
    const colour = make("input", { type: "color", value: object.colour, "aria-label": `Colour of ${name}` });
    colour.addEventListener("change", () => this.actions.change(id, { colour: colour.value }));
    const text = make("input", { type: "text", value: name, "aria-label": `Name of object ${id}`, maxlength: "80" });
    text.addEventListener("change", () => this.actions.change(id, { name: text.value.trim() || name }));
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter") text.blur();
    });
    const shows = object.isVisible;
    const row = make(
      "li",
      isEdited ? { class: "is-edited" } : {},
      colour,
      text,
      iconButton(shows ? "shown" : "hidden", `${shows ? "Hide" : "Show"} ${name}`, () =>
        this.actions.change(id, { isVisible: !shows }),
      ),
      iconButton("edit", `Edit ${name}`, () => this.actions.edit(id)),
      iconButton("delete", `Delete ${name}`, () => this.actions.remove(id)),
    );
    return row;
  }
}

function thumbnail(draft: Draft, index: number, image: OpenedImage): HTMLCanvasElement {
  const canvas = make("canvas", { width: String(THUMBNAIL), height: String(THUMBNAIL), "aria-hidden": "true" });
  const context = canvas.getContext("2d")!;
  const mask = draft.candidates[index];
  // All of them show the same part: the largest mask with some room.
  const boxes = draft.candidates.map((candidate) => candidate.box);
  const [x0, y0] = [0, 1].map((i) => Math.min(...boxes.map((box) => box[i])));
  const [x1, y1] = [2, 3].map((i) => Math.max(...boxes.map((box) => box[i])));
  const side = 1.15 * Math.max(x1 - x0, y1 - y0, 8);
  const { path, scale } = toPath(mask.rle, image);
  const zoom = THUMBNAIL / side;
  context.setTransform(zoom, 0, 0, zoom, (side / 2 - (x0 + x1) / 2) * zoom, (side / 2 - (y0 + y1) / 2) * zoom);
  context.drawImage(image.picture, 0, 0, image.width, image.height);
  context.scale(scale, scale);
  context.fillStyle = "#3d8bffb0";
  context.fill(path, "evenodd");
  return canvas;
}

export interface ListedPhoto {
  readonly name: string;
  readonly isOpen: boolean;
}

export function updatePhotos(photos: readonly ListedPhoto[], open: (index: number) => void): void {
  byId("photos-section").hidden = photos.length < 2;
  const list = byId("photos");
  const hadFocus = list.contains(document.activeElement);
  list.replaceChildren(
    ...photos.map(({ name, isOpen }, index) => {
      const entry = make("button", { type: "button", "aria-current": String(isOpen) }, icon("photo"), name);
      entry.addEventListener("click", () => open(index));
      return make("li", {}, entry);
    }),
  );
  if (hadFocus) list.querySelector<HTMLElement>("[aria-current=true]")?.focus();
}

export function updateButtons({ image, history, objects, areMasksShown, addsByClick, isFinding }: State): void {
  const { kept, draft } = objects;
  const canExport = kept.some((object) => object.isVisible) || (image !== null && isWhole(draft, image));
  button("undo").disabled = !history.canUndo;
  button("redo").disabled = !history.canRedo;
  button("everything").disabled = image === null || isFinding;
  button("export").disabled = !canExport;
  button("keep").disabled = draftMask(draft) === null;
  button("discard").disabled = isEmpty(draft);
  button("show-all").disabled = kept.length === 0;
  button("show-all").textContent = areMasksShown ? "Hide all" : "Show all";
  button("adds").setAttribute("aria-pressed", String(addsByClick));
  button("takes").setAttribute("aria-pressed", String(!addsByClick));
  byId("keep-text").textContent = draft.editing === null ? "Keep" : "Keep changes";
  byId("objects-title").textContent = kept.length === 0 ? "Objects" : `Objects (${kept.length})`;
  byId("progress").hidden = !isFinding;
}
