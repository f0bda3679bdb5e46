// Where the recording is made, with a real browser, and where the client that repeats it has to show that it does the same.

import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tempDir } from '../processes.mjs';
import { openEditor } from './client.mjs';
import { startRecorder } from './recorder.mjs';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run', '--disable-sync'];
const CHROMIUM = process.env.HOODY_CODE_CHROMIUM ?? '/usr/bin/chromium';
/** An editor that has just come up goes on for a while: extensions start, caches fill. It is ready when it has been silent for this long. */
const SILENCE_MS = 4000;
/** But not sooner than this after it came up, and not later. */
const SETTLE_MS = [8000, 45_000];
/** Names of instances are equally long, so that one can stand for another in what was recorded. */
export const nameOf = (number) => `den${String(number).padStart(4, '0')}`;
const RECORDED = nameOf(0);

/** A Chromium with an empty profile. */
export async function openBrowser() {
  const { chromium } = await import(new URL('../../../tests/node_modules/playwright-core/index.mjs', import.meta.url));
  const context = await chromium.launchPersistentContext(tempDir('profile'), { executablePath: CHROMIUM, args: ARGS, timeout: 60_000 });
  await context.addInitScript(() => addEventListener('ide-ready', () => (globalThis.benchReady = true), { once: true }));
  return context;
}

/** Opens `url` in `page`; ms until the workbench is to be seen, and until its explorer shows the folder. */
export async function visit(page, url) {
  const began = performance.now();
  await page.goto(url, { waitUntil: 'commit', timeout: 60_000 });
  await page.locator('.monaco-workbench .part.editor').first().waitFor({ timeout: 60_000 });
  const visible = performance.now() - began;
  const rows = '.explorer-folders-view .monaco-list-row';
  await page.waitForFunction((selector) => globalThis.benchReady && document.querySelector(selector), rows, { timeout: 60_000 });
  return { visible, ready: performance.now() - began };
}

/** What an open editor adds: the processes, and the memory of each kind. */
const open = (host) => {
  const { kinds, byKind, privateMb, pssMb } = host.usage();
  return { kinds, byKind, privateMb, pssMb };
};

/** Words that were recorded, and those of another host and instance in their place. */
export const pairsFor = (recording, host, id) => [[recording.root, path.basename(host.root)], [recording.id, id]];

/** Waits until `silence` (in ms) says that an editor has come to rest. */
async function settle(silence) {
  const began = performance.now();
  const [least, most] = SETTLE_MS;
  for (;;) {
    await sleep(250);
    const passed = performance.now() - began;
    if (passed > most || (passed > least && silence() > SILENCE_MS)) return;
  }
}

/** Records a real browser at `host`; gives the recording and what the host used while the page was open. */
async function record(host) {
  const { address, path: pagePath } = await host.prepare(RECORDED);
  const recorder = await startRecorder(address);
  const context = await openBrowser();
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    const times = await visit(page, `http://127.0.0.1:${recorder.port}${pagePath}`);
    await settle(recorder.silence);
    const figures = open(host);
    recorder.leaving();
    await page.goto('about:blank');
    await sleep(2000);
    recorder.stop();
    const steps = recorder.steps.filter((step) => step.request || step.socket.said.length > 0);
    if (steps.filter((step) => step.socket).length < 2) throw new Error('the browser opened fewer than two websockets');
    // Up to the page itself: a loader's requests may come before it.
    const begin = steps.findLastIndex((step) => step.request?.path === pagePath);
    return { recording: { root: path.basename(host.root), id: RECORDED, steps: steps.slice(begin) }, figures, times };
  } finally {
    await context.close();
    await recorder.end();
  }
}

/** The same with the client, at another instance of the same host. */
async function repeat(host, recording, id) {
  const { address } = await host.prepare(id);
  const began = performance.now();
  const editor = await openEditor({ address, recording: recording.steps, pairs: pairsFor(recording, host, id) });
  const saidMs = performance.now() - began;
  await settle(editor.silence);
  const after = open(host);
  const broken = editor.broken();
  await editor.close();
  return { after, saidMs, broken, failed: editor.failed.map((error) => error.message) };
}

/** How far apart the memory of the same process may be under browser and client. */
const MARGIN = 0.25;

/**
 * Makes the recording and checks the client against the browser: the same kinds of processes, and of memory what a margin allows.
 * The host is used up.
 */
export async function makeRecording(start, say) {
  say('recording a real browser');
  const first = await start();
  let recorded;
  try {
    recorded = await record(first);
  } finally {
    await first.end();
  }
  say('the same by the client');
  const second = await start();
  try {
    const { after, saidMs, broken, failed } = await repeat(second, recorded.recording, nameOf(1));
    const browser = recorded.figures;
    const names = (kinds) => Object.entries(kinds).map(([kind, count]) => `${count} ${kind}`).sort().join(', ');
    const same = names(browser.kinds) === names(after.kinds);
    const ratio = after.privateMb / browser.privateMb;
    const agrees = same && !broken && Math.abs(ratio - 1) <= MARGIN;
    const sockets = recorded.recording.steps.filter((step) => step.socket);
    return {
      recording: recorded.recording,
      check: {
        agrees, same, broken, failed, ratio, browser, client: after, times: recorded.times, saidMs,
        requests: recorded.recording.steps.length - sockets.length,
        messages: sockets.map((step) => step.socket.said.length),
        leaving: sockets.map((step) => step.socket.left.length),
      },
    };
  } finally {
    await second.end();
  }
}

