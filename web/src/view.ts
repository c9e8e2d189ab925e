// The photo on the screen: where it lies, and what is drawn on it.

import { draftColour, draftMask, type KeptObject, type Objects } from "./objects.ts";
import { outlinesToPath, traceOutlines } from "./outline.ts";
import { resizeRle } from "./rle.ts";
import type { BoxXyxy, Mask, OpenedImage, Rle } from "./types.ts";

/** What is on the screen for a moment. */
export interface Hints {
  /** Under the pointer. */
  readonly hover: Mask | null;
  /** An object under the pointer, that a click would edit. */
  readonly hovered: KeptObject | null;
  /** Being drawn. */
  readonly box: BoxXyxy | null;
  /** The keyboard's pointer, in pixels of the image. */
  readonly cross: { readonly x: number; readonly y: number } | null;
}

export const NO_HINTS: Hints = { hover: null, hovered: null, box: null, cross: null };

const MOST_ZOOM = 16; // screen pixels for one of the image
const SHARP_ZOOM = 8; // from here on pixels are seen as squares
const MARGIN = 12;
const PATH_SIDE = 2048; // outlines of larger masks are traced in a smaller copy

export class View {
  private readonly context: CanvasRenderingContext2D;
  private image: OpenedImage | null = null;
  private scale = 1; // CSS pixels for one of the image
  private left = 0;
  private top = 0;
  private isFitted = true;
  private objects: Objects | null = null;
  private hints = NO_HINTS;
  private areMasksShown = true;
  private isDrawing = false;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d")!;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  show(image: OpenedImage | null): void {
    this.image = image;
    this.fit();
  }

  update(objects: Objects, hints: Hints, areMasksShown: boolean): void {
    [this.objects, this.hints, this.areMasksShown] = [objects, hints, areMasksShown];
    this.draw();
  }

  /** The longer side of the photo on the screen, in its pixels: what a mask that is only looked at needs. */
  get sideOnScreen(): number {
    if (this.image === null) return 1;
    return Math.ceil(Math.max(this.image.width, this.image.height) * this.scale * devicePixelRatio);
  }

  /** A place of the image from one in the canvas. */
  toImage(x: number, y: number): { x: number; y: number } {
    return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale };
  }

  toScreen(x: number, y: number): { x: number; y: number } {
    return { x: x * this.scale + this.left, y: y * this.scale + this.top };
  }

  fit(): void {
    this.isFitted = true;
    if (this.image !== null) {
      const { clientWidth: width, clientHeight: height } = this.canvas;
      const room = (side: number) => Math.max(1, side - 2 * MARGIN);
      this.scale = Math.min(room(width) / this.image.width, room(height) / this.image.height, MOST_ZOOM);
      this.left = (width - this.image.width * this.scale) / 2;
      this.top = (height - this.image.height * this.scale) / 2;
    }
    this.draw();
  }

  /** Zoom by a factor; what is at a place of the canvas stays there. */
  zoom(factor: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    if (this.image === null) return;
    const fitted = Math.min(
      this.canvas.clientWidth / this.image.width,
      this.canvas.clientHeight / this.image.height,
    );
    const scale = Math.min(Math.max(this.scale * factor, fitted / 2, 0.001), MOST_ZOOM);
    const at = this.toImage(x, y);
    this.scale = scale;
    this.left = x - at.x * scale;
    this.top = y - at.y * scale;
    this.isFitted = false;
    this.draw();
  }

  pan(dx: number, dy: number): void {
    this.left += dx;
    this.top += dy;
    this.isFitted = false;
    this.draw();
  }

  private resize(): void {
    this.canvas.width = Math.round(this.canvas.clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(this.canvas.clientHeight * devicePixelRatio);
    if (this.isFitted) this.fit();
    else this.draw();
  }

  private draw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.paint();
    });
  }

  private paint(): void {
    const { context, image } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (image === null || this.objects === null) return;
    this.inImage();
    context.imageSmoothingEnabled = this.scale * devicePixelRatio < SHARP_ZOOM;
    context.imageSmoothingQuality = "high";
    context.drawImage(image.picture, 0, 0, image.width, image.height);
    const { draft, kept } = this.objects;
    const colour = draftColour(this.objects);
    if (this.areMasksShown) {
      for (const object of kept) {
        if (object.isVisible && object.id !== draft.editing) {
          this.paintMask(object.mask, object.colour, object === this.hints.hovered ? 0.6 : 0.4);
        }
      }
      const made = draftMask(draft);
      if (made !== null) this.paintMask(made, colour, 0.45);
      if (this.hints.hover !== null) this.paintMask(this.hints.hover, colour, 0.3);
    }
    if (draft.prompts.box !== null) this.paintBox(draft.prompts.box, []);
    if (this.hints.box !== null) this.paintBox(this.hints.box, [6, 4]);
    for (const { x, y, adds } of draft.prompts.points) this.paintPoint(x + 0.5, y + 0.5, adds);
    if (this.hints.cross !== null) this.paintCross(this.hints.cross.x + 0.5, this.hints.cross.y + 0.5);
  }

  private inImage(): void {
    const ratio = devicePixelRatio;
    this.context.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.left * ratio, this.top * ratio);
  }

  private onScreen(): void {
    this.context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  }

  private paintMask(mask: Mask, colour: string, opacity: number): void {
    const { context } = this;
    const { path, scale } = toPath(mask.rle, this.image!);
    context.save();
    this.inImage();
    context.scale(scale, scale);
    context.fillStyle = colour;
    context.globalAlpha = opacity;
    context.fill(path, "evenodd");
    context.globalAlpha = 1;
    context.lineJoin = "round";
    // A dark line under the bright one is seen on every photo.
    for (const [style, width] of [["#0008", 3.5], [colour, 2]] as const) {
      context.strokeStyle = style;
      context.lineWidth = width / (this.scale * scale);
      context.stroke(path);
    }
    context.restore();
  }

  private paintBox([x0, y0, x1, y1]: BoxXyxy, dashes: number[]): void {
    const { context } = this;
    const [from, to] = [this.toScreen(x0, y0), this.toScreen(x1, y1)];
    this.onScreen();
    for (const [style, width] of [["#000a", 4], ["#fff", 2]] as const) {
      context.setLineDash(style === "#fff" ? dashes : []);
      context.strokeStyle = style;
      context.lineWidth = width;
      context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
    }
    context.setLineDash([]);
  }

  private paintPoint(imageX: number, imageY: number, adds: boolean): void {
    const { context } = this;
    const { x, y } = this.toScreen(imageX, imageY);
    this.onScreen();
    context.beginPath();
    context.arc(x, y, 8, 0, 2 * Math.PI);
    context.fillStyle = adds ? "#14804a" : "#c62a2f";
    context.fill();
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.stroke();
    // Told apart by more than colour.
    context.beginPath();
    context.moveTo(x - 4, y);
    context.lineTo(x + 4, y);
    if (adds) {
      context.moveTo(x, y - 4);
      context.lineTo(x, y + 4);
    }
    context.stroke();
  }

  private paintCross(imageX: number, imageY: number): void {
    const { context } = this;
    const { x, y } = this.toScreen(imageX, imageY);
    this.onScreen();
    for (const [style, width] of [["#000c", 4], ["#fff", 2]] as const) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
        context.moveTo(x + 5 * dx, y + 5 * dy);
        context.lineTo(x + 16 * dx, y + 16 * dy);
      }
      context.stroke();
    }
  }
}

export interface MaskPath {
  readonly path: Path2D;
  /** From the path's pixels to the image's. */
  readonly scale: number;
}

const paths = new WeakMap<Rle, MaskPath>();

/** The outline of a mask, of whatever size, for drawing upon its image. */
export function toPath(rle: Rle, image: { readonly height: number; readonly width: number }): MaskPath {
  let found = paths.get(rle);
  if (found === undefined) {
    const [height, width] = rle.size;
    const shrink = Math.min(1, PATH_SIDE / Math.max(height, width));
    const small = shrink < 1 ? resizeRle(rle, Math.round(height * shrink), Math.round(width * shrink)) : rle;
    const path = new Path2D(outlinesToPath(traceOutlines(small)));
    paths.set(rle, (found = { path, scale: Math.max(image.width, image.height) / Math.max(...small.size) }));
  }
  return found;
}
