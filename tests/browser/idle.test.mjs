// What is left when everybody has gone: nothing, unless something of the user's runs.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';

import { freePort } from './apps.mjs';
import { scene, until } from './support.mjs';
import { editorText, openFromExplorer, openTerminal, ready, save, showsText, typeAtEnd, typeCommand } from './workbench.mjs';

const config = '[instances]\nstop_after = "5s"\n';

const status = async (daemon, id = 'default') => (await fetch(`${daemon.url}i/${id}/api/v1/code/status`)).json();
const stopped = (daemon, id) => until(`${id} is stopped`, async () => (await status(daemon, id)).state === 'stopped');

/** Waits until an instance that was used after all others has been stopped: nothing else was going to be stopped by then. */
async function longEnough(daemon) {
  for (const id of ['first-witness', 'second-witness']) {
    await (await fetch(`${daemon.url}i/${id}/?ew=1`)).text();
    await stopped(daemon, id);
  }
}

/** Opens the editor, runs `lines` in its terminal, waits until `begun`, closes the page. Gives the number of the run that they are in. */
async function leave({ daemon, project, visit }, lines, begun) {
  const page = await visit(`${daemon.url}i/alice/?folder=${project}`);
  await openTerminal(page);
  for (const line of lines) await typeCommand(page, line);
  await until('what was typed has begun', begun);
  // While a page is being loaded nothing holds its instance: on a slow machine it was started more than once.
  const { generation } = await status(daemon, 'alice');
  page.watch.leave();
  await page.context().close();
  return generation;
}

test('an editor whose page was closed is stopped, idle shell and all, and comes back', scene({ config }, async (stage) => {
  const { daemon, project, visit, directory } = stage;
  const page = await visit(`${daemon.url}i/alice/?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'before');
  await save(page, path.join(project, 'notes.txt'), 'one\nbefore');
  await openTerminal(page);
  await typeCommand(page, `echo ready >${directory}/ready`);
  await until('the shell is there', () => fs.existsSync(path.join(directory, 'ready')));
  const before = await status(daemon, 'alice');
  assert.ok(before.clients > 0 && before.usage.processes > 3, JSON.stringify(before));
  await longEnough(daemon);
  assert.equal((await status(daemon, 'alice')).generation, before.generation, 'an open page keeps it');
  page.watch.leave();
  await page.context().close();
  await stopped(daemon, 'alice');
  assert.deepEqual(daemon.instance('alice').pids(), []);

  const again = await visit(`${daemon.url}i/alice/`);
  await openFromExplorer(again, 'notes.txt');
  await showsText(again, 'one\nbefore');
  assert.ok((await status(daemon, 'alice')).generation > before.generation);
}));

test('a dev server in a terminal goes on, and its port answers', scene({ config }, async (stage) => {
  const { daemon } = stage;
  const port = await freePort();
  const serves = async () => (await fetch(`${daemon.url}i/alice/proxy/${port}/notes.txt`)).text();
  const left = await leave(stage, [`python3 -m http.server ${port}`], async () => (await serves()) === 'one\n');
  await longEnough(daemon);
  const { state, generation, usage } = await status(daemon, 'alice');
  assert.deepEqual([state, generation, usage.user_processes], ['running', left, 1], JSON.stringify(usage));
  assert.match(usage.programs[0], /^python/);
  assert.equal(await serves(), 'one\n');
  const server = daemon.instance('alice').pids().find((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('http.server'));
  process.kill(server);
  await stopped(daemon, 'alice');
}));

test('a job that was detached goes on', scene({ config }, async (stage) => {
  const { daemon, directory } = stage;
  const file = path.join(directory, 'job');
  const left = await leave(stage, [`setsid nohup sh -c 'echo $$ >${file}; exec sleep 5000' >/dev/null 2>&1 &`, 'exit'], () => Number(fs.readFileSync(file, 'utf8')) > 1);
  await longEnough(daemon);
  const { state, generation, usage } = await status(daemon, 'alice');
  assert.deepEqual([state, generation, usage.programs], ['running', left, ['sleep']]);
  process.kill(Number(fs.readFileSync(file, 'utf8')));
  await stopped(daemon, 'alice');
}));

const attended = '[instances]\nstop_after = "3s"\nidle_tabs = "25s"\n';

test('an open tab at which nobody is gives its instance back, and has it again for whoever comes', scene({ config: attended }, async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}i/alice/?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'not saved');
  const { generation } = await status(daemon, 'alice');
  page.watch.leave();
  await page.locator('[data-hoody=asleep]').waitFor({ timeout: 60_000 });
  await stopped(daemon, 'alice');
  // Somebody comes back.
  page.watch.leave();
  await page.locator('h1').click();
  await ready(page);
  assert.equal(new URL(page.url()).search, `?folder=${project}`);
  await until('what was not saved is still there', async () => (await editorText(page)) === 'one\nnot saved');
  assert.equal(await page.locator('.tab.active.dirty').count(), 1);
  assert.ok((await status(daemon, 'alice')).generation > generation);
}));

/** A way to the daemon that can be cut and mended. */
async function line(daemon) {
  const sockets = new Set();
  let whole = true;
  const server = net.createServer((client) => {
    if (!whole) return client.destroy();
    const far = net.connect(daemon.port, '127.0.0.1');
    for (const [one, other] of [[client, far], [far, client]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.pipe(other);
    }
  });
  const cut = () => {
    whole = false;
    for (const socket of sockets) socket.destroy();
  };
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, cut, mend: () => (whole = true), end: () => (cut(), server.close()) };
}

test('a tab that was away when its editor was stopped finds it again, and asks only about what was not saved', scene({ config }, async ({ daemon, project, visit }) => {
  const way = await line(daemon);
  const away = async (page) => {
    await page.evaluate(() => (globalThis.before = true));
    way.cut();
    await stopped(daemon, 'alice');
    way.mend();
  };
  const dialogs = (page) => page.locator('.monaco-dialog-box:visible');
  try {
    const page = await visit(`${way.url}i/alice/?folder=${project}`);
    // Requests that are cut, and the workbench's words on it, are what this is about.
    page.watch.expect(/./);
    await openFromExplorer(page, 'notes.txt');
    await away(page);
    await until('the page was loaded anew', () => page.evaluate(() => !globalThis.before), 60_000);
    await ready(page);
    assert.equal(await dialogs(page).count(), 0);
    await openFromExplorer(page, 'notes.txt');
    await typeAtEnd(page, 'not saved');
    await away(page);
    await dialogs(page).waitFor({ timeout: 60_000 });
    assert.ok(await page.evaluate(() => globalThis.before), 'it is left to whoever wrote it');
    assert.equal(await editorText(page), 'one\nnot saved');
  } finally {
    way.end();
  }
}));
