// "Everything": its progress, its end, and what it found.

import type { Connection } from "./connection.ts";
import { button, byId } from "./dom.ts";
import { say } from "./messages.ts";
import * as change from "./objects.ts";
import type { State } from "./state.ts";
import { type Engine, Superseded } from "./types.ts";

export class Finding {
  private control: AbortController | null = null;

  constructor(
    private readonly engine: Engine,
    private readonly state: State,
    private readonly connection: Connection,
    private readonly canvas: HTMLCanvasElement,
  ) {}

  async start(): Promise<void> {
    const { image } = this.state;
    if (image === null || this.control !== null) return;
    const control = (this.control = new AbortController());
    this.showProgress();
    say("Finding everything.");
    const hadFocus = document.activeElement === button("everything");
    this.setFinding(true);
    if (hadFocus) button("cancel").focus(); // the other button is disabled now
    try {
      const masks = await this.engine.everything(image, (done, total) => this.showProgress(done, total), control.signal);
      if (this.state.image !== image) return;
      const added = change.withoutKnown(this.state.objects, masks).sort((a, b) => b.area - a.area);
      this.state.change(change.addKept(change.dropDraft(this.state.objects), added));
      say(added.length === 1 ? "Found one more object." : `Found ${added.length} more objects.`);
    } catch (error) {
      if (error instanceof Superseded) say("Stopped.");
      else this.connection.complain(error);
    } finally {
      this.control = null;
      if (document.activeElement === button("cancel")) this.canvas.focus({ preventScroll: true });
      this.setFinding(false);
    }
  }

  stop(): void {
    this.control?.abort();
  }

  private setFinding(isFinding: boolean): void {
    this.state.isFinding = isFinding;
    this.state.refresh();
  }

  private showProgress(done?: number, total?: number): void {
    const bar = byId<HTMLProgressElement>("progress-bar");
    if (done === undefined || total === undefined) bar.removeAttribute("value");
    else [bar.max, bar.value] = [total, done];
    byId("progress-text").textContent = done === undefined ? "Finding everything" : `${done} of ${total} points`;
  }
}
