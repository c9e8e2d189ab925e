// Mouse, pen and fingers on the photo: click, drag, hover, pinch.

export interface Gestures {
  /** In the canvas. `adds` is false for the right button, with Alt, and after a long touch. */
  click(x: number, y: number, adds: boolean, isShifted: boolean): void;
  hover(x: number, y: number): void;
  leave(): void;
  dragged(x0: number, y0: number, x1: number, y1: number, isDone: boolean): void;
  cancelled(): void;
  zoom(factor: number, x: number, y: number): void;
  pan(dx: number, dy: number): void;
}

const FAR = 6; // what moves less is a click
const FAR_TOUCH = 12;
const LONG_TOUCH = 500; // ms

interface Held {
  readonly startX: number;
  readonly startY: number;
  x: number;
  y: number;
}

export function listenToPointer(canvas: HTMLCanvasElement, gestures: Gestures): void {
  const held = new Map<number, Held>();
  let isDrag = false;
  let isPinch = false;
  let isPan = false;
  let wasLong = false;
  let timer = 0;

  const place = (event: MouseEvent) => {
    const { left, top } = canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };

  canvas.addEventListener("pointerdown", (event) => {
    const { x, y } = place(event);
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, { startX: x, startY: y, x, y });
    clearTimeout(timer);
    if (held.size === 2) {
      if (isDrag) gestures.cancelled();
      [isDrag, isPinch] = [false, true];
    } else if (held.size === 1) {
      [isDrag, isPinch, wasLong] = [false, false, false];
      isPan = event.button === 1;
      if (event.pointerType === "touch") {
        timer = window.setTimeout(() => {
          wasLong = true;
          gestures.click(x, y, false, false);
        }, LONG_TOUCH);
      }
    }
    if (event.button === 1) event.preventDefault(); // the browser's own scrolling
  });

  canvas.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    const mine = held.get(event.pointerId);
    if (mine === undefined) {
      if (event.pointerType !== "touch") gestures.hover(x, y);
      return;
    }
    if (isPinch) {
      const other = [...held.entries()].find(([id]) => id !== event.pointerId)?.[1];
      if (other !== undefined) {
        const before = Math.hypot(mine.x - other.x, mine.y - other.y);
        const after = Math.hypot(x - other.x, y - other.y);
        gestures.pan((x - mine.x) / 2, (y - mine.y) / 2);
        if (before > 0) gestures.zoom(after / before, (x + other.x) / 2, (y + other.y) / 2);
      }
    } else if (isPan) {
      gestures.pan(x - mine.x, y - mine.y);
    } else if (!wasLong) {
      const far = event.pointerType === "touch" ? FAR_TOUCH : FAR;
      isDrag ||= Math.hypot(x - mine.startX, y - mine.startY) > far;
      if (isDrag) {
        clearTimeout(timer);
        gestures.dragged(mine.startX, mine.startY, x, y, false);
      }
    }
    [mine.x, mine.y] = [x, y];
  });

  const release = (event: PointerEvent, isCancelled: boolean) => {
    const mine = held.get(event.pointerId);
    held.delete(event.pointerId);
    clearTimeout(timer);
    if (mine === undefined || isPinch || isPan || wasLong) return;
    const { x, y } = place(event);
    if (isCancelled) gestures.cancelled();
    else if (isDrag) gestures.dragged(mine.startX, mine.startY, x, y, true);
    else gestures.click(x, y, event.button !== 2 && !event.altKey, event.shiftKey);
    isDrag = false;
  };
  canvas.addEventListener("pointerup", (event) => release(event, false));
  canvas.addEventListener("pointercancel", (event) => release(event, true));
  canvas.addEventListener("pointerleave", () => gestures.leave());
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      gestures.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.002)), x, y);
    },
    { passive: false },
  );
}
