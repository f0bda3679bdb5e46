// Which parts of the window are open, and how wide: on a phone that is the phone's own affair. A desktop's side bar of 300 pixels
// would leave no editor here, and that it is closed here should not close it on the desktop.

/** Before the workbench reads its state. */
export function keepOwnLayout() {
  const begin = { "workbench.sideBar.hidden": "true", "workbench.sideBar.size": "300", "workbench.auxiliaryBar.hidden": "true" };
  const kept = ["workbench.panel.hidden", "workbench.panel.size"];
  const own = (key) => key in begin || kept.includes(key) || key === "workbench.auxiliaryBar.size";
  // For whoever carries the workbench's state from device to device: these stay here.
  globalThis.hoodyDeviceState = own;

  // The workbench's own names, and those that roaming state gives its databases (handlers/state/page.js).
  const names = /^(vscode-web-state-db-|hoody-code\/[^/]+\/)/;
  const isState = (store) => names.test(store.transaction.db.name);
  // What is of all windows and what is of this folder's stands in databases of its own.
  const ofWindow = (key) => !key.endsWith(".size");
  const place = (store) => `hoody-phone:${store.transaction.db.name}`;
  const load = (store) => {
    try { return JSON.parse(localStorage.getItem(place(store))) ?? {}; } catch { return {}; }
  };
  const save = (store, key, value) => {
    try { localStorage.setItem(place(store), JSON.stringify({ ...load(store), [key]: value })); } catch { /* full, or not allowed: forgotten then */ }
  };

  for (const name of ["put", "delete"]) {
    const change = IDBObjectStore.prototype[name];
    IDBObjectStore.prototype[name] = function (...args) {
      const key = args[name === "put" ? 1 : 0];
      if (typeof key !== "string" || !own(key) || !isState(this)) return change.apply(this, args);
      if (kept.includes(key)) save(this, key, name === "put" ? args[0] : undefined);
      // A question in its place: whoever asked for the change waits for an answer.
      return this.get(key);
    };
  }

  // The workbench reads a whole store with a cursor: it gets ours instead of those.
  const openCursor = IDBObjectStore.prototype.openCursor;
  IDBObjectStore.prototype.openCursor = function (...args) {
    const request = openCursor.apply(this, args);
    if (args.length || !isState(this)) return request;
    const global = /^(global|profile)/.test(this.transaction.db.name.replace(names, ""));
    const ours = Object.entries({ ...load(this), ...begin }).filter(([key, value]) => value !== undefined && own(key) && ofWindow(key) !== global);
    const { set } = Object.getOwnPropertyDescriptor(IDBRequest.prototype, "onsuccess");
    let handler = null;
    let shown;
    const next = (event) => {
      const [key, value] = ours.shift() ?? [];
      shown = key === undefined ? null : { key, value, continue: () => queueMicrotask(() => next(event)) };
      handler?.call(request, event);
    };
    Object.defineProperty(request, "result", {
      get() {
        return shown === undefined ? Object.getOwnPropertyDescriptor(IDBRequest.prototype, "result").get.call(this) : shown;
      },
    });
    Object.defineProperty(request, "onsuccess", {
      get: () => handler,
      set(value) {
        handler = value;
        set.call(request, (event) => {
          const cursor = request.result;
          if (!cursor) next(event);
          else if (typeof cursor.key === "string" && own(cursor.key)) cursor.continue();
          else handler?.call(request, event);
        });
      },
    });
    return request;
  };
}
