// A stand-in for the workbench: the real page of the real daemon, with all that is ours in it, whose workbench.js is a few lines
// that use the browser's storage as VS Code does. So a page is opened, used and left in a fraction of a second.
//
//   const device = await bench(stage, url);         a browser profile of its own
//   await device.open();
//   await device.write('global', { key: 'value', gone: null });
//   assert.deepEqual(await device.read('global'), …);

import { until } from './daemon.mjs';

const PREFIX = 'vscode-web-state-db-';

const TYPES = { js: [{ name: 'Content-Type', value: 'text/javascript' }], css: [{ name: 'Content-Type', value: 'text/css' }] };

const WORKBENCH = `
const databases = new Map();
const open = (name) => {
  if (!databases.has(name)) databases.set(name, new Promise((resolve, reject) => {
    const request = indexedDB.open('${PREFIX}' + name);
    request.onupgradeneeded = () => request.result.createObjectStore('ItemTable');
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  }));
  return databases.get(name);
};
globalThis.bench = {
  async read(name) {
    const store = (await open(name)).transaction('ItemTable').objectStore('ItemTable');
    const all = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const [keys, values] = await Promise.all([all(store.getAllKeys()), all(store.getAll())]);
    return Object.fromEntries(keys.map((key, n) => [key, values[n]]).filter(([, value]) => typeof value === 'string'));
  },
  async write(name, changes) {
    const transaction = (await open(name)).transaction('ItemTable', 'readwrite');
    const store = transaction.objectStore('ItemTable');
    for (const [key, value] of Object.entries(changes)) value === null ? store.delete(key) : store.put(value, key);
    await new Promise((resolve, reject) => { transaction.oncomplete = resolve; transaction.onerror = reject; });
  },
  async clear(name) {
    const transaction = (await open(name)).transaction('ItemTable', 'readwrite');
    transaction.objectStore('ItemTable').clear();
    await new Promise((resolve) => (transaction.oncomplete = resolve));
  },
};
`;

/** A device that opens `url`; its page is `device.page`, and a new one after it was closed or has crashed. */
export async function bench(stage, url, options = {}) {
  const device = {
    page: await stage.profile(options),
    async open(at = url) {
      await device.page.goto(at, { waitUntil: 'commit' });
      await device.page.waitForFunction(() => globalThis.bench !== undefined);
    },
    read: (name) => device.page.evaluate((name) => bench.read(name), name),
    write: (name, changes) => device.page.evaluate(([name, changes]) => bench.write(name, changes), [name, changes]),
    /** Waits until nothing is left to be sent. */
    async sent() {
      await until('all is sent', () => device.page.evaluate(async () => {
        for (const { name } of await indexedDB.databases()) {
          if (!name.startsWith('hoody-code/')) continue;
          const database = await new Promise((resolve) => (indexedDB.open(name).onsuccess = ({ target }) => resolve(target.result)));
          const store = database.transaction('ItemTable').objectStore('ItemTable');
          const keys = await new Promise((resolve) => (store.getAllKeys().onsuccess = ({ target }) => resolve(target.result)));
          database.close();
          if (keys.some((key) => key.startsWith('\u0000hoody/changed/'))) return false;
        }
        return true;
      }));
    },
    /** Ends the page as a phone does that needs the memory. */
    async kill() {
      const session = await device.page.context().newCDPSession(device.page);
      const crashed = new Promise((resolve) => device.page.once('crash', resolve));
      session.send('Page.crash').catch(() => {});
      await crashed;
      await device.again();
    },
    async close() {
      await device.page.close({ runBeforeUnload: false });
      await device.again(false);
    },
    async again(close = true) {
      const context = device.page.context();
      if (close) await device.page.close();
      device.page = await context.newPage();
      await replace(device.page);
    },
  };
  await replace(device.page);
  return device;
}

/**
 * Puts the stand-in in the workbench's place. Not by Playwright's `route`, which holds every request of a page for a moment, and
 * those of a page that has gone until its tab is closed.
 */
async function replace(page) {
  const session = await page.context().newCDPSession(page);
  const stand = Buffer.from(WORKBENCH).toString('base64');
  session.on('Fetch.requestPaused', ({ requestId, request }) => {
    const body = request.url.endsWith('/workbench.js') ? stand : '';
    session.send('Fetch.fulfillRequest', { requestId, responseCode: 200, responseHeaders: TYPES[request.url.split('.').at(-1)], body }).catch(() => {});
  });
  await session.send('Fetch.enable', { patterns: ['workbench.js', 'workbench.css', 'nls.messages.js'].map((name) => ({ urlPattern: `*/${name}` })) });
}
