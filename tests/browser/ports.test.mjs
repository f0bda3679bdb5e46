// Ports of the instance in the browser: how VS Code finds and opens them, the page that waits, and what an app cannot do.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { freePort } from './apps.mjs';
import { picture, scene, until } from './support.mjs';
import { command, openTerminal, typeCommand } from './workbench.mjs';

const HOSTILE = fileURLToPath(new URL('apps/hostile/server.mjs', import.meta.url));

/** The editor's URL by a name below which there are others. */
const named = (daemon) => daemon.url.replace('127.0.0.1', 'localhost');

/** An extension that writes down what an extension host knows of the way to a port. */
function addProbe(daemon, file) {
  const dir = path.join(daemon.instance().extensions, 'test.probe-1.0.0');
  fs.mkdirSync(dir, { recursive: true });
  fs.writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ name: 'probe', publisher: 'test', version: '1.0.0', engines: { vscode: '^1.80.0' }, activationEvents: ['onStartupFinished'], main: './main.js' }));
  fs.writeFileSync(path.join(dir, 'main.js'), `const vscode = require('vscode');
    exports.activate = async () => {
      const uri = await vscode.env.asExternalUri(vscode.Uri.parse('http://localhost:3000/x?y'));
      require('fs').writeFileSync(${JSON.stringify(file)}, JSON.stringify([process.env.VSCODE_PROXY_URI, uri.toString(true)]));
    };`);
}

for (const [name, config, url] of [
  ['paths', '', (daemon, port) => `${named(daemon)}proxy/${port}/`],
  ['host names', '[ports]\nhost_form = true\n', (daemon, port) => `http://${port}--default.localhost:${daemon.port}/`],
]) {
  test(`VS Code lists a server's port, and opens it by ${name}`, scene({ config }, async ({ daemon, directory, project, visit }) => {
    const known = path.join(directory, 'known.json');
    addProbe(daemon, known);
    const page = await visit(`${named(daemon)}?folder=${project}`);
    await openTerminal(page);
    let port;
    const serve = async () => {
      port = await freePort();
      await typeCommand(page, `echo "$VSCODE_PROXY_URI" > uri.txt; python3 -m http.server ${port} </dev/null >/dev/null 2>&1 &`);
    };
    await serve();
    const written = (file) => until(`${path.basename(file)} is written`, () => fs.existsSync(file) && fs.readFileSync(file, 'utf8').trim(), 90_000);
    assert.equal(await written(path.join(project, 'uri.txt')), url(daemon, '{{port}}'), 'in terminals');
    assert.deepEqual(JSON.parse(await written(known)), [url(daemon, '{{port}}'), `${url(daemon, 3000)}x?y`], 'in extension hosts');
    await command(page, 'Ports: Focus on Ports View');
    const listed = () => page.locator('.monaco-table .monaco-list-row', { hasText: String(port) }).first();
    // What listens before VS Code has looked around for the first time is none of a user's to it: then another one is started.
    await until('the port is listed', async () => {
      if (await listed().waitFor({ timeout: 10_000 }).then(() => true, () => false)) return true;
      await openTerminal(page);
      await serve();
      await command(page, 'Ports: Focus on Ports View');
      return false;
    }, 60_000);
    const row = listed();
    await row.hover();
    await picture(page, `ports-${name}`);
    const [opened] = await Promise.all([page.context().waitForEvent('page'), row.locator('[aria-label*="Open in Browser"]').first().click()]);
    await opened.waitForURL(url(daemon, port));
    await opened.getByText('notes.txt').click();
    await opened.locator('pre', { hasText: 'one' }).waitFor();
    assert.equal(opened.url(), `${url(daemon, port)}notes.txt`);
    assert.equal(await opened.evaluate(() => window.opener), null, 'what was opened has no hold of the editor');
  }));
}

test('a page for a server that is not up yet opens it when it is', scene(async ({ daemon, project, visit, profile }) => {
  const port = await freePort();
  const page = await profile();
  page.watch.expect(/answer 502|status of 502/);
  const answer = await page.goto(`${daemon.url}proxy/${port}/`);
  assert.equal(answer.status(), 502);
  await page.locator('body[data-hoody=port] h1').waitFor();
  await picture(page, 'port-waits');
  assert.deepEqual(daemon.instance().pids(), [], 'no editor is woken for it');
  const editor = await visit(`${daemon.url}?folder=${project}`);
  await openTerminal(editor);
  await typeCommand(editor, `python3 -m http.server ${port}`);
  await page.getByText('notes.txt').waitFor();
  await until('the port is free again', async () => {
    await editor.locator('.terminal-wrapper.active').click();
    await editor.keyboard.press('Control+C');
    return (await page.reload()).status() === 502;
  });
}));

test('an app on a path of the editor is kept out of its secrets', scene(async ({ daemon, project, visit, profile }) => {
  const editor = await visit(`${daemon.url}?folder=${project}`);
  await openTerminal(editor);
  const port = await freePort();
  await typeCommand(editor, `${process.execPath} ${HOSTILE} ${port} </dev/null &`);
  const key = await editor.evaluate(() => fetch('/mint-key', { method: 'POST' }).then((answer) => answer.arrayBuffer()).then((bytes) => bytes.byteLength));
  assert.equal(key, 32, 'the editor itself has its key');

  // In the very profile in which the editor is open.
  const page = await editor.context().newPage();
  await until('the app is up', async () => (await page.goto(`${daemon.url}proxy/${port}/`)).status() === 200);
  await page.reload();
  assert.equal(await page.textContent('pre'), 'theirs=1', 'the cookies that pass for ours were not taken');
  const { paths, ...seen } = await page.evaluate(async (folder) => {
    const status = (path, options) => fetch(path, options).then((answer) => answer.status);
    const frame = async (src) => {
      const element = document.createElement('iframe');
      element.src = src;
      const loaded = new Promise((resolve) => (element.onload = resolve));
      document.body.append(element);
      await loaded;
      return element.contentWindow;
    };
    const inner = await frame(`/?folder=${folder}`);
    const embedding = await frame(`/api/v1/code?folder=${folder}`);
    // To look like the page for embedding changes nothing.
    history.pushState({}, '', '/api/v1/code');
    const disguised = await frame(`/?folder=${folder}`);
    const form = document.createElement('form');
    Object.assign(form, { action: '/mint-key', method: 'post', target: 'posted' });
    const posted = await frame('about:blank');
    posted.name = 'posted';
    document.body.append(form);
    form.submit();
    await new Promise((resolve) => (posted.frameElement.onload = resolve));
    return {
      post: await status('/mint-key', { method: 'POST' }),
      login: await status('/api/v1/code/login', { method: 'POST', body: new URLSearchParams({ password: 'guess' }) }),
      logout: [await status('/api/v1/code/logout', { method: 'POST' }), await status('/logout')],
      state: [await status('/api/v1/code/state'), await status('/api/v1/code/state', { method: 'PATCH', body: '{}' })],
      guessed: await status('/mint-key', { method: 'POST', headers: { 'hoody-code-page': 'ffffffffff.00' } }),
      page: await status('/'),
      script: await status(`/?folder=${folder}`, { mode: 'no-cors' }),
      fromFrame: await inner.fetch('/mint-key', { method: 'POST' }).then((answer) => answer.status),
      fromEmbedded: await embedding.frames[0].fetch('/mint-key', { method: 'POST' }).then((answer) => answer.status),
      fromDisguised: await disguised.fetch('/mint-key', { method: 'POST' }).then((answer) => answer.status),
      names: [inner.name, embedding.frames[0].name.trim()],
      form: posted.document.body.textContent.includes('only the editor'),
      paths: location.pathname,
    };
  }, project);
  assert.equal(paths, '/api/v1/code');
  assert.deepEqual(seen, {
    post: 403, login: 403, logout: [403, 403], state: [403, 403], guessed: 403, page: 403, script: 403, fromFrame: 403, fromEmbedded: 403, fromDisguised: 403,
    names: ['', 'hoody-code'], form: true,
  });

  await page.goto(`${daemon.url}proxy/${port}/`);
  const worker = await page.evaluate(() => navigator.serviceWorker.register('sw.js', { scope: '/' }).then(() => 'registered', (error) => error.name));
  assert.equal(worker, 'SecurityError', 'a service worker for the whole origin');
  const [popup] = await Promise.all([
    page.waitForEvent('popup'),
    page.evaluate((url) => void (globalThis.taken = open(url)), `${daemon.url}?folder=${project}`),
  ]);
  await popup.waitForLoadState();
  const hold = await page.evaluate(() => {
    try {
      return globalThis.taken.closed || globalThis.taken.document.title;
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(hold, true, 'the editor that it opens is out of its hands');
}));

test('an app on a host name of its own is another origin', scene({ config: '[ports]\nhost_form = true\n' }, async ({ daemon, project, visit, profile }) => {
  const base = named(daemon);
  const editor = await visit(`${base}?folder=${project}`);
  await openTerminal(editor);
  const port = await freePort();
  await typeCommand(editor, `${process.execPath} ${HOSTILE} ${port} </dev/null &`);
  const page = await editor.context().newPage();
  const own = `http://${port}--default.localhost:${daemon.port}/`;
  await until('the app is up', async () => (await page.goto(own)).status() === 200);
  const socket = await editor.evaluate(() => performance.getEntriesByType('resource').map((entry) => entry.name).find((url) => /\/stable-[0-9a-f]+\/static\//.test(url)));
  const engine = new URL(socket.replace(/\/static\/.*/, ''), base).href;
  const seen = await page.evaluate(async ({ base, engine }) => {
    const outcome = (promise) => promise.then((answer) => answer.status, (error) => error.name);
    const opened = await new Promise((resolve) => {
      const socket = new WebSocket(`${engine.replace('http', 'ws')}?reconnectionToken=00000000-0000-4000-8000-000000000000&reconnection=false&skipWebSocketFrames=false`);
      socket.onopen = () => resolve('open');
      socket.onerror = () => resolve('refused');
    });
    return {
      key: await outcome(fetch(`${base}mint-key`, { method: 'POST', credentials: 'include' })),
      page: await outcome(fetch(base, { credentials: 'include' })),
      file: await outcome(fetch(`${engine}/vscode-remote-resource?path=/etc/hostname`)),
      here: await outcome(fetch('/mint-key', { method: 'POST' })),
      opened,
    };
  }, { base, engine });
  assert.deepEqual(seen, { key: 'TypeError', page: 'TypeError', file: 'TypeError', here: 200, opened: 'refused' });
  assert.deepEqual((await page.context().cookies(base)).filter(({ name }) => name.includes('hoody-code')), []);
}));
