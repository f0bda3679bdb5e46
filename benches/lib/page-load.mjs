// Row 2: the editor in a real browser, from an empty profile and then again from its cache.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { median, round } from './numbers.mjs';
import { ownCpu, tempDir, treeCpu } from './processes.mjs';
import { startRelay } from './relay.mjs';

const RUNS = 3;
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run', '--disable-sync'];
const CHROMIUM = process.env.HOODY_CODE_CHROMIUM ?? '/usr/bin/chromium';
/** What is counted: until this long after the explorer is there. The network never falls silent, an open editor keeps talking. */
const AFTER_READY_MS = 8000;

async function chromium() {
  const module = new URL('../../tests/node_modules/playwright-core/index.mjs', import.meta.url);
  return (await import(module)).chromium;
}

/** What CDP says of the page's own requests: its workers and frames are not in it, and websocket frames come inflated. A check on the relay. */
async function countByBrowser(context, page) {
  const session = await context.newCDPSession(page);
  const counted = { http: 0, requests: 0, websocket: 0 };
  // Binary frames come as base64.
  const frame = ({ response }) => (counted.websocket += Math.floor(response.payloadData.length * (response.opcode === 1 ? 1 : 0.75)));
  session.on('Network.loadingFinished', ({ encodedDataLength }) => {
    counted.http += encodedDataLength;
    counted.requests++;
  });
  session.on('Network.webSocketFrameReceived', frame);
  await session.send('Network.enable');
  return counted;
}

async function loadOnce(context, server, relay, url) {
  const page = await context.newPage();
  await page.addInitScript(() => addEventListener('ide-ready', () => (globalThis.benchReady = true), { once: true }));
  const counted = await countByBrowser(context, page);
  const [http, websocket, up, cpu, own] = [relay.http, relay.websocket, relay.up, treeCpu(server.pid), ownCpu(server.pid)];
  const began = performance.now();
  await page.goto(url, { waitUntil: 'commit', timeout: 60_000 });
  await page.waitForSelector('.monaco-workbench', { timeout: 60_000 });
  const explorer = '.explorer-folders-view .monaco-list-row';
  await page.waitForFunction((rows) => globalThis.benchReady && document.querySelector(rows), explorer, { timeout: 60_000 });
  const ready = performance.now() - began;
  await sleep(AFTER_READY_MS);
  const figures = {
    readyMs: round(ready),
    httpBytes: relay.http - http,
    websocketBytes: relay.websocket - websocket,
    sentBytes: relay.up - up,
    browserHttpBytes: Math.round(counted.http),
    browserWebsocketBytes: counted.websocket,
    browserRequests: counted.requests,
    cpuMs: treeCpu(server.pid) - cpu,
    daemonCpuMs: ownCpu(server.pid) - own,
  };
  await page.goto('about:blank');
  await page.close();
  return figures;
}

const middle = (all) => Object.fromEntries(Object.keys(all[0]).map((key) => [key, median(all.map((one) => one[key]))]));

/** Every server gets a fresh profile per run, and its second load from the same profile. */
export async function measurePageLoads({ servers, say }) {
  const browserType = await chromium();
  const folder = tempDir('folder');
  fs.writeFileSync(path.join(folder, 'hello.txt'), 'hello\n');
  fs.mkdirSync(path.join(folder, 'src'));
  const runs = Object.fromEntries(servers.map(({ name }) => [name, { first: [], second: [] }]));
  let acceptEncoding;
  for (let i = 0; i < RUNS; i++) {
    for (const server of servers) {
      say(`${server.name}, run ${i + 1} of ${RUNS}`);
      const relay = await startRelay(server.address);
      const context = await browserType.launchPersistentContext(tempDir('profile'), { executablePath: CHROMIUM, args: ARGS, timeout: 60_000 });
      try {
        const url = `http://127.0.0.1:${relay.port}/?folder=${encodeURIComponent(folder)}`;
        for (const which of ['first', 'second']) {
          runs[server.name][which].push(await loadOnce(context, server, relay, url));
          // The extension host of the page that was closed ends meanwhile; its time must not count for the next one.
          await sleep(2000);
        }
        acceptEncoding = relay.acceptEncoding;
      } finally {
        await context.close();
        await relay.end();
      }
    }
  }
  const medians = Object.fromEntries(
    Object.entries(runs).map(([name, { first, second }]) => [name, { first: middle(first), second: middle(second), runs: { first, second } }]),
  );
  return { acceptEncoding, servers: medians };
}
