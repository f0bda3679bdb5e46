// How much of the window the workbench gets. It asks the window for its size; here it is told a little less, for the row of keys
// below it, or more, while a drawer pushes part of it off the screen.

export class Room {
  #below = 0;
  #beside = 0;
  #laying = false;
  // Safari's keyboard lies over the page: the workbench goes by the visual viewport there, and so do we.
  #view = globalThis.visualViewport;
  #real;

  constructor() {
    const window = globalThis;
    const getter = (of, name) => {
      const own = Object.getOwnPropertyDescriptor(of, name) ?? Object.getOwnPropertyDescriptor(Object.getPrototypeOf(of), name);
      return own.get.bind(of);
    };
    const [width, height] = [getter(window, "innerWidth"), getter(window, "innerHeight")];
    const [viewWidth, viewHeight] = [getter(this.#view, "width"), getter(this.#view, "height")];
    this.#real = { width, height, viewHeight };
    const define = (of, name, get) => Object.defineProperty(of, name, { get, configurable: true });
    define(window, "innerHeight", () => height() - this.#below);
    define(window, "innerWidth", () => width() + (this.#laying ? this.#beside : 0));
    define(this.#view, "height", () => viewHeight() - this.#below);
    define(this.#view, "width", () => viewWidth() + (this.#laying ? this.#beside : 0));
    for (const target of [window, this.#view]) {
      target.addEventListener("resize", (event) => {
        if (this.#laying) return;
        event.stopImmediatePropagation();
        this.lay();
      }, true);
    }
  }

  /** The window's width as it is, in CSS pixels. */
  get width() {
    return this.#real.width();
  }

  /** The lower edge of what can be seen, in CSS pixels from the top of the page. */
  get bottom() {
    return Math.min(this.#real.height(), this.#view.offsetTop + this.#real.viewHeight());
  }

  /** The height of what can be seen, in CSS pixels. */
  get height() {
    return this.#real.viewHeight();
  }

  /** Keeps pixels free below the workbench, and adds some to its width; says so to the workbench at once. */
  set({ below = this.#below, beside = this.#beside }) {
    if (below === this.#below && beside === this.#beside) return;
    [this.#below, this.#beside] = [below, beside];
    this.lay();
  }

  /** Has the workbench lay itself out, and the cursor stay in sight. */
  lay() {
    const before = cursorInEditor();
    this.#laying = true;
    try {
      dispatchEvent(new Event("resize"));
      this.#view.dispatchEvent(new Event("resize"));
    } finally {
      this.#laying = false;
    }
    if (before) reveal(before);
    this.onlaid?.();
  }
}

/** The cursor of the editor that has the focus, and how far it is below that editor's upper edge. */
function cursorInEditor() {
  const editor = document.activeElement?.closest?.(".monaco-editor");
  const cursor = editor?.querySelector(".cursors-layer > .cursor");
  if (!cursor) return undefined;
  const [outer, inner] = [editor.getBoundingClientRect(), cursor.getBoundingClientRect()];
  const seen = inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
  return seen ? { editor, bottom: inner.bottom - outer.top, line: inner.height } : undefined;
}

/** Scrolls `editor` until the cursor, which was in sight a moment ago, is so again. */
function reveal({ editor, bottom, line }) {
  const hidden = bottom + line - editor.getBoundingClientRect().height;
  if (hidden <= 0) return;
  // A turn of the wheel, which is 120 of its units, is 50 pixels in the workbench.
  const turn = new WheelEvent("wheel", { deltaY: hidden, bubbles: true, cancelable: true });
  Object.defineProperty(turn, "wheelDeltaY", { value: (-hidden * 120) / 50 });
  editor.querySelector(".editor-scrollable")?.dispatchEvent(turn);
}
