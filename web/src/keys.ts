// The keyboard. Single letters count on the photo only, or where nothing has the focus: a screen reader has its own.

export interface KeyActions {
  moveCross(dx: number, dy: number): void;
  act(adds: boolean, isShifted: boolean): void;
  corner(): void;
  choose(index: number): void;
  keep(): void;
  discard(): void;
  remove(): void;
  everything(): void;
  toggleMasks(): void;
  zoom(factor: number): void;
  fit(): void;
  undo(): void;
  redo(): void;
  open(): void;
  help(): void;
}

const [NEAR, FAR] = [4, 32]; // pixels of the screen
const ZOOM = 1.25;
const ARROWS: Readonly<Record<string, readonly [dx: number, dy: number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export function listenToKeys(canvas: HTMLCanvasElement, actions: KeyActions): void {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") !== null || event.isComposing) return;
    const target = event.target as HTMLElement;
    const isTyping = target instanceof HTMLInputElement && target.type === "text";
    const isHandled =
      event.ctrlKey || event.metaKey
        ? !isTyping && withControl(event, actions)
        : !event.altKey && (target === canvas || target === document.body) && onPhoto(event, actions);
    if (isHandled) event.preventDefault();
  });
}

function withControl(event: KeyboardEvent, actions: KeyActions): boolean {
  const key = event.key.toLowerCase();
  if (key === "z" && !event.shiftKey) actions.undo();
  else if (key === "y" || key === "z") actions.redo();
  else if (key === "o") actions.open();
  else return false;
  return true;
}

function onPhoto(event: KeyboardEvent, actions: KeyActions): boolean {
  const arrow = ARROWS[event.key];
  if (arrow !== undefined) {
    const step = event.shiftKey ? FAR : NEAR;
    actions.moveCross(arrow[0] * step, arrow[1] * step);
    return true;
  }
  if (/^[1-9]$/.test(event.key)) {
    actions.choose(Number(event.key) - 1);
    return true;
  }
  const known: Readonly<Record<string, () => void>> = {
    " ": () => actions.act(true, event.shiftKey),
    x: () => actions.act(false, event.shiftKey),
    b: actions.corner,
    Enter: actions.keep,
    Escape: actions.discard,
    Delete: actions.remove,
    Backspace: actions.remove,
    e: actions.everything,
    h: actions.toggleMasks,
    "+": () => actions.zoom(ZOOM),
    "=": () => actions.zoom(ZOOM),
    "-": () => actions.zoom(1 / ZOOM),
    "0": actions.fit,
    "?": actions.help,
  };
  const action = known[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  action?.();
  return action !== undefined;
}
