// The page: what happens when somebody clicks, types, drops a photo, or the engine answers.

import { button, byId } from "./dom.ts";
import { LatestOnly } from "./latest.ts";
import * as change from "./objects.ts";
import { Panel, updatePhotos } from "./panel.ts";
import { showExport } from "./saving.ts";
import { type Engine, type OpenedImage, Superseded, Unreachable } from "./types.ts";
import { type Hints, NO_HINTS, View } from "./view.ts";

/** A photo that can be opened, and what was made on it. */
interface Photo {
  readonly name: string;
  /** Where it comes from: a file, or the engine's own list. */
  readonly source: Blob | string;
  readonly history: change.History;
}

const PING = 1000; // ms between two questions whether the server is back
const HOVER_SIDE = 1024; // what a mask that is only looked at needs at the most

export class App {
  readonly canvas = byId<HTMLCanvasElement>("canvas");
  private readonly view = new View(this.canvas);
  private readonly panel: Panel;
  private readonly hovers = new LatestOnly();
  private readonly photos: Photo[];
  private photo: Photo | null = null;
  private opening: Photo | null = null; // the newest: one that comes later than it is overtaken
  private image: OpenedImage | null = null;
  private history = new change.History();
  private hints: Hints = NO_HINTS;
  private areMasksShown = true;
  private addsByClick = true;
  private corner: { x: number; y: number } | null = null; // the first, of a box by keyboard
  private hovering: AbortController | null = null;
  private predicting: AbortController | null = null;
  private finding: AbortController | null = null; // everything
  private isLost = false;
  private isUnsaved = false;

  constructor(private readonly engine: Engine) {
    this.photos = engine.info.images.map(({ id, name }) => ({ name, source: id, history: new change.History() }));
    this.panel = new Panel({
      choose: (index) => this.choose(index),
      edit: (id) => this.edit(id),
      change: (id, changes) => this.change(change.changeKept(this.objects, id, changes)),
      remove: (id) => this.remove(id),
    });
    byId("model").textContent = engine.info.model;
    byId("privacy").textContent = engine.info.isLocal
      ? "Everything happens in this browser. Your photo does not leave this computer."
      : "Your photo goes to the anymask server that this page came from, and nowhere else.";
    window.addEventListener("beforeunload", (event) => {
      if (this.isUnsaved) event.preventDefault();
    });
    this.listPhotos();
    if (this.photos.length > 0) void this.openPhoto(this.photos[0]);
  }

  // Photos

  openFile(file: Blob, name: string): Promise<void> {
    return this.openPhoto({ name, source: file, history: new change.History() });
  }

  private async openPhoto(photo: Photo): Promise<void> {
    this.predicting?.abort();
    this.finding?.abort();
    this.hovers.clear();
    this.hideProblem();
    this.opening = photo;
    this.setBusy(`Opening ${photo.name} …`);
    try {
      const { source, name } = photo;
      const image = await (typeof source === "string" ? this.engine.openListed(source) : this.engine.open(source, name));
      if (this.opening !== photo) return;
      if (!this.photos.includes(photo)) this.photos.push(photo);
      [this.photo, this.image, this.history] = [photo, image, photo.history];
      byId("start").hidden = true;
      for (const id of ["canvas", "tools", "status", "zoom"]) byId(id).hidden = false;
      this.setHints(NO_HINTS);
      this.view.show(image);
      this.say(`${name}, ${image.width} × ${image.height} pixels. Click on something.`);
    } catch (error) {
      if (this.opening !== photo) return;
      this.complain(error);
    }
    this.opening = null;
    this.setBusy(null);
    this.listPhotos();
    this.refresh();
  }

  private listPhotos(): void {
    updatePhotos(
      this.photos.map((photo) => ({ name: photo.name, isOpen: photo === this.photo })),
      (index) => void this.openPhoto(this.photos[index]),
    );
  }

  // Prompts

  /** What a click, or its key, at a place of the image does. */
  act(x: number, y: number, adds: boolean, isShifted: boolean): void {
    const at = this.pixelAt(x, y);
    if (at === null) return;
    const under = change.isEmpty(this.draft) && !isShifted && this.areMasksShown ? change.keptAt(this.objects, at.x, at.y) : null;
    if (under !== null) this.edit(under.id);
    else this.prompt(change.withPoint(this.objects, { ...at, adds: adds && this.addsByClick }));
  }

  drawBox(x0: number, y0: number, x1: number, y1: number, isDone: boolean): void {
    if (this.image === null) return;
    const { height, width } = this.image;
    const edge = (value: number, side: number) => Math.min(Math.max(value, 0), side);
    const [left, right] = [edge(Math.floor(Math.min(x0, x1)), width), edge(Math.ceil(Math.max(x0, x1)), width)];
    const [top, bottom] = [edge(Math.floor(Math.min(y0, y1)), height), edge(Math.ceil(Math.max(y0, y1)), height)];
    const isBox = right > left && bottom > top;
    this.setHints({ ...this.hints, hovered: null, box: isDone || !isBox ? null : [left, top, right, bottom] });
    if (isDone && isBox) this.prompt(change.withBox(this.objects, [left, top, right, bottom]));
  }

  cancelBox(): void {
    this.corner = null;
    this.setHints({ ...this.hints, box: null });
  }

  private prompt(objects: change.Objects): void {
    this.hovers.clear();
    this.hovering?.abort();
    this.areMasksShown = true;
    this.change(objects);
    void this.predict();
  }

  /** Ask for the draft's mask, unless it is there; a question that waits for its answer is overtaken. */
  private async predict(): Promise<void> {
    this.predicting?.abort();
    this.predicting = null;
    const draft = this.draft;
    const hasPrompts = draft.prompts.points.length > 0 || draft.prompts.box !== null;
    if (this.image === null || draft.candidates.length > 0 || !hasPrompts) return;
    const control = (this.predicting = new AbortController());
    this.canvas.setAttribute("aria-busy", "true");
    try {
      const options = { signal: control.signal, token: draft.token };
      const { candidates, milliseconds } = await this.engine.predict(this.image, draft.prompts, options);
      if (this.predicting !== control) return;
      this.history.amend(change.withAnswer(this.objects, candidates));
      this.sayMask(milliseconds);
    } catch (error) {
      if (this.predicting !== control) return;
      if (error instanceof Superseded) {
        void this.predict(); // by a hover that was sent before and came later
        return;
      }
      if (!(error instanceof Unreachable)) this.history.undo(); // a server that comes back is asked again
      this.complain(error);
    } finally {
      if (this.predicting === control) {
        this.predicting = null;
        this.canvas.removeAttribute("aria-busy");
        this.setHints({ ...this.hints, hover: null });
        this.refresh();
      }
    }
  }

  // What is under the pointer

  hover(x: number, y: number): void {
    const image = this.image;
    const at = this.pixelAt(x, y);
    const isFree = change.isEmpty(this.draft) && this.finding === null && this.areMasksShown;
    if (image === null || at === null || !isFree) {
      this.leave();
      return;
    }
    const hovered = change.keptAt(this.objects, at.x, at.y);
    if (hovered !== null) {
      this.hovers.clear();
      if (this.hints.hovered !== hovered) this.show(`${hovered.name}. Click to edit it, Shift+click for a new object.`);
      this.setHints({ ...this.hints, hovered, hover: null });
      return;
    }
    this.setHints({ ...this.hints, hovered: null });
    if (this.isLost) return;
    const history = this.history;
    const isStillThere = () => this.history === history && this.predicting === null && change.isEmpty(this.draft);
    this.hovers.run(async () => {
      if (!isStillThere()) return;
      try {
        const prompts = { points: [{ ...at, adds: true }], box: null };
        const control = (this.hovering = new AbortController());
        const options = { signal: control.signal, maxSide: Math.min(HOVER_SIDE, this.view.sideOnScreen) };
        const { candidates, milliseconds } = await this.engine.predict(image, prompts, options);
        if (!isStillThere() || this.hints.hovered !== null) return;
        this.setHints({ ...this.hints, hover: candidates[0] ?? null });
        this.show(describe(candidates[0], image, milliseconds));
      } catch (error) {
        this.complain(error);
      }
    });
  }

  leave(): void {
    this.hovers.clear();
    if (this.predicting === null) this.setHints({ ...this.hints, hover: null, hovered: null });
  }

  // The keyboard's pointer

  /** Move the cross by pixels of the screen; the first key shows it in the middle. */
  moveCross(dx: number, dy: number): void {
    if (this.image === null) return;
    const { width, height } = this.image;
    const before = this.hints.cross;
    const middle = { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    const from = this.view.toScreen(before?.x ?? middle.x, before?.y ?? middle.y);
    const to = before === null ? middle : this.view.toImage(from.x + dx, from.y + dy);
    const step = (value: number, old: number, direction: number, side: number) => {
      const whole = Math.round(value);
      const moved = direction !== 0 && whole === old ? old + Math.sign(direction) : whole;
      return Math.min(Math.max(moved, 0), side - 1);
    };
    const cross = before === null ? middle : { x: step(to.x, before.x, dx, width), y: step(to.y, before.y, dy, height) };
    this.setHints({ ...this.hints, cross });
    if (this.corner !== null) this.drawBox(this.corner.x, this.corner.y, cross.x, cross.y, false);
    else this.hover(cross.x, cross.y);
  }

  actAtCross(adds: boolean, isShifted: boolean): void {
    if (this.hints.cross === null) this.moveCross(0, 0);
    else this.act(this.hints.cross.x, this.hints.cross.y, adds, isShifted);
  }

  cornerAtCross(): void {
    const cross = this.hints.cross;
    if (cross === null) {
      this.moveCross(0, 0);
    } else if (this.corner === null) {
      this.corner = cross;
      this.say("One corner of the box is set. Move the cross and press B again.");
    } else {
      const { x, y } = this.corner;
      this.corner = null;
      this.drawBox(x, y, cross.x, cross.y, true);
    }
  }

  hideCross(): void {
    if (this.hints.cross !== null && this.corner === null) this.setHints({ ...this.hints, cross: null });
  }

  // Objects

  choose(index: number): void {
    if (index >= this.draft.candidates.length || index === this.draft.chosen) return;
    this.change(change.withChoice(this.objects, index));
    this.sayMask();
  }

  keep(): void {
    const { editing } = this.draft;
    const next = change.keepDraft(this.objects);
    if (next === this.objects) return;
    this.change(next);
    const kept = editing === null ? next.kept[next.kept.length - 1] : next.kept.find(({ id }) => id === editing);
    this.say(`${kept?.name ?? "The object"} is kept.`);
    this.canvas.focus({ preventScroll: true });
  }

  discard(): void {
    if (this.corner !== null) this.cancelBox();
    else if (this.finding !== null) this.finding.abort();
    else if (!change.isEmpty(this.draft)) {
      this.predicting?.abort();
      this.predicting = null;
      this.change(change.dropDraft(this.objects));
      this.say("Discarded.");
      this.canvas.focus({ preventScroll: true });
    }
  }

  edit(id: number): void {
    this.change(change.editKept(this.objects, id));
    const name = this.objects.kept.find((object) => object.id === id)?.name;
    this.say(`${name} is being edited: click to add, right click to take away.`);
  }

  remove(id = this.draft.editing): void {
    if (id === null) return;
    const name = this.objects.kept.find((object) => object.id === id)?.name;
    this.change(change.removeKept(this.objects, id));
    this.say(`${name} is deleted.`);
  }

  async everything(): Promise<void> {
    if (this.image === null || this.finding !== null) return;
    const image = this.image;
    const control = (this.finding = new AbortController());
    const bar = byId<HTMLProgressElement>("progress-bar");
    bar.removeAttribute("value");
    byId("progress-text").textContent = "Finding everything";
    this.leave();
    this.say("Finding everything.");
    const hadFocus = document.activeElement === button("everything");
    this.refresh();
    if (hadFocus) button("cancel").focus(); // the other button is disabled now
    try {
      const onProgress = (done: number, total: number) => {
        [bar.max, bar.value] = [total, done];
        byId("progress-text").textContent = `${done} of ${total} points`;
      };
      const masks = await this.engine.everything(image, onProgress, control.signal);
      if (this.image !== image) return;
      const added = change.withoutKnown(this.objects, masks).sort((a, b) => b.area - a.area);
      this.change(change.addKept(change.dropDraft(this.objects), added));
      this.say(added.length === 1 ? "Found one more object." : `Found ${added.length} more objects.`);
    } catch (error) {
      if (error instanceof Superseded) this.say("Stopped.");
      else this.complain(error);
    } finally {
      if (this.finding === control) this.finding = null;
      if (document.activeElement === button("cancel")) this.canvas.focus({ preventScroll: true });
      this.refresh();
    }
  }

  toggleMasks(): void {
    this.areMasksShown = !this.areMasksShown;
    this.say(this.areMasksShown ? "Masks are shown." : "Masks are hidden.");
    this.leave();
    this.refresh();
  }

  setAdds(adds: boolean): void {
    this.addsByClick = adds;
    this.refresh();
  }

  // History

  undo(): void {
    this.step(this.history.undo(), "Undone.");
  }

  redo(): void {
    this.step(this.history.redo(), "Redone.");
  }

  private step(isDone: boolean, said: string): void {
    if (!isDone) return;
    this.say(said);
    this.setHints({ ...this.hints, hover: null, hovered: null });
    this.refresh();
    void this.predict();
  }

  export(): void {
    const image = this.image;
    if (image === null) return;
    const { kept, draft } = this.objects;
    const made = change.draftMask(draft);
    const visible = kept.filter((object) => object.isVisible);
    const alone = { name: "Object 1", colour: change.COLOURS[0], prompts: draft.prompts };
    const objects = visible.length > 0 || made === null ? visible : [{ ...alone, mask: made }];
    const { name, height, width } = image;
    showExport(
      { name, height, width, objects },
      () => this.engine.wholePicture(image),
      (saved) => {
        this.isUnsaved = false;
        this.say(`${saved} is written.`);
      },
      (error) => this.complain(error),
    );
  }

  // The view

  zoom(factor: number, x?: number, y?: number): void {
    this.view.zoom(factor, x, y);
  }

  pan(dx: number, dy: number): void {
    this.view.pan(dx, dy);
  }

  fit(): void {
    this.view.fit();
  }

  toImage(x: number, y: number): { x: number; y: number } {
    return this.view.toImage(x, y);
  }

  private get objects(): change.Objects {
    return this.history.now;
  }

  private get draft(): change.Draft {
    return this.history.now.draft;
  }

  private change(objects: change.Objects): void {
    this.history.change(objects);
    this.isUnsaved = this.photos.some((photo) => photo.history.now.kept.length > 0);
    this.setHints({ ...this.hints, hovered: null });
    this.refresh();
  }

  private setHints(hints: Hints): void {
    this.hints = hints;
    this.view.update(this.objects, hints, this.areMasksShown);
  }

  private refresh(): void {
    const { kept, draft } = this.objects;
    const made = change.draftMask(draft);
    button("undo").disabled = !this.history.canUndo;
    button("redo").disabled = !this.history.canRedo;
    button("everything").disabled = this.image === null || this.finding !== null;
    button("export").disabled = made === null && !kept.some((object) => object.isVisible);
    button("keep").disabled = made === null;
    button("discard").disabled = change.isEmpty(draft);
    button("show-all").disabled = kept.length === 0;
    button("show-all").textContent = this.areMasksShown ? "Hide all" : "Show all";
    button("adds").setAttribute("aria-pressed", String(this.addsByClick));
    button("takes").setAttribute("aria-pressed", String(!this.addsByClick));
    byId("keep-text").textContent = draft.editing === null ? "Keep" : "Keep changes";
    byId("objects-title").textContent = kept.length === 0 ? "Objects" : `Objects (${kept.length})`;
    byId("progress").hidden = this.finding === null;
    this.panel.update(this.objects, this.image);
    this.view.update(this.objects, this.hints, this.areMasksShown);
  }

  /** The pixel at a place of the image, null outside. */
  private pixelAt(x: number, y: number): { x: number; y: number } | null {
    const at = { x: Math.floor(x), y: Math.floor(y) };
    const isInside = this.image !== null && at.x >= 0 && at.y >= 0 && at.x < this.image.width && at.y < this.image.height;
    return isInside ? at : null;
  }

  // What the page says

  /** On the screen alone. */
  private show(text: string): void {
    byId("status").textContent = text;
  }

  /** On the screen, and aloud where there is a screen reader. */
  private say(text: string): void {
    this.show(text);
    byId("live").textContent = text;
  }

  private sayMask(milliseconds?: number): void {
    const { candidates, chosen } = this.draft;
    const mask = change.draftMask(this.draft);
    if (mask === null || this.image === null) return;
    const which = candidates.length > 1 ? ` Candidate ${chosen + 1} of ${candidates.length}.` : "";
    byId("live").textContent = `${describe(mask, this.image)}${which}`;
    this.show(`${describe(mask, this.image, milliseconds)}${which}`);
  }

  private setBusy(text: string | null): void {
    byId("busy").hidden = text === null;
    byId("busy-text").textContent = text;
    byId("stage").setAttribute("aria-busy", String(text !== null));
  }

  private complain(error: unknown): void {
    if (error instanceof Superseded) return;
    if (error instanceof Unreachable) {
      void this.waitForServer();
      return;
    }
    byId("problem").textContent = error instanceof Error ? error.message : String(error);
    byId("problem").hidden = false;
  }

  private hideProblem(): void {
    if (!this.isLost) byId("problem").hidden = true;
  }

  private async waitForServer(): Promise<void> {
    if (this.isLost) return;
    this.isLost = true;
    byId("problem").textContent = "The server does not answer. What you made is still here; the page goes on when it is back.";
    byId("problem").hidden = false;
    while (this.isLost) {
      await new Promise((resolve) => setTimeout(resolve, PING));
      await this.engine.ping().then(
        () => (this.isLost = false),
        () => {},
      );
    }
    this.hideProblem();
    this.say("The server is back.");
    void this.predict();
  }
}

function describe(mask: { area: number; score: number } | undefined, image: OpenedImage, milliseconds?: number): string {
  if (mask === undefined || mask.area === 0) return "Nothing is there.";
  const share = (100 * mask.area) / (image.height * image.width);
  const time = milliseconds === undefined ? "" : ` (${Math.round(milliseconds)} ms)`;
  return `Mask of ${share.toPrecision(share < 10 ? 2 : 3)} % of the photo, score ${mask.score.toFixed(2)}.${time}`;
}
