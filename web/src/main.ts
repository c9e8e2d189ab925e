// Starts the page: finds the engine, and joins buttons, pointer, keys, clipboard and drops to the app.

import { App } from "./app.ts";
import { BrowserEngine } from "./engine-browser.ts";
import { ServerEngine } from "./engine-server.ts";
import { button, byId } from "./dom.ts";
import { listenToKeys } from "./keys.ts";
import { listenToPointer } from "./pointer.ts";
import type { Engine } from "./types.ts";

async function connect(): Promise<Engine> {
  // The server says that it is one, a plain folder says which model lies in it.
  const manifest = await (await fetch("manifest.json")).json();
  return manifest.engine === "server" ? ServerEngine.connect() : BrowserEngine.connect(manifest);
}

function start(engine: Engine): void {
  const app = new App(engine);
  joinButtons(app);
  joinFiles(app);
  const help = byId<HTMLDialogElement>("help-dialog");
  const place = (x: number, y: number) => app.view.toImage(x, y);
  listenToPointer(app.view.canvas, {
    click: (x, y, adds, isShifted) => {
      app.cross.hide();
      const at = place(x, y);
      app.act(at.x, at.y, adds, isShifted);
    },
    hover: (x, y) => {
      app.cross.hide();
      const at = place(x, y);
      app.prompting.hover(at.x, at.y);
    },
    leave: () => app.prompting.leave(),
    dragged: (x0, y0, x1, y1, isDone) => {
      const [from, to] = [place(x0, y0), place(x1, y1)];
      app.prompting.drawBox(from.x, from.y, to.x, to.y, isDone);
    },
    cancelled: () => app.cross.cancelBox(),
    zoom: (factor, x, y) => app.view.zoom(factor, x, y),
    pan: (dx, dy) => app.view.pan(dx, dy),
  });
  listenToKeys(app.view.canvas, {
    moveCross: (dx, dy) => app.cross.move(dx, dy),
    act: (adds, isShifted) => app.cross.act(adds, isShifted),
    corner: () => app.cross.setCorner(),
    choose: (index) => app.prompting.choose(index),
    keep: () => app.prompting.keep(),
    discard: () => app.discard(),
    remove: () => app.remove(),
    everything: () => app.everything(),
    toggleMasks: () => app.toggleMasks(),
    zoom: (factor) => app.view.zoom(factor),
    fit: () => app.view.fit(),
    undo: () => app.undo(),
    redo: () => app.redo(),
    open: () => byId("file").click(),
    help: () => help.showModal(),
  });
}

function joinButtons(app: App): void {
  const actions: Readonly<Record<string, () => void>> = {
    open: () => byId("file").click(),
    choose: () => byId("file").click(),
    everything: () => app.everything(),
    cancel: () => app.discard(),
    undo: () => app.undo(),
    redo: () => app.redo(),
    export: () => app.export(),
    help: () => byId<HTMLDialogElement>("help-dialog").showModal(),
    adds: () => app.setAdds(true),
    takes: () => app.setAdds(false),
    keep: () => app.prompting.keep(),
    discard: () => app.discard(),
    "show-all": () => app.toggleMasks(),
    "zoom-in": () => app.view.zoom(1.25),
    "zoom-out": () => app.view.zoom(0.8),
    "zoom-fit": () => app.view.fit(),
  };
  for (const [id, action] of Object.entries(actions)) button(id).addEventListener("click", action);
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // beside it
    });
  }
}

function joinFiles(app: App): void {
  const open = (files: FileList | null | undefined) => {
    const file = files?.[0];
    if (file !== undefined) void app.photos.openFile(file, file.name);
  };
  const input = byId<HTMLInputElement>("file");
  input.addEventListener("change", () => {
    open(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => open(event.clipboardData?.files));
  const drop = byId("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.hidden = !(event.dataTransfer?.types.includes("Files") ?? false);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.hidden = true;
    open(event.dataTransfer?.files);
  });
}

connect().then(start, () => {
  byId("problem").textContent = "This page needs anymask demo, or a web server, behind it: start it, and load the page again.";
  byId("problem").hidden = false;
});
