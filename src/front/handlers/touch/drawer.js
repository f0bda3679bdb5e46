// The side bar of a phone: a drawer that pushes the editor aside, instead of one that squeezes it.
//
// While it is open the workbench is laid out wider than the screen, by as much as the side bar takes, so that the editor keeps
// its width. A tap beside it, or on what opens in the editor, closes it.

/** What remains in sight of the editor, to be tapped, in CSS pixels. */
const BESIDE = 56;

/** How long a finger may rest for a tap, in milliseconds; after that it is the context menu's. */
const TAP = 500;

/** @param {import("./room.js").Room} room */
export function startDrawer(room) {
  const begin = () => {
    const workbench = document.querySelector(".monaco-workbench");
    if (!workbench) return;
    began.disconnect();
    watch(workbench);
  };
  const began = new MutationObserver(begin);
  began.observe(document.documentElement, { childList: true, subtree: true });
  begin();

  function watch(workbench) {
    const open = () => !workbench.classList.contains("nosidebar") && !!workbench.querySelector(".part.sidebar.left");
    const size = () => Math.min(300, room.width - BESIDE);
    const wide = (on) => {
      workbench.classList.toggle("hoody-drawer", on);
      room.set({ beside: on ? size() : 0 });
    };
    // The workbench takes this class off, and then gives the side bar its room: the room has to be there by then.
    const remove = DOMTokenList.prototype.remove;
    workbench.classList.remove = function (...names) {
      if (names.includes("nosidebar") && workbench.querySelector(".part.sidebar.left")) wide(true);
      return remove.apply(this, names);
    };
    new MutationObserver(() => {
      document.documentElement.style.setProperty("--hoody-width", `${room.width}px`);
      wide(open());
    }).observe(workbench, { attributes: true, attributeFilter: ["class"] });
    room.onlaid = () => document.documentElement.style.setProperty("--hoody-width", `${room.width}px`);

    let down;
    addEventListener("pointerdown", (event) => {
      down = undefined;
      if (!event.isPrimary || !open()) return;
      const beside = event.target.closest(".part.editor, .part.panel");
      const row = event.target.closest(".part.sidebar .monaco-list-row:not([aria-expanded])");
      // Buttons in a row do something else than opening it.
      if (beside || (row && !event.target.closest(".action-item, .monaco-button, input, textarea"))) {
        down = { beside, x: event.clientX, y: event.clientY, time: event.timeStamp };
      }
    }, true);
    addEventListener("pointerup", (event) => {
      const tap = down && Math.hypot(event.clientX - down.x, event.clientY - down.y) < 12 && event.timeStamp - down.time < TAP;
      // After the workbench has had its turn: what was tapped opens first.
      if (tap && open()) setTimeout(() => open() && close(workbench), down.beside ? 0 : 150);
    }, true);
  }
}

/** As a person would: by the button in the title bar, or by the key where there is none. */
function close(workbench) {
  const button = workbench.querySelector(".part.titlebar :is(.codicon-panel-left, .codicon-layout-sidebar-left)");
  if (button) return button.click();
  const apple = /Mac|iPhone|iPad/.test(navigator.platform);
  const init = { key: "b", code: "KeyB", keyCode: 66, ctrlKey: !apple, metaKey: apple, bubbles: true, cancelable: true };
  workbench.querySelector(".part.sidebar").dispatchEvent(new KeyboardEvent("keydown", init));
}
