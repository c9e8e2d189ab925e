// The keyboard's pointer: a cross on the photo, and the first corner of a box that was set there.

import { say } from "./messages.ts";
import type { Prompting } from "./prompting.ts";
import type { State } from "./state.ts";
import type { View } from "./view.ts";

export class Cross {
  private corner: { readonly x: number; readonly y: number } | null = null;

  constructor(
    private readonly state: State,
    private readonly view: View,
    private readonly prompting: Prompting,
    private readonly click: (x: number, y: number, adds: boolean, isShifted: boolean) => void,
  ) {}

  /** Move the cross by pixels of the screen; the first key shows it in the middle. */
  move(dx: number, dy: number): void {
    const { image } = this.state;
    if (image === null) return;
    const before = this.state.hints.cross;
    const cross =
      before === null
        ? { x: Math.floor(image.width / 2), y: Math.floor(image.height / 2) }
        : this.moved(before, dx, dy, image);
    this.state.setHints({ cross });
    if (this.corner !== null) this.prompting.drawBox(this.corner.x, this.corner.y, cross.x, cross.y, false);
    else this.prompting.hover(cross.x, cross.y);
  }

  /** By a pixel of the image at least, and not beyond it. */
  private moved(
    before: { readonly x: number; readonly y: number },
    dx: number,
    dy: number,
    { height, width }: { readonly height: number; readonly width: number },
  ): { x: number; y: number } {
    const from = this.view.toScreen(before.x, before.y);
    const to = this.view.toImage(from.x + dx, from.y + dy);
    const step = (value: number, old: number, direction: number, side: number) => {
      const whole = Math.round(value);
      const moved = direction !== 0 && whole === old ? old + Math.sign(direction) : whole;
      return Math.min(Math.max(moved, 0), side - 1);
    };
    return { x: step(to.x, before.x, dx, width), y: step(to.y, before.y, dy, height) };
  }

  act(adds: boolean, isShifted: boolean): void {
    const { cross } = this.state.hints;
    if (cross === null) this.move(0, 0);
    else this.click(cross.x, cross.y, adds, isShifted);
  }

  setCorner(): void {
    const { cross } = this.state.hints;
    if (cross === null) {
      this.move(0, 0);
    } else if (this.corner === null) {
      this.corner = cross;
      say("One corner of the box is set. Move the cross and press B again.");
    } else {
      const { x, y } = this.corner;
      this.corner = null;
      this.prompting.drawBox(x, y, cross.x, cross.y, true);
    }
  }

  get hasCorner(): boolean {
    return this.corner !== null;
  }

  cancelBox(): void {
    this.corner = null;
    this.state.setHints({ box: null });
  }

  hide(): void {
    if (this.state.hints.cross !== null && this.corner === null) this.state.setHints({ cross: null });
  }
}
