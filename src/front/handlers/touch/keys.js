// A row of keys that keyboards on screens lack, above the keyboard while there is something to type into.
//
// The keys never take the focus. What they send are the events that a keyboard sends, to whatever has the focus; where an event
// made by a script has no effect by itself (text, a caret in a plain field), the effect is brought about, too.

import { takeTyped } from "./typed.js";

const key = (label, name, key, keyCode, code = key) => ({ label, name, key, keyCode, code });

const KEYS = [
  key("Esc", "Escape", "Escape", 27),
  key("Tab", "Tab", "Tab", 9),
  { label: "Ctrl", name: "Control, for the next key", modifier: "ctrlKey" },
  { ...key("←", "Left", "ArrowLeft", 37), repeats: true },
  { ...key("↑", "Up", "ArrowUp", 38), repeats: true },
  { ...key("↓", "Down", "ArrowDown", 40), repeats: true },
  { ...key("→", "Right", "ArrowRight", 39), repeats: true },
  key("⋯", "Command palette", "F1", 112),
  key("|", "Vertical bar", "|", 220, "Backslash"),
  key("/", "Slash", "/", 191, "Slash"),
  key("~", "Tilde", "~", 192, "Backquote"),
  key("-", "Hyphen", "-", 189, "Minus"),
  { label: "Alt", name: "Alt, for the next key", modifier: "altKey" },
];

/** What is mostly pressed together with Ctrl: at hand while that is on, because a keyboard may not send single letters. */
const LETTERS = [..."CSZFDXVALPRWUK"].map((letter) => key(letter, `Control ${letter}`, letter.toLowerCase(), letter.charCodeAt(0), `Key${letter}`));

/** Keys that only a keyboard with keys has. */
const HARD = new Set(["Escape", "Tab", "Control", "Alt", "Meta", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", "F1"]);

/** A keyboard on a screen takes more of it than this, in CSS pixels. */
const KEYBOARD = 150;

/** How long until a key that is held repeats, and between repetitions, in milliseconds. */
const [HOLD, REPEAT] = [400, 60];

const held = { ctrlKey: false, altKey: false };

/** @param {import("./room.js").Room} room */
export function startKeys(room) {
  const bar = document.createElement("div");
  bar.id = "hoody-keys";
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Keys");
  bar.hidden = true;
  for (const one of KEYS) bar.append(button(one));
  for (const one of LETTERS) bar.append(button(one, "letter"));
  // A press on a button would else take the focus, and with that the keyboard away.
  bar.addEventListener("mousedown", (event) => event.preventDefault());
  bar.addEventListener("contextmenu", (event) => event.preventDefault());
  document.documentElement.append(bar);

  let hardware = false;
  let tallest = room.height;
  const update = () => {
    const wanted = !hardware && typing(document.activeElement);
    if (bar.hidden === wanted) {
      bar.hidden = !wanted;
      if (!wanted) release();
    }
    const height = wanted ? bar.offsetHeight : 0;
    bar.style.top = `${room.bottom - height}px`;
    room.set({ below: height });
  };
  const resized = () => {
    tallest = Math.max(tallest, room.height);
    if (tallest - room.height > KEYBOARD) hardware = false;
    update();
  };
  let width = room.width;
  addEventListener("resize", () => {
    // Turned: what was tall is another side now.
    if (width !== room.width) [width, tallest] = [room.width, room.height];
    resized();
  });
  visualViewport.addEventListener("resize", resized);
  visualViewport.addEventListener("scroll", update);
  addEventListener("focusin", update);
  // Between two places that take text there is none for a moment.
  addEventListener("focusout", () => setTimeout(update, 50));
  addEventListener("keydown", (event) => {
    if (!event.isTrusted || !HARD.has(event.key) || tallest - room.height > KEYBOARD) return;
    hardware = true;
    update();
  }, true);
  takeTyped(() => held.ctrlKey || held.altKey, press);
  update();
}

/** Whether `element` is something to type into. */
function typing(element) {
  if (!element?.matches) return false;
  if (element.editContext || element.isContentEditable) return true;
  return element.matches("textarea, input:not([type=checkbox], [type=radio], [type=button], [type=range], [type=color])") && !element.readOnly;
}

function button(one, kind) {
  const made = document.createElement("button");
  made.type = "button";
  made.tabIndex = -1;
  made.textContent = one.label;
  made.setAttribute("aria-label", one.name);
  if (kind) made.className = kind;
  if (one.modifier) {
    made.dataset.modifier = one.modifier;
    made.setAttribute("aria-pressed", "false");
    made.addEventListener("click", () => hold(one.modifier, !held[one.modifier]));
    return made;
  }
  let timer;
  let repeated = false;
  const stop = () => clearInterval(timer);
  if (one.repeats) {
    made.addEventListener("pointerdown", () => {
      stop();
      repeated = false;
      timer = setTimeout(() => {
        repeated = true;
        timer = setInterval(() => press(one, true), REPEAT);
      }, HOLD);
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) made.addEventListener(end, stop);
  }
  made.addEventListener("click", () => (repeated ? (repeated = false) : press(one)));
  return made;
}

function hold(modifier, on) {
  held[modifier] = on;
  for (const one of document.querySelectorAll(`#hoody-keys [data-modifier="${modifier}"]`)) one.setAttribute("aria-pressed", String(on));
  document.getElementById("hoody-keys").classList.toggle("control", held.ctrlKey);
}

function release() {
  for (const modifier of Object.keys(held)) hold(modifier, false);
}

/** Presses a key, with the modifiers that are held, and lets these go. */
function press(one, repeat = false) {
  const target = document.activeElement ?? document.body;
  const { key, code, keyCode } = one;
  const shiftKey = key === "|" || key === "~";
  const init = { key, code, keyCode, which: keyCode, ...held, shiftKey, repeat, bubbles: true, cancelable: true, composed: true, view: globalThis };
  const modified = held.ctrlKey || held.altKey;
  const free = target.dispatchEvent(new KeyboardEvent("keydown", init));
  if (free && !modified) {
    if (key.length === 1) insert(target, key);
    else if (key === "ArrowLeft" || key === "ArrowRight") move(target, key === "ArrowLeft" ? -1 : 1);
  }
  target.dispatchEvent(new KeyboardEvent("keyup", init));
  if (!repeat) release();
}

/** Text that nobody has taken from its key. */
function insert(target, text) {
  const context = target.editContext;
  if (!context) return void document.execCommand("insertText", false, text);
  const [start, end] = [context.selectionStart, context.selectionEnd].sort((a, b) => a - b);
  const after = start + text.length;
  context.updateText(start, end, text);
  context.updateSelection(after, after);
  context.dispatchEvent(new TextUpdateEvent("textupdate", { text, updateRangeStart: start, updateRangeEnd: end, selectionStart: after, selectionEnd: after }));
}

/** The caret of a plain field; all else has taken the key itself. */
function move(target, by) {
  if (!("selectionStart" in target) || target.selectionStart === null || target.matches(".xterm-helper-textarea, .inputarea")) return;
  const { selectionStart: start, selectionEnd: end } = target;
  const at = start === end ? Math.max(0, Math.min(target.value.length, start + by)) : by < 0 ? start : end;
  target.setSelectionRange(at, at);
}
