// The photos that can be opened, each with what was made on it.

import type { Connection } from "./connection.ts";
import { byId } from "./dom.ts";
import { say, showBusy } from "./messages.ts";
import { History } from "./objects.ts";
import { updatePhotos } from "./panel.ts";
import type { State } from "./state.ts";
import type { Engine } from "./types.ts";
import type { View } from "./view.ts";

interface Photo {
  readonly name: string;
  /** Where it comes from: a file, or the engine's own list. */
  readonly source: Blob | string;
  readonly history: History;
}

export class Photos {
  private readonly photos: Photo[];
  private shown: Photo | null = null;
  private opening: Photo | null = null; // the newest: one that comes later than it is overtaken

  constructor(
    private readonly engine: Engine,
    private readonly state: State,
    private readonly view: View,
    private readonly connection: Connection,
    private readonly onOpening: () => void,
    /** When it is open, or was refused and the photo before it stays. */
    private readonly onShown: () => void,
  ) {
    this.photos = engine.info.images.map(({ id, name }) => ({ name, source: id, history: new History() }));
    this.list();
  }

  get haveObjects(): boolean {
    return this.photos.some((photo) => photo.history.now.kept.length > 0);
  }

  openFirst(): void {
    if (this.photos.length > 0) void this.open(this.photos[0]);
  }

  openFile(file: Blob, name: string): Promise<void> {
    return this.open({ name, source: file, history: new History() });
  }

  private async open(photo: Photo): Promise<void> {
    this.onOpening();
    this.connection.forgive();
    this.opening = photo;
    showBusy(`Opening ${photo.name} …`);
    try {
      const { source, name } = photo;
      const image = await (typeof source === "string" ? this.engine.openListed(source) : this.engine.open(source, name));
      if (this.opening !== photo) return;
      if (!this.photos.includes(photo)) this.photos.push(photo);
      this.shown = photo;
      byId("start").hidden = true;
      for (const id of ["canvas", "tools", "status", "zoom"]) byId(id).hidden = false;
      this.state.open(image, photo.history);
      this.view.show(image);
      say(`${name}, ${image.width} × ${image.height} pixels. Click on something.`);
    } catch (error) {
      if (this.opening !== photo) return;
      this.connection.complain(error);
    }
    this.opening = null;
    showBusy(null);
    this.list();
    this.state.refresh();
    this.onShown();
  }

  private list(): void {
    updatePhotos(
      this.photos.map((photo) => ({ name: photo.name, isOpen: photo === this.shown })),
      (index) => void this.open(this.photos[index]),
    );
  }
}
