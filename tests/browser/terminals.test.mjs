// What goes on when nobody looks: terminals, and what a page that is gone leaves behind.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { parent } from './daemon.mjs';
import { link } from './link.mjs';
import { scene, until } from './support.mjs';
import { command, editorText, openFromExplorer, openTerminal, ready, save, showsText, typeAtEnd, typeCommand } from './workbench.mjs';

/** The processes of an instance whose command line has `--type=TYPE`. */
function ofType(daemon, type) {
  const is = (pid) => commandLine(pid).includes(`--type=${type}`);
  // A child that is no other program yet has its parent's command line.
  return daemon.instance().pids().filter((pid) => is(pid) && !is(parent(pid)));
}

/** Waits until there is one, in a list. */
const one = (daemon, type) =>
  until(`one ${type}`, () => {
    const all = ofType(daemon, type);
    return all.length === 1 && all;
  });

function commandLine(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** The private memory of an instance, in MB. */
function memory(daemon) {
  const dirty = (pid) => {
    try {
      return Number(/^Private_Dirty:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);
    } catch {
      return 0;
    }
  };
  return Math.round(daemon.instance().pids().reduce((sum, pid) => sum + dirty(pid), 0) / 1024);
}

/** Opens a terminal and starts a job in it, after `first`, that says something every now and then; gives a way to see that it still does. */
async function startJob(page, project, first = 'true') {
  const ticks = path.join(project, 'ticks');
  await openTerminal(page);
  await typeCommand(page, `${first}; echo first-$((40+2)); while sleep 0.2; do echo tick >> ticks; done`);
  const size = () => (fs.existsSync(ticks) ? fs.statSync(ticks).size : 0);
  await until('the job runs', () => size() > 0);
  return async () => {
    const before = size();
    await until('the job still runs', () => size() > before);
  };
}

/** Waits until the terminal shows `text`; its rows are drawn on a canvas unless the page was asked for the DOM renderer. */
const terminalShows = (page, text) =>
  until(`the terminal shows ${text}`, async () => (await page.locator('.terminal-wrapper.active .xterm-rows').first().innerText()).includes(text), 60_000);

/** Waits until `text` that was typed into notes.txt is backed up, and the page knows. */
async function backedUp(daemon, page, text) {
  await until('the text is backed up', () =>
    fs.globSync(`${daemon.instance().userData}/User/Backups/*/*/*`).some((file) => fs.readFileSync(file, 'utf8').includes(text)));
  // Answers come in the order of the questions.
  await openFromExplorer(page, 'README.md');
  await openFromExplorer(page, 'notes.txt');
}

/** Waits until notes.txt has this text, and is not saved; which file is in front is what VS Code has stored last, every few seconds. */
async function unsaved(page, text) {
  await page.locator('.tab.dirty[data-resource-name="notes.txt"]').click();
  await showsText(page, text);
}

/** Marks the page, so that a reload can be seen. */
const stay = (page) => page.evaluate(() => void (globalThis.stillHere = true));
const stayed = (page) => page.evaluate(() => globalThis.stillHere === true);

const SETTINGS = { 'terminal.integrated.gpuAcceleration': 'off' };

/** What a page says when its network is gone; that is what these scenes are about. */
const brokenNetwork = (page) => page.watch.expect(/./);

test('a tab that vanishes loses its extension host, and nothing else', scene({ config: '[instances]\nabandoned_after = "8s"', settings: SETTINGS }, async ({ daemon, project, visit }, t) => {
  const network = await link(t, daemon.port);
  const page = await visit(`${network.url}?folder=${project}`);
  const runs = await startJob(page, project);
  await openFromExplorer(page, 'notes.txt');
  const [host] = await one(daemon, 'extensionHost');
  const watchers = await one(daemon, 'fileWatcher');
  const before = memory(daemon);
  await stay(page);
  brokenNetwork(page);
  network.cut();
  await typeAtEnd(page, 'typed without a network');
  await until('the extension host has ended', () => !daemon.instance().pids().includes(host));
  t.diagnostic(`private memory: ${before} MB with the page, ${memory(daemon)} MB without`);
  assert.deepEqual(ofType(daemon, 'fileWatcher'), watchers, 'the connection itself is kept: what was typed comes home over it');
  await runs();
  network.mend();
  await until('the page has reloaded by itself', async () => !(await stayed(page)), 90_000);
  await ready(page);
  await unsaved(page, 'one\ntyped without a network');
  await runs();
  await terminalShows(page, 'first-42');
  await save(page, path.join(project, 'notes.txt'), 'one\ntyped without a network');
  await one(daemon, 'extensionHost');
}));

test('what a page has left is ended altogether in the end', scene({ config: '[instances]\nabandoned_after = "1s"', settings: SETTINGS }, async ({ daemon, project, visit }, t) => {
  const network = await link(t, daemon.port);
  const page = await visit(`${network.url}?folder=${project}`);
  const runs = await startJob(page, project);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'typed before');
  await backedUp(daemon, page, 'typed before');
  const before = memory(daemon);
  await stay(page);
  brokenNetwork(page);
  network.cut();
  await until('extension host and watcher have ended', () => ofType(daemon, 'extensionHost').length + ofType(daemon, 'fileWatcher').length === 0, 60_000);
  t.diagnostic(`private memory: ${before} MB with the page, ${memory(daemon)} MB without`);
  await runs();
  network.mend();
  await until('the page has reloaded by itself', async () => !(await stayed(page)), 90_000);
  await ready(page);
  await unsaved(page, 'one\ntyped before');
  await runs();
  await terminalShows(page, 'first-42');
}));

test('after a while without a network the editor goes on where it was', scene({ settings: SETTINGS }, async ({ daemon, project, visit }, t) => {
  const network = await link(t, daemon.port);
  const page = await visit(`${network.url}?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  const hosts = await one(daemon, 'extensionHost');
  await stay(page);
  brokenNetwork(page);
  network.cut();
  await typeAtEnd(page, 'typed in a tunnel');
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.HOODY_CODE_OFFLINE_MS ?? 3_000)));
  network.mend();
  await until('the text is saved', async () => {
    await page.keyboard.press('Control+S');
    return fs.readFileSync(path.join(project, 'notes.txt'), 'utf8').includes('typed in a tunnel');
  }, 90_000);
  assert.ok(await stayed(page), 'without a reload');
  assert.deepEqual(ofType(daemon, 'extensionHost'), hosts);
}));

test('a page whose instance was started anew meanwhile comes back by itself', scene({ settings: SETTINGS }, async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'not saved');
  await backedUp(daemon, page, 'not saved');
  await stay(page);
  brokenNetwork(page);
  // A phone in a pocket: nobody looks at the page.
  await page.evaluate(() => Object.defineProperty(document, 'hidden', { configurable: true, value: true }));
  let refusals = 0;
  page.on('websocket', (socket) => {
    if (!socket.url().includes('reconnection=true')) return;
    socket.on('framereceived', ({ payload }) => (refusals += String(payload).includes('Unknown reconnection token') ? 1 : 0));
  });
  process.kill(daemon.instance().engines()[0], 'SIGKILL');
  await until('the new engine does not know the page', () => refusals >= 1, 90_000);
  assert.equal(await editorText(page), 'one\nnot saved');
  assert.ok(await stayed(page), 'nobody looks, nothing happens');
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, value: false });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await until('the page has reloaded by itself', async () => !(await stayed(page)), 90_000);
  await ready(page);
  await unsaved(page, 'one\nnot saved');
}));

/** Waits until the workbench has its instance's terminals again. One that is opened before that is new, and nobody is told of it. */
const hasTerminals = (page) =>
  until('the page has its terminals', () => page.evaluate(() => performance.getEntriesByName('code/terminal/didReconnect').length > 0), 60_000);

/** Gives a way to wait until the engine has been told which terminals `page` shows, half a second after they came. */
function toldOfTerminals(page) {
  let told = false;
  page.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => (told ||= /setTerminalLayoutInfo.*"activePersistentProcessId":\d/s.test(String(payload)))));
  return () => until('the engine knows of the terminal', () => told);
}

/** Plays a terminal's move to another device after `leave` has taken the first page away. */
const moves = (leave) => async ({ daemon, project, profile, visit }, t) => {
  const network = await link(t, daemon.port);
  const first = await profile();
  const told = toldOfTerminals(first);
  await visit(`${network.url}?folder=${project}`, { page: first });
  await hasTerminals(first);
  const runs = await startJob(first, project, 'echo first-$((40+1)); seq 500');
  await told();
  await leave(first, network, daemon);
  await runs();
  // The same address: VS Code keeps apart what it opened under different ones.
  network.mend();
  const second = await visit(`${network.url}?folder=${project}`);
  await hasTerminals(second);
  await openTerminal(second);
  await terminalShows(second, 'first-42');
  await command(second, 'Terminal: Scroll to Top');
  await terminalShows(second, 'first-41');
  await second.locator('.terminal-wrapper.active').click();
  await second.keyboard.press('Control+C');
  await typeCommand(second, 'echo stopped-$((50+5))');
  await terminalShows(second, 'stopped-55');
};

test('a terminal with its job is there on another device after its tab was closed', scene({ settings: SETTINGS }, moves(async (page, _, daemon) => {
  page.watch.leave();
  await page.close({ runBeforeUnload: true });
  await until('its extension host has ended with it', () => ofType(daemon, 'extensionHost').length === 0);
})));

test('a terminal with its job is there on another device after its page has vanished', scene({ settings: SETTINGS }, moves(async (page, network) => {
  brokenNetwork(page);
  network.cut();
  // A phone that sleeps: its page does nothing any more, and has not been told to go.
  await page.context().setOffline(true);
})));

test('a page outlives a restart of a daemon that its instance does not outlive', scene({ start: false }, async ({ start, project, visit }) => {
  const daemon = await start({ settings: SETTINGS });
  const page = await visit(`${daemon.url}?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'not saved');
  await backedUp(daemon, page, 'not saved');
  await stay(page);
  brokenNetwork(page);
  await daemon.stop();
  const next = await start({ settings: SETTINGS, listen: `127.0.0.1:${daemon.port}` });
  await until('the page has reloaded by itself', async () => !(await stayed(page)), 90_000);
  await ready(page);
  await unsaved(page, 'one\nnot saved');
  // Both keep the same directory: there must be nothing left when the first one is asked.
  await next.stop();
}));
