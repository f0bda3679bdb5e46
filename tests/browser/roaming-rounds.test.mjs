// What is ours of the roaming state, from the browser's storage to the instance's and back, with a stand-in for the workbench.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { bench } from './bench.mjs';
import { scopeOf, translator } from '../../src/front/handlers/state/names.js';
import { scene, until } from './support.mjs';

const GLOBAL = 'global';
const FOLDER = '4b3f6640-247a9';

/** A generator whose numbers can be had again. */
function dice(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return { below: (most) => Math.floor(next() * most), of: (list) => list[Math.floor(next() * list.length)] };
}

// A round: a device opens the page, has to find what was left, changes one to five keys of two stores, and is left: by another
// address at once, closed, killed, or it stays until all has been sent. What was left at once may be on its way still: the other
// device finds the value before or the one after; the device that made it finds its own, and then so does everybody. Only where both
// devices had left the same key at once, nobody can tell which was later, and one of the two has to be found.
test('200 rounds of opening, changing and leaving on two devices, or as many as 100 s allow, lose nothing', scene(async (stage) => {
  const { daemon, project } = stage;
  const seed = Number(process.env.HOODY_CODE_SEED ?? Date.now() % 1e6);
  console.log(`HOODY_CODE_SEED=${seed}`);
  const { below, of } = dice(seed);
  const url = `${daemon.url}?folder=${project}`;
  const devices = [await bench(stage, url), await bench(stage, url)];
  /** store/key → `value`; what a `device` has `left` that may not be known everywhere; and `rivals`, which the other had left before. */
  const model = new Map();
  const look = async (device) => {
    const found = { [GLOBAL]: await device.read(GLOBAL), [FOLDER]: await device.read(FOLDER) };
    for (const [name, entry] of model) {
      const [store, key] = name.split('/');
      const actual = found[store][key] ?? null;
      const { value, left, rivals = [] } = entry;
      const admitted = [...(left ? [left.value] : []), ...rivals, ...(left?.device === device ? [] : [value])];
      assert.ok(admitted.includes(actual), `${name} is ${actual}, not one of ${JSON.stringify(admitted)}`);
      if (left && (actual === left.value || left.device === device)) model.set(name, { value: actual });
    }
  };
  const leave = (device, name, value) => {
    const { value: before = null, left, rivals = [] } = model.get(name) ?? {};
    // What was there already is no change, and beats nothing that another device has left before.
    if (value === before && left?.device !== device) return;
    model.set(name, { value: before, left: { device, value }, rivals: left && left.device !== device ? [...rivals, left.value] : rivals });
  };
  const began = Date.now();
  let round = 0;
  // A machine that has much else to do gets as far as it gets.
  for (; round < 200 && Date.now() - began < 100_000; round += 1) {
    const device = of(devices);
    await device.open();
    await look(device);
    const changes = { [GLOBAL]: {}, [FOLDER]: {} };
    for (let left = 1 + below(5); left > 0; left -= 1) {
      const key = `key ${below(30)}`;
      const value = below(6) === 0 ? null : `${round} ${'ä🚢"\\'.repeat(below(20) === 0 ? 5000 : below(20))}`;
      changes[of([GLOBAL, FOLDER])][key] = value;
    }
    for (const store of [GLOBAL, FOLDER]) await device.write(store, changes[store]);
    const way = of(['elsewhere', 'elsewhere', 'close', 'close', 'kill', 'sent']);
    if (way === 'elsewhere') await device.page.goto('about:blank');
    if (way === 'close') await device.close();
    if (way === 'kill') await device.kill();
    if (way === 'sent') await device.sent();
    for (const store of [GLOBAL, FOLDER]) {
      for (const [key, value] of Object.entries(changes[store])) {
        if (way === 'sent') model.set(`${store}/${key}`, { value });
        else leave(device, `${store}/${key}`, value);
      }
    }
  }
  for (const device of [...devices, ...devices]) {
    await device.open();
    await look(device);
    await device.sent();
  }
  assert.ok([...model.values()].every((entry) => !entry.left));
  console.log(`${round} rounds in ${((Date.now() - began) / 1000).toFixed(1)} s, ${model.size} keys`);
}));

test('addresses are translated where they are addresses, and nowhere else', () => {
  for (const [here, there] of [['127.0.0.1:8080', 'code.example.com'], ['code.example.com', 'localhost:1']]) {
    const [from, to] = [translator(here), translator(there)];
    const code = encodeURIComponent;
    for (const text of [
      (host) => `["vscode-remote://${host}/a/b","vscode-remote://${host}"]`,
      (host) => `{"authority":"${host}","remoteAuthority":"${host}"}`,
      (host) => JSON.stringify(JSON.stringify({ authority: host, external: `vscode-remote://${host}/x` })),
      (host) => `vscode-remote%3A%2F%2F${code(host)}%2Fa`,
    ]) {
      assert.equal(to.in(from.out(text(here))), text(there), text(here));
      assert.ok(!from.out(text(here)).includes(here) || here === code(here) && from.out(text(here)).includes('%3A'), 'nothing of it is left');
    }
    for (const text of [`see http://${here}/`, `vscode-remote://${here}.evil.example/`, `vscode-remote://${here}1/`, `{"author":"${here}"}`]) assert.equal(from.out(text), text);
    assert.equal(to.inKey(from.outKey(`resource.authority.os.${here}`)), `resource.authority.os.${there}`);
    assert.equal(from.outKey(`x${here}`), `x${here}`);
  }
  assert.equal(scopeOf('vscode-web-state-db-global', 'w'), 'global');
  assert.equal(scopeOf('vscode-web-state-db-global-shared', 'w'), 'global-shared');
  assert.equal(scopeOf('vscode-web-state-db-global-1a2b', 'w'), 'profile/1a2b');
  assert.equal(scopeOf('vscode-web-state-db--4b3f6640-247a9', 'w'), 'w');
  assert.equal(scopeOf('vscode-web-db', 'w'), undefined);
});

test('an instance has one state at all of its addresses, and every instance its own', scene(async (stage) => {
  const { daemon, project } = stage;
  const folder = `?folder=${project}`;
  const [first, second] = [await bench(stage, daemon.url + folder), await bench(stage, `http://localhost:${daemon.port}/i/default/${folder}`)];
  await first.open();
  await first.write(FOLDER, { open: `vscode-remote://127.0.0.1:${daemon.port}/x` });
  await first.sent();
  await second.open();
  assert.deepEqual(await second.read('another-name'), { open: `vscode-remote://localhost:${daemon.port}/x` });
  // On the very same origin, in the same browser.
  await first.open(`${daemon.url}i/bob/${folder}`);
  assert.deepEqual(await first.read(FOLDER), {});
  await first.write(GLOBAL, { 'of bob': 'x' });
  await first.page.evaluate(() => localStorage.setItem('secrets.provider', 'of bob'));
  await first.sent();
  await first.open();
  assert.deepEqual(await first.read(GLOBAL), {});
  assert.equal(await first.page.evaluate(() => localStorage.getItem('secrets.provider')), null);
}));

test('words of local storage roam, and a store that is emptied is empty everywhere', scene(async (stage) => {
  const { daemon, project } = stage;
  const devices = [await bench(stage, `${daemon.url}?folder=${project}`), await bench(stage, `${daemon.url}?folder=${project}`)];
  const [first, second] = devices;
  await first.open();
  await first.page.evaluate(() => (localStorage.setItem('secrets.provider', 'sealed'), localStorage.setItem('other', 'mine')));
  await first.write(GLOBAL, { a: '1', 'storage.serviceMachineId': 'mine', b: '\ud800 alone' });
  await first.sent();
  await until('the word has arrived', async () => (await scope(daemon, 'local'))['secrets.provider'] === 'sealed');
  await second.open();
  assert.deepEqual(await second.read(GLOBAL), { a: '1', b: '\ufffd alone' });
  assert.deepEqual(await second.page.evaluate(() => [localStorage.getItem('secrets.provider'), localStorage.getItem('other')]), ['sealed', null]);
  await second.page.evaluate(() => bench.clear('global'));
  await second.page.evaluate(() => localStorage.removeItem('secrets.provider'));
  await second.sent();
  await until('the word is gone', async () => !('secrets.provider' in (await scope(daemon, 'local'))));
  await first.open();
  assert.deepEqual(await first.read(GLOBAL), { 'storage.serviceMachineId': 'mine' });
  assert.equal(await first.page.evaluate(() => localStorage.getItem('secrets.provider')), null);
}));

test('a page that could not load overwrites nothing, and what is broken is set aside and filled again', scene(async (stage) => {
  const { daemon, project } = stage;
  const url = `${daemon.url}?folder=${project}`;
  const [first, second] = [await bench(stage, url), await bench(stage, url)];
  await first.open();
  await first.write(GLOBAL, { a: 'first', big: 'x'.repeat(100_000) });
  await first.sent();
  // A line that breaks just then.
  const session = await second.page.context().newCDPSession(second.page);
  await session.send('Network.enable');
  await session.send('Network.setBlockedURLs', { urls: ['*/api/v1/code/state'] });
  second.page.watch.expect(/failed inspector: PATCH|ERR_BLOCKED_BY_CLIENT/);
  await second.open();
  assert.deepEqual(await second.read(GLOBAL), {});
  await second.write(GLOBAL, { a: 'default', b: 'second' });
  await session.send('Network.setBlockedURLs', { urls: [] });
  await until('what is new has arrived', async () => (await scope(daemon, GLOBAL)).b === 'second');
  assert.equal((await scope(daemon, GLOBAL)).a, 'first');
  await second.open();
  assert.equal((await second.read(GLOBAL)).a, 'first');

  const dir = path.join(daemon.data, 'state/default/roaming');
  for (const name of fs.readdirSync(dir)) fs.writeFileSync(path.join(dir, name), 'no state at all');
  const third = await bench(stage, url);
  await third.open();
  assert.deepEqual(await third.read(GLOBAL), {});
  await third.write(GLOBAL, { c: 'third' });
  await third.sent();
  assert.match(daemon.output, /is broken/);
  assert.ok(fs.readdirSync(dir).some((name) => name.endsWith('.broken')));
  await first.open();
  await first.sent();
  await third.open();
  const all = await third.read(GLOBAL);
  assert.deepEqual({ ...all, big: all.big.length }, { a: 'first', big: 100_000, c: 'third' });
}));

/** Seals and opens as VS Code does: base64 of a key, a nonce, and AES-GCM with that key XOR the instance's. */
async function sealer(daemon) {
  const instance = new Uint8Array(await (await fetch(`${daemon.url}mint-key`, { method: 'POST' })).arrayBuffer());
  const cipher = (own) => crypto.subtle.importKey('raw', own.map((byte, n) => byte ^ instance[n]), 'AES-GCM', false, ['encrypt', 'decrypt']);
  return {
    async seal(secrets) {
      const [own, iv] = [crypto.getRandomValues(new Uint8Array(32)), crypto.getRandomValues(new Uint8Array(12))];
      const rest = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, await cipher(own), Buffer.from(JSON.stringify(secrets)));
      return Buffer.concat([own, iv, Buffer.from(rest)]).toString('base64');
    },
    async open(word) {
      const bytes = new Uint8Array(Buffer.from(word ?? '', 'base64'));
      const text = await crypto.subtle.decrypt({ name: 'AES-GCM', iv: bytes.slice(32, 44) }, await cipher(bytes.slice(0, 32)), bytes.slice(44));
      return JSON.parse(Buffer.from(text).toString());
    },
  };
}

test('secrets that several devices store at the same time are all kept', scene(async (stage) => {
  const { daemon, project } = stage;
  const url = `${daemon.url}?folder=${project}`;
  const [first, second] = [await bench(stage, url), await bench(stage, url)];
  const { seal, open } = await sealer(daemon);
  const store = async (device, secrets) => device.page.evaluate((word) => localStorage.setItem('secrets.provider', word), await seal(secrets));
  const arrive = (secrets) => until(`${JSON.stringify(secrets)} has arrived`, async () => {
    assert.deepEqual(await open((await scope(daemon, 'local'))['secrets.provider']), secrets);
    return true;
  });
  await first.open();
  await second.open();
  await store(first, { a: 1 });
  await arrive({ a: 1 });
  await store(second, { b: 2 });
  await arrive({ a: 1, b: 2 });
  await store(first, { a: 3 });
  await arrive({ a: 3, b: 2 });
  await store(first, {});
  await arrive({ b: 2 });
  // Left in a tab that is killed, and sent when there are others.
  await store(second, { b: 2, c: 4 });
  await second.kill();
  await store(first, { d: 5 });
  await arrive({ b: 2, d: 5 });
  await second.open();
  await arrive({ b: 2, c: 4, d: 5 });
}));

test('an app on the same origin neither reads nor changes it', scene(async (stage) => {
  const { daemon, project } = stage;
  const device = await bench(stage, `${daemon.url}?folder=${project}`);
  await device.open();
  await device.write(GLOBAL, { a: '1' });
  await device.sent();
  const app = await stage.profile();
  app.watch.expect(/403/);
  await app.goto(`${daemon.url}robots.txt`);
  const statuses = await app.evaluate(async () => {
    const ask = async (method, body) => (await fetch('/api/v1/code/state', { method, body })).status;
    return [await ask('GET'), await ask('PATCH', '{"page":"x","sequence":1,"scopes":{"global":{"changes":{"a":null}}}}')];
  });
  assert.deepEqual(statuses, [403, 403]);
  assert.deepEqual(await scope(daemon, GLOBAL), { a: '1' });
}));

/** What the instance has of one scope, as an operator sees it. */
async function scope(daemon, name) {
  const answer = await fetch(`${daemon.url}api/v1/code/state?scope=${encodeURIComponent(name)}`);
  return (await answer.json()).news.entries;
}
