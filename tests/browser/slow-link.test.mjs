// A slow link: 3 Mbit/s, and 150 ms there and back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PHONE } from './devices.mjs';
import { scene, until } from './support.mjs';
import { ready } from './workbench.mjs';

const SLOW = { offline: false, latency: 150, downloadThroughput: 3e6 / 8, uploadThroughput: 1e6 / 8 };

/** Makes the page's link slow, and counts the bytes that came over it: all of them, and by URL those of files. */
async function slowLink(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Network.enable');
  await cdp.send('Network.emulateNetworkConditions', SLOW);
  const urls = new Map();
  const counted = { bytes: 0, files: [], last: Date.now(), reset: () => Object.assign(counted, { bytes: 0, files: [] }) };
  cdp.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, response.url));
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    counted.last = Date.now();
    counted.bytes += encodedDataLength;
    const url = urls.get(requestId);
    if (encodedDataLength > 0 && url?.startsWith('http')) counted.files.push([new URL(url).pathname, encodedDataLength]);
  });
  return counted;
}

/** Loads `url`; seconds until the editor was up. */
async function load(page, url, counted) {
  const began = Date.now();
  page.watch.leave();
  await page.goto(url, { waitUntil: 'commit' });
  await ready(page);
  const up = (Date.now() - began) / 1000;
  // What is loaded late belongs to this load, not to the next one.
  await until('nothing more comes', () => Date.now() - counted.last > 3_000);
  return up;
}

/** Notes when something of the loader is painted for the first time; seconds after `began`, or undefined. */
async function watchLoader(page) {
  let at;
  await page.exposeFunction('noteLoader', () => (at ??= Date.now()));
  await page.addInitScript(() => {
    const look = () => (document.getElementById('hoody-overlay') || document.body?.dataset.hoody) && requestAnimationFrame(() => globalThis.noteLoader());
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
  });
  return { after: (began) => at && (at - began) / 1000, forget: () => (at = undefined) };
}

test('on a slow link the loader is there at once, the editor when its bytes are, and the second time it takes none', scene({ config: '[page]\nloader = true\n' }, async ({ daemon, project, profile }, t) => {
  // A lasting profile: like a phone's, it has a cache on disk.
  const page = await profile({ ...PHONE, lasting: true });
  const loader = await watchLoader(page);
  const counted = await slowLink(page);
  const url = `${daemon.url}?folder=${project}`;
  const began = Date.now();
  const first = await load(page, url, counted);
  const seen = loader.after(began);
  const wire = counted.bytes / SLOW.downloadThroughput;
  counted.reset();
  const second = await load(page, url, counted);
  const ratio = (first - second) / wire;
  t.diagnostic(`loader after ${seen?.toFixed(1)} s; ${((wire * SLOW.downloadThroughput) / 1e6).toFixed(2)} MB take ${wire.toFixed(1)} s; up after ${first.toFixed(1)} s, the second time after ${second.toFixed(1)} s: the difference is ${ratio.toFixed(2)} times what the bytes take`);
  t.diagnostic(`the second time came over the network: ${counted.files.map(([name, size]) => `${name} ${size}`).join(', ')}`);
  assert.ok(seen < Math.max(3, second / 2), `${seen} s until there was something to see`);
  // What the machine does without any link is in both; the rest is the link's.
  assert.ok(ratio < 2, `${ratio}`);
  // What the first page had asked for at last, when the editor was up already, may have come only now.
  const files = counted.files.slice(counted.files.findIndex(([name]) => name === '/'));
  // A page of 2 kB for extensions that run in the browser: VS Code asks for it by another address each time.
  const again = files.filter(([name]) => /\/static\/|\/_static\//.test(name) && !name.endsWith('/webWorkerExtensionHostIframe.html') && !name.endsWith('/serviceWorker.js'));
  assert.deepEqual(again, [], 'static files came again');
  const bytes = files.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(bytes < 40_000, `${bytes}`);
}));
