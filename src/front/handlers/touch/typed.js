// Letters typed on the keyboard of a screen while one of our modifiers is held: they are meant for the modifier, not for the text.
//
// Such a keyboard seldom says which key it was, only what text there is to be, and some only as a word that is being composed. So
// the letter is taken wherever it shows up first, and what it has left behind is put back.

/**
 * @param {() => boolean} wanted whether a letter is to be taken
 * @param {(key: {key: string, code: string, keyCode: number}) => void} give what to do with it
 */
export function takeTyped(wanted, give) {
  const take = (event, text) => {
    if (!event.isTrusted || text?.length !== 1 || !wanted()) return false;
    event.preventDefault();
    event.stopImmediatePropagation();
    const upper = text.toUpperCase();
    const code = /[A-Z]/.test(upper) ? `Key${upper}` : /\d/.test(text) ? `Digit${text}` : "";
    give({ key: text.toLowerCase(), code, keyCode: upper.charCodeAt(0) });
    return true;
  };
  addEventListener("keydown", (event) => !event.ctrlKey && !event.metaKey && take(event, event.key), true);

  // Plain fields, and the terminal's. What is being composed cannot be refused, only ended.
  let eating = false;
  addEventListener("beforeinput", (event) => {
    const before = event.target.value;
    if (!take(event, event.data) || event.cancelable) return;
    eating = true;
    restart(event.target);
    event.target.value = before;
    eating = false;
  }, true);
  for (const name of ["compositionstart", "compositionupdate", "compositionend", "input"]) {
    addEventListener(name, (event) => event.isTrusted && (eating || (name === "compositionstart" && wanted())) && event.stopImmediatePropagation(), true);
  }

  // The editor's text has events of its own, which nothing but the text itself sees: ours has to be its first listener.
  if (!globalThis.EditContext) return;
  const known = new WeakSet();
  const add = EventTarget.prototype.addEventListener;
  EditContext.prototype.addEventListener = function (...args) {
    if (!known.has(this)) {
      known.add(this);
      watch(this);
    }
    return add.apply(this, args);
  };

  function watch(context) {
    let composing = false;
    add.call(context, "compositionstart", (event) => {
      composing = true;
      if (wanted()) event.stopImmediatePropagation();
    });
    add.call(context, "compositionend", (event) => {
      composing = false;
      if (eating) event.stopImmediatePropagation();
    });
    add.call(context, "textupdate", (event) => {
      if (eating) return event.stopImmediatePropagation();
      const { text, updateRangeStart: start } = event;
      if (text.length !== 1 || !wanted()) return;
      eating = true;
      context.updateText(start, start + text.length, "");
      context.updateSelection(start, start);
      if (composing) restart(document.activeElement);
      eating = false;
      take(event, text);
    });
  }
}

/** Has the keyboard begin anew, without what it was composing. */
function restart(element) {
  element.blur();
  element.focus();
}
