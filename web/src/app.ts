// The page: its parts put together, and what clicks, keys and buttons do.

import { Connection } from "./connection.ts";
import { Cross } from "./cross.ts";
import { byId } from "./dom.ts";
import { Finding } from "./finding.ts";
import { say } from "./messages.ts";
import * as change from "./objects.ts";
import { Panel, updateButtons } from "./panel.ts";
import { Photos } from "./photos.ts";
import { Prompting } from "./prompting.ts";
import { showExport } from "./saving.ts";
import { State } from "./state.ts";
import type { Engine } from "./types.ts";
import { View } from "./view.ts";

export class App {
  readonly view = new View(byId<HTMLCanvasElement>("canvas"));
  readonly photos: Photos;
  readonly prompting: Prompting;
  readonly finding: Finding;
  readonly cross: Cross;
  private readonly state: State;
  private readonly connection: Connection;
  private readonly panel: Panel;

  constructor(private readonly engine: Engine) {
    const state = (this.state = new State({ hints: () => this.updateView(), all: () => this.refresh() }));
    this.panel = new Panel({
      choose: (index) => this.prompting.choose(index),
      edit: (id) => this.edit(id),
      change: (id, changes) => state.change(change.changeKept(state.objects, id, changes)),
      remove: (id) => this.remove(id),
    });
    this.connection = new Connection(engine, () => void this.prompting.predict());
    this.prompting = new Prompting(engine, state, this.view, this.connection);
    this.finding = new Finding(engine, state, this.connection, this.view.canvas);
    this.cross = new Cross(state, this.view, this.prompting, (...place) => this.act(...place));
    const leavePhoto = () => {
      this.prompting.stop();
      this.finding.stop();
    };
    // What was stopped on the way to a photo goes on: its draft may lack the masks of the photo's pixels.
    this.photos = new Photos(engine, state, this.view, this.connection, leavePhoto, () => void this.prompting.predict());
    byId("model").textContent = engine.info.model;
    byId("privacy").textContent = engine.info.isLocal
      ? "Everything happens in this browser. Your photo does not leave this computer."
      : "Your photo goes to the anymask server that this page came from, and nowhere else.";
    window.addEventListener("beforeunload", (event) => {
      if (state.isUnsaved && this.photos.haveObjects) event.preventDefault();
    });
    this.photos.openFirst();
  }

  /** What a click, or its key, at a place of the image does. */
  act(x: number, y: number, adds: boolean, isShifted: boolean): void {
    const { state } = this;
    const at = state.pixelAt(x, y);
    if (at === null) return;
    const mayEdit = change.isEmpty(state.draft) && !isShifted && state.areMasksShown;
    const under = mayEdit ? change.keptAt(state.objects, at.x, at.y) : null;
    if (under !== null) this.edit(under.id);
    else this.prompting.addPoint(at.x, at.y, adds && state.addsByClick);
  }

  /** Escape and its buttons: end what was begun last. */
  discard(): void {
    if (this.cross.hasCorner) this.cross.cancelBox();
    else if (this.state.isFinding) this.finding.stop();
    else this.prompting.discard();
  }

  edit(id: number): void {
    this.state.change(change.editKept(this.state.objects, id));
    say(`${this.nameOf(id)} is being edited: click to add, right click to take away.`);
  }

  remove(id = this.state.draft.editing): void {
    if (id === null) return;
    const name = this.nameOf(id);
    this.state.change(change.removeKept(this.state.objects, id));
    say(`${name} is deleted.`);
  }

  private nameOf(id: number): string | undefined {
    return this.state.objects.kept.find((object) => object.id === id)?.name;
  }

  everything(): void {
    this.prompting.leave();
    void this.finding.start();
  }

  toggleMasks(): void {
    const { state } = this;
    state.areMasksShown = !state.areMasksShown;
    say(state.areMasksShown ? "Masks are shown." : "Masks are hidden.");
    this.prompting.leave();
    state.refresh();
  }

  setAdds(adds: boolean): void {
    this.state.addsByClick = adds;
    this.state.refresh();
  }

  undo(): void {
    if (this.state.history.undo()) this.afterStep("Undone.");
  }

  redo(): void {
    if (this.state.history.redo()) this.afterStep("Redone.");
  }

  private afterStep(said: string): void {
    say(said);
    this.state.setHints({ hover: null, hovered: null });
    this.state.refresh();
    void this.prompting.predict();
  }

  export(): void {
    const { image, objects: { kept, draft } } = this.state;
    if (image === null) return;
    const made = change.isWhole(draft, image) ? change.draftMask(draft) : null;
    const visible = kept.filter((object) => object.isVisible);
    const alone = { name: "Object 1", colour: change.COLOURS[0], prompts: draft.prompts };
    const objects = visible.length > 0 || made === null ? visible : [{ ...alone, mask: made }];
    const { name, height, width } = image;
    showExport(
      { name, height, width, objects },
      () => this.engine.wholePicture(image),
      (saved) => {
        this.state.isUnsaved = false;
        say(`${saved} is written.`);
      },
      (error) => this.connection.complain(error),
    );
  }

  private refresh(): void {
    updateButtons(this.state);
    this.panel.update(this.state.objects, this.state.image);
    this.updateView();
  }

  private updateView(): void {
    this.view.update(this.state.objects, this.state.hints, this.state.areMasksShown);
  }
}
