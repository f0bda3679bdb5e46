// The workbench's stores, seen from beside it: its databases, and its words in local storage in the same shape.

/** Where a store notes how far it is, and what it has not sent yet. The workbench takes notice of values only that are text. */
const AT = '\u0000hoody/at';
const MARK = '\u0000hoody/changed/';
const MARKS = globalThis.IDBKeyRange?.bound(MARK, `${MARK}\uffff`);

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** The browser's own functions; the workbench gets ours. */
const native = {
  open: globalThis.IDBFactory?.prototype.open,
  put: globalThis.IDBObjectStore?.prototype.put,
  delete: globalThis.IDBObjectStore?.prototype.delete,
  getItem: globalThis.Storage?.prototype.getItem,
  setItem: globalThis.Storage?.prototype.setItem,
  removeItem: globalThis.Storage?.prototype.removeItem,
};

/** A database of the workbench, seen from beside it. */
class Table {
  static async open(name, closed) {
    const request = native.open.call(indexedDB, name);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    const table = new Table();
    table.database = await settled(request);
    // The workbench makes a damaged one anew.
    table.database.onversionchange = () => (table.database.close(), closed());
    return table;
  }

  /** One transaction around `work`, over when it is complete. */
  async run(mode, work) {
    const transaction = this.database.transaction(TABLE, mode);
    const complete = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
    const store = transaction.objectStore(TABLE);
    const result = await work({
      get: (key) => settled(store.get(key)),
      put: (key, value) => void native.put.call(store, value, key),
      delete: (key) => void native.delete.call(store, key),
      marks: async () => {
        const [keys, tokens] = await Promise.all([settled(store.getAllKeys(MARKS)), settled(store.getAll(MARKS))]);
        return new Map(keys.map((key, n) => [key.slice(MARK.length), tokens[n][0]]));
      },
      keys: async () => (await settled(store.getAllKeys())).filter((key) => key !== AT && !String(key).startsWith(MARK)),
    });
    await complete;
    return result;
  }
}

/** The words of local storage, in the same shape. */
class Words {
  constructor(name) {
    this.name = name;
  }

  async run(_mode, work) {
    const all = (prefix) => Object.keys(localStorage).filter((key) => key.startsWith(`${this.name}${prefix}`)).map((key) => key.slice(this.name.length));
    const own = (key) => `${this.name}${key}`;
    const read = (key) => native.getItem.call(localStorage, own(key)) ?? undefined;
    return work({
      get: async (key) => (key === AT ? JSON.parse(read(key) ?? 'null') ?? undefined : read(key)),
      put: (key, value) => native.setItem.call(localStorage, own(key), typeof value === 'string' ? value : JSON.stringify(value)),
      delete: (key) => native.removeItem.call(localStorage, own(key)),
      marks: async () => new Map(all(MARK).map((key) => [key.slice(MARK.length), JSON.parse(read(key))[0]])),
      keys: async () => all('').filter((key) => WORDS.includes(key)),
    });
  }
}
