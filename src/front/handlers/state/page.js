// Keeps what the workbench stores in this browser together with what the instance has of it.
//
// The workbench has several stores ("scopes"): a database for all folders, one per folder, and three words of local storage. Every
// change that it makes there is marked in the same transaction, sent a moment later, and unmarked when it has arrived. What could
// not be sent stays marked, and goes out the next time a page is opened. Before the workbench starts, what has changed on other
// devices is put in its stores: the page says how far the instance is, and each store knows how far it is itself, so that mostly
// there is nothing to do.
//
// Without a pass (see page-pass.html) nothing is asked and nothing is sent.

/** Where a store notes how far it is, and what it has not sent yet. The workbench takes notice of values only that are text. */
const AT = '\u0000hoody/at';
const MARK = '\u0000hoody/changed/';
const MARKS = globalThis.IDBKeyRange?.bound(MARK, `${MARK}\uffff`);

/** The workbench's databases, their only table, and those words of local storage that are an instance's. */
const PREFIX = 'vscode-web-state-db-';
const TABLE = 'ItemTable';
const WORDS = ['secrets.provider', 'userDataProfiles', 'profileAssociations'];

/** What is this browser's own affair. */
const OWN = /^(storage\.serviceMachineId|additionalBuiltinExtensions)$/;
/** Layout that is in the stores of all folders: which side bars there are, in which order, what was moved where. */
const LAYOUT = /^(views\.|workbench\.(activity|panel|auxiliarybar|sidebar|statusbar|layout|view)\b)|\.state\.hidden$/i;

/** How long changes are collected, how long the workbench waits for the instance, and how soon a failure is tried again. In ms. */
const DELAY = 1000;
const PATIENCE = 5000;
const [RETRY, RETRY_MOST] = [2000, 60_000];
/** The most bytes of one request, and of one that outlives its page: browsers allow 64 kB for all of those together. */
const MOST = 1 << 20;
const MOST_LEAVING = 60_000;

/** In whatever address the instance is open, its files are at one: this stands for it in what is sent. */
const PLACE = 'hoody-code.invalid:1';

/** Translates between this page's address and `PLACE`, in keys and values. */
export function translator(host) {
  const plain = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const [code, placeCode] = [encodeURIComponent(host), encodeURIComponent(PLACE)];
  const end = '(?![\\w.:%-])';
  const address = new RegExp(`(vscode-remote://)${plain(host)}${end}`, 'g');
  const coded = new RegExp(`(vscode-remote%3A%2F%2F)${plain(code)}(?![\\w.:-]|%3A)`, 'gi');
  const named = new RegExp(`((?:a|remoteA)uthority\\\\*":\\\\*")${plain(host)}(?=\\\\*")`, 'g');
  const inKey = new RegExp(`(^|\\.)${plain(host)}(?=\\.|$)`, 'g');
  return {
    outKey: (key) => key.replace(inKey, `$1${PLACE}`),
    inKey: (key) => key.replaceAll(PLACE, host),
    out: (text) => text.replace(address, `$1${PLACE}`).replace(coded, `$1${placeCode}`).replace(named, `$1${PLACE}`),
    in: (text) => text.replaceAll(placeCode, code).replaceAll(PLACE, host),
  };
}

/** Which scope a database of the workbench is; `workspace` is that of what is open in this page. */
export function scopeOf(database, workspace) {
  if (!database.startsWith(PREFIX)) return undefined;
  const name = database.slice(PREFIX.length);
  if (name === 'global' || name === 'global-shared') return name;
  return name.startsWith('global-') ? `profile/${name.slice('global-'.length)}` : workspace;
}

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

const NOWHERE = { epoch: null, revision: 0 };

/** All stores of one page, and what goes between them and the instance. */
class Roaming {
  constructor(config, url, host) {
    this.config = config;
    this.url = url;
    this.text = translator(host);
    this.page = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('');
    this.sequence = 0;
    this.tokens = 0;
    this.tables = new Map();
    /** scope → key → what is still to be sent: `token`, `value` (undefined: deleted), and `careful` for what newer state beats. */
    this.pending = new Map();
    /** Nobody knows how much newer the instance's state is: nothing there may be overwritten. */
    this.behind = false;
    this.stopped = false;
    this.wait = RETRY;
    this.most = MOST;
  }

  /** Names that no other instance on this origin has. */
  local(scope) {
    return `hoody-code/${this.config.instance}/${scope}`;
  }

  table(scope) {
    let table = this.tables.get(scope);
    if (!table) {
      table = scope === 'local' ? Promise.resolve(new Words(this.local('local/'))) : Table.open(this.local(scope), () => this.tables.delete(scope));
      this.tables.set(scope, table);
    }
    return table;
  }

  token() {
    return `${this.page}.${++this.tokens}`;
  }

  /** Puts ourselves between the workbench and its stores. */
  observe() {
    const roaming = this;
    const scopes = new Map();
    const name = (database) => {
      const scope = scopeOf(database, roaming.config.workspace);
      if (scope === undefined) return database;
      scopes.set(roaming.local(scope), scope);
      return roaming.local(scope);
    };
    const { open, put, delete: remove, clear, getAllKeys } = { ...native, ...pick(IDBObjectStore.prototype, ['clear', 'getAllKeys']) };
    IDBFactory.prototype.open = function (database, ...rest) {
      return open.call(this, name(database), ...rest);
    };
    const { deleteDatabase } = IDBFactory.prototype;
    IDBFactory.prototype.deleteDatabase = function (database) {
      return deleteDatabase.call(this, name(database));
    };
    const change = (store, key, value) => {
      const scope = scopes.get(store.transaction.db.name);
      if (scope === undefined || typeof key !== 'string' || OWN.test(key)) return;
      const token = roaming.token();
      put.call(store, [token], MARK + key);
      roaming.changed(scope, key, value, token);
    };
    // The view of one extension has a layout of its own, and leaves that of all folders alone. A question is put in the place of
    // the change: whoever asked for it waits for an answer.
    const refused = (store, key) => {
      const scope = scopes.get(store.transaction.db.name) ?? roaming.config.workspace;
      return roaming.config.extension && scope !== roaming.config.workspace && LAYOUT.test(key);
    };
    IDBObjectStore.prototype.put = function (value, key, ...rest) {
      if (refused(this, key)) return this.get(key);
      if (typeof value === 'string') change(this, key, value);
      return put.call(this, value, key, ...rest);
    };
    IDBObjectStore.prototype.delete = function (key) {
      if (refused(this, key)) return this.get(key);
      change(this, key, undefined);
      return remove.call(this, key);
    };
    IDBObjectStore.prototype.clear = function () {
      // It is told before they are gone, and marks them after.
      if (scopes.has(this.transaction.db.name)) {
        getAllKeys.call(this).onsuccess = ({ target }) => target.result.filter((key) => key !== AT && !key.startsWith(MARK)).forEach((key) => change(this, key, undefined));
      }
      return clear.call(this);
    };
    const words = this.local('local/');
    const own = (storage, key) => (storage === localStorage && WORDS.includes(String(key)) ? `${words}${key}` : key);
    const changeWord = (key, value) => {
      const token = roaming.token();
      native.setItem.call(localStorage, `${words}${MARK}${key}`, JSON.stringify([token]));
      roaming.changed('local', key, value, token);
    };
    Storage.prototype.getItem = function (key) {
      return native.getItem.call(this, own(this, key));
    };
    Storage.prototype.setItem = function (key, value) {
      if (own(this, key) !== key && native.getItem.call(this, own(this, key)) !== String(value)) changeWord(key, String(value));
      native.setItem.call(this, own(this, key), value);
    };
    Storage.prototype.removeItem = function (key) {
      if (own(this, key) !== key && native.getItem.call(this, own(this, key)) !== null) changeWord(key, undefined);
      native.removeItem.call(this, own(this, key));
    };
    // Tabs tell each other of changes: those of one instance only.
    const Channel = globalThis.BroadcastChannel;
    if (Channel) {
      globalThis.BroadcastChannel = class BroadcastChannel extends Channel {
        constructor(channel) {
          super(String(channel).startsWith(PREFIX) ? name(String(channel)) : channel);
        }
      };
    }
  }

  /** Brings the stores up to date. Whatever happens, it comes to an end, and the workbench can start. */
  async load() {
    const ask = {};
    const marked = new Map();
    await Promise.all(Object.entries(this.config.scopes).map(async ([scope, [epoch, revision]]) => {
      const table = await this.table(scope);
      const seen = await table.run('readonly', async (store) => {
        const [at, marks] = await Promise.all([store.get(AT), store.marks()]);
        const values = await Promise.all([...marks.keys()].map((key) => store.get(key)));
        return { at: at ?? NOWHERE, marks: new Map([...marks].map(([key, token], n) => [key, { token, value: values[n], careful: true }])) };
      });
      if (seen.marks.size === 0 && seen.at.epoch === epoch && seen.at.revision === revision) return;
      let room = MOST / 8;
      const sent = new Map();
      for (const [key, change] of seen.marks) {
        room -= this.size(key, change);
        if (room >= 0) sent.set(key, change);
        else this.keep(scope, key, change);
      }
      marked.set(scope, sent);
      ask[scope] = { since: seen.at, changes: this.encode(sent), unless_newer: true, want: true };
    }));
    if (Object.keys(ask).length === 0) return;
    const answer = await this.send(ask, { signal: AbortSignal.timeout(PATIENCE) });
    await Promise.all(Object.entries(answer.scopes).map(([scope, updated]) => this.take(scope, updated, marked.get(scope), ask[scope].since)));
  }

  /** Puts news in a store. What has changed here meanwhile stays. */
  async take(scope, updated, sent, since) {
    const table = await this.table(scope);
    const { full, entries } = updated.news;
    await table.run('readwrite', async (store) => {
      const marks = await store.marks();
      for (const [key, { token }] of sent) {
        if (marks.get(key) !== token) continue;
        marks.delete(key);
        store.delete(MARK + key);
      }
      const news = new Map(Object.entries(entries).map(([key, value]) => [this.text.inKey(key), value]));
      for (const [key, value] of news) {
        if (marks.has(key)) continue;
        if (value === null) store.delete(key);
        else store.put(key, this.text.in(value));
      }
      if (full) {
        for (const key of await store.keys()) {
          if (news.has(key) || marks.has(key) || sent.has(key) || OWN.test(key)) continue;
          // Gone there while we were away; or what is there began anew, and has to hear of it.
          if (since.epoch === updated.epoch) {
            store.delete(key);
          } else {
            const change = { token: this.token(), value: await store.get(key), careful: true };
            if (typeof change.value !== 'string') continue;
            store.put(MARK + key, [change.token]);
            this.keep(scope, key, change);
          }
        }
      }
      store.put(AT, { epoch: updated.epoch, revision: updated.revision });
    });
  }

  /** The workbench has changed something. */
  changed(scope, key, value, token) {
    this.keep(scope, key, { token, value });
    if (this.leaving || document.visibilityState === 'hidden') queueMicrotask(() => this.flush(true));
    else this.timer ??= setTimeout(() => this.flush(), DELAY);
  }

  keep(scope, key, change) {
    if (!this.pending.has(scope)) this.pending.set(scope, new Map());
    this.pending.get(scope).set(key, change);
  }

  size(key, { value }) {
    // In JSON and in UTF-8 a character can take more; this is near enough, and the limits have room.
    return key.length + (value?.length ?? 0) * 1.2 + 16;
  }

  encode(changes) {
    const text = (value) => this.text.out(value).toWellFormed?.() ?? this.text.out(value);
    return Object.fromEntries([...changes].map(([key, { value }]) => [this.text.outKey(key), value === undefined ? null : text(value)]));
  }

  /** Takes as many of the pending changes as fit in one request; the smallest first, because nobody knows which will be the last. */
  batch(most) {
    const all = [...this.pending].flatMap(([scope, changes]) => [...changes].filter(([, { flying }]) => !flying).map(([key, change]) => ({ scope, key, change, size: this.size(key, change) })));
    all.sort((a, b) => a.size - b.size);
    const careful = this.behind || (all[0]?.change.careful ?? false);
    const batch = new Map();
    for (const { scope, key, change, size } of all) {
      if ((this.behind || (change.careful ?? false)) !== careful) continue;
      if (size > most && batch.size > 0) break;
      if (size > most && most === MOST_LEAVING) break;
      most -= size;
      if (!batch.has(scope)) batch.set(scope, new Map());
      batch.get(scope).set(key, change);
    }
    return { batch, careful };
  }

  /** Sends what is pending. `leaving`: the page may be gone in a moment. */
  async flush(leaving = false) {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.stopped || (this.busy && !leaving)) return;
    const { batch, careful } = this.batch(leaving ? MOST_LEAVING : this.most);
    if (batch.size === 0) return;
    const changes = [...batch.values()].flatMap((some) => [...some.values()]);
    changes.forEach((change) => (change.flying = true));
    if (!leaving) this.busy = true;
    let next = DELAY;
    try {
      const ask = {};
      for (const [scope, some] of batch) {
        const at = careful ? await (await this.table(scope)).run('readonly', (store) => store.get(AT)) : undefined;
        ask[scope] = { since: at ?? NOWHERE, changes: this.encode(some), unless_newer: careful };
      }
      const answer = await this.send(ask, { keepalive: leaving });
      for (const [scope, some] of batch) await this.arrived(scope, some, answer.scopes[scope]);
      this.wait = RETRY;
      this.most = MOST;
    } catch (error) {
      if (error.refused && changes.length > 1) {
        // It may be the fault of one alone.
        this.most = 1;
      } else if (error.refused) {
        // It stays in this browser, and marked: the next page tries again.
        console.warn(`state of the editor is not kept for other devices: ${error.message}`);
        for (const [scope, some] of batch) for (const [key, change] of some) if (this.pending.get(scope)?.get(key) === change) this.pending.get(scope).delete(key);
      }
      next = this.wait;
      this.wait = Math.min(this.wait * 2, RETRY_MOST);
    } finally {
      changes.forEach((change) => (change.flying = false));
      if (!leaving) this.busy = false;
    }
    if ([...this.pending.values()].some((some) => some.size > 0)) this.timer ??= setTimeout(() => this.flush(), next);
  }

  /** The instance has these changes now. */
  async arrived(scope, changes, updated) {
    for (const [key, change] of changes) if (this.pending.get(scope)?.get(key) === change) this.pending.get(scope).delete(key);
    const table = await this.table(scope);
    await table.run('readwrite', async (store) => {
      const [at = NOWHERE, marks] = await Promise.all([store.get(AT), store.marks()]);
      for (const [key, { token }] of changes) if (marks.get(key) === token) store.delete(MARK + key);
      // Where others have changed something in between, this store stays behind until the next page asks for it.
      if (at.revision === updated.before && (at.epoch === updated.epoch || at.revision === 0)) store.put(AT, { epoch: updated.epoch, revision: updated.revision });
      else if (at.epoch !== updated.epoch) store.put(AT, NOWHERE);
    });
  }

  /** One request. Everything of this page has a number, because requests may overtake each other. */
  async send(scopes, options) {
    const body = JSON.stringify({ page: this.page, sequence: ++this.sequence, scopes });
    const answer = await fetch(this.url, { method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body, ...options });
    if (answer.ok) return answer.json();
    const error = new Error(`answer ${answer.status}`);
    // Signed out: whoever signs in again opens the page again.
    if (answer.status === 401 || answer.status === 403) this.stopped = true;
    error.refused = answer.status >= 400 && answer.status < 500;
    throw error;
  }

  /** Goes on for as long as the page lives. */
  follow() {
    const leave = () => void this.flush(true);
    addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && leave(), true);
    addEventListener('beforeunload', () => {
      // It may stay all the same, when it asks and the answer is no.
      this.leaving = true;
      setTimeout(() => (this.leaving = false), 5000);
      leave();
    }, true);
    addEventListener('pagehide', () => {
      this.leaving = true;
      leave();
    }, true);
    addEventListener('pageshow', () => (this.leaving = false));
    addEventListener('online', () => {
      this.wait = RETRY;
      void this.flush();
    });
    if (this.pending.size > 0) this.timer ??= setTimeout(() => this.flush(), DELAY);
  }
}

const pick = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));

/** The page's own call: first the state, then the workbench. */
export async function begin(config, workbench) {
  performance.mark('hoody-code/willLoadState');
  try {
    const roaming = new Roaming(config, new URL('./api/v1/code/state', location.href), location.host);
    roaming.stopped = !('hoodyPass' in document.documentElement.dataset);
    roaming.observe();
    if (!roaming.stopped) {
      await roaming.load().catch((error) => {
        roaming.behind = true;
        console.warn(`the state that other devices have left is not loaded: ${error}`);
      });
      roaming.follow();
    }
  } catch (error) {
    console.warn(`the state of the editor stays in this browser: ${error}`);
  }
  performance.mark('hoody-code/didLoadState');
  await import(new URL(workbench, document.baseURI).href);
}
