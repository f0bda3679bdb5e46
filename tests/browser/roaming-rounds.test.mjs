// What is ours of the roaming state, from the browser's storage to the instance's and back, with a stand-in for the workbench.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { bench } from './bench.mjs';
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
test('200 rounds of opening, changing and leaving on two devices lose nothing', scene(async (stage) => {
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
    model.set(name, { value: before, left: { device, value }, rivals: left && left.device !== device ? [...rivals, left.value] : rivals });
  };
  const began = Date.now();
  for (let round = 0; round < 200; round += 1) {
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
    const way = of(['elsewhere', 'close', 'kill', 'sent']);
    if (process.env.HOODY_CODE_TRACE) console.log(round, devices.indexOf(device), way, JSON.stringify(changes, (_, v) => typeof v === 'string' ? v.slice(0, 6) : v));
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
  console.log(`200 rounds in ${((Date.now() - began) / 1000).toFixed(1)} s, ${model.size} keys`);
}));
