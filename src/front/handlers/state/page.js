// Keeps what the workbench stores in this browser together with what the instance has of it.
//
// The workbench has several stores ("scopes"): a database for all folders, one per folder, and three words of local storage. Every
// change that it makes there is marked in the same transaction, sent a moment later, and unmarked when it has arrived. What could
// not be sent stays marked, and goes out the next time a page is opened. Before the workbench starts, what has changed on other
// devices is put in its stores: the page says how far the instance is, and each store knows how far it is itself, so that mostly
// there is nothing to do.
//
// Without a pass (see page-pass.html) nothing is asked and nothing is sent.

/** How long changes are collected, how long the workbench waits for the instance, and how soon a failure is tried again. In ms. */
const DELAY = 1000;
const PATIENCE = 10_000;
const [RETRY, RETRY_MOST] = [2000, 60_000];
/** The most bytes of one request, and of one that outlives its page: browsers allow 64 kB for all of those together. */
const MOST = 1 << 20;
const MOST_LEAVING = 60_000;

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
      if (scope === undefined || typeof key !== 'string' || own(key)) return;
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
    const place = (storage, key) => (storage === localStorage && WORDS.includes(String(key)) ? `${words}${key}` : key);
    const changeWord = (key, value) => {
      if (own(key)) return;
      const token = roaming.token();
      native.setItem.call(localStorage, `${words}${MARK}${key}`, JSON.stringify([token]));
      roaming.changed('local', key, value, token);
    };
    Storage.prototype.getItem = function (key) {
      return native.getItem.call(this, place(this, key));
    };
    Storage.prototype.setItem = function (key, value) {
      if (place(this, key) !== key && native.getItem.call(this, place(this, key)) !== String(value)) changeWord(String(key), String(value));
      native.setItem.call(this, place(this, key), value);
    };
    Storage.prototype.removeItem = function (key) {
      if (place(this, key) !== key && native.getItem.call(this, place(this, key)) !== null) changeWord(String(key), undefined);
      native.removeItem.call(this, place(this, key));
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
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await this.send(ask, { signal }).catch((error) => {
      if (!error.refused) throw error;
      // Something that was left here is refused: that keeps it from the others, and nothing of theirs from here.
      for (const scope of Object.keys(ask)) {
        ask[scope].changes = {};
        marked.set(scope, new Map());
      }
      return this.send(ask, { signal });
    });
    await Promise.all(Object.entries(answer.scopes).map(([scope, updated]) => this.take(scope, updated, marked.get(scope), ask[scope].since)));
    // Secrets that were left here, and others that came there since.
    const [mine, theirs] = [marked.get('local')?.get(SECRETS)?.value, answer.scopes.local?.news.entries[SECRETS]];
    if (typeof mine !== 'string' || typeof theirs !== 'string') return;
    const change = { token: this.token(), value: await mergeSecrets(undefined, theirs, mine) };
    await (await this.table('local')).run('readwrite', async (store) => {
      store.put(MARK + SECRETS, [change.token]);
      store.put(SECRETS, change.value);
    });
    this.keep('local', SECRETS, change);
  }

  /** Puts news in a store. What has changed here meanwhile stays. */
  async take(scope, updated, sent, since) {
    const table = await this.table(scope);
    // The workbench was started without it.
    if (this.behind) return;
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
        if (own(key)) continue;
        if (marks.delete(key)) {
          // There was no room to send it with the others, and this is newer.
          store.delete(MARK + key);
          this.pending.get(scope)?.delete(key);
        }
        if (value === null) store.delete(key);
        else store.put(key, this.text.in(value));
      }
      if (full) {
        for (const key of await store.keys()) {
          if (news.has(key) || marks.has(key) || sent.has(key) || own(key)) continue;
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
    const waiting = ([key, { flying }]) => !flying && key !== SECRETS;
    const all = [...this.pending].flatMap(([scope, changes]) => [...changes].filter(waiting).map(([key, change]) => ({ scope, key, change, size: this.size(key, change) })));
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
    void this.sendSecrets(leaving);
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
    if (this.batch(1).batch.size > 0) this.timer ??= setTimeout(() => this.flush(), next);
  }

  /**
   * Secrets go by themselves. `view` is what the workbench of this page has, `known` what the instance had when it was last heard
   * of: where those differ, only what the workbench has changed is put in the place of what is there.
   */
  async sendSecrets(leaving) {
    const change = this.pending.get('local')?.get(SECRETS);
    if (!change || change.flying) return;
    change.flying = true;
    try {
      const table = await this.table('local');
      let since = (await table.run('readonly', (store) => store.get(AT))) ?? NOWHERE;
      for (;;) {
        const value = this.view === this.known ? change.value : await mergeSecrets(this.view, change.value, this.known);
        const ask = { local: { since, changes: { [SECRETS]: value ?? null }, unless_newer: true, want: true } };
        const updated = (await this.send(ask, { keepalive: leaving })).scopes.local;
        const theirs = updated.news.entries[SECRETS];
        if (theirs === undefined) {
          [this.view, this.known] = [change.value, value];
          // The next page here starts with what is there now.
          const words = this.local('local/') + SECRETS;
          if (value !== change.value && native.getItem.call(localStorage, words) === change.value) native.setItem.call(localStorage, words, value);
          await this.arrived('local', new Map([[SECRETS, change]]), updated);
          return;
        }
        this.known = theirs ?? undefined;
        since = { epoch: updated.epoch, revision: updated.revision };
      }
    } catch (error) {
      console.warn(`secrets are not kept for other devices yet: ${error.message}`);
      // Refused: it stays in this browser, and marked, as with everything else.
      if (error.refused) this.pending.get('local')?.delete(SECRETS);
      else this.secretsTimer ??= setTimeout(() => ((this.secretsTimer = undefined), this.flush()), this.wait);
    } finally {
      change.flying = false;
    }
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
      const late = new Promise((_, reject) => setTimeout(() => reject(new Error('it takes too long')), 2 * PATIENCE));
      await Promise.race([roaming.load(), late]).catch((error) => {
        roaming.behind = true;
        console.warn(`the state that other devices have left is not loaded: ${error}`);
      });
      roaming.view = roaming.known = localStorage.getItem(SECRETS) ?? undefined;
      roaming.follow();
    }
  } catch (error) {
    console.warn(`the state of the editor stays in this browser: ${error}`);
  }
  performance.mark('hoody-code/didLoadState');
  await import(new URL(workbench, document.baseURI).href);
}
