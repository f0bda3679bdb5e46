// The editor inside other pages.

import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { openFromExplorer, ready, save, typeAtEnd } from './workbench.mjs';

/** Serves `html` at `url` of the daemon's origin. */
const serve = (page, url, html) => page.route(url, (route) => route.fulfill({ contentType: 'text/html', body: html }));

/** The frame that holds the workbench itself. */
const editorFrame = (page, folder) =>
  until('the editor has its frame', () => page.frames().find((frame) => frame.url().endsWith(`/?folder=${folder}`)));

test('the page for embedding holds the editor and tells the page around it when it is up', scene(async ({ daemon, project, profile }) => {
  const page = await profile();
  const outer = `${daemon.url}outer.html`;
  await serve(page, outer, `<!DOCTYPE html><title>outer</title><link rel="icon" href="data:,"><body style="margin:20px">
    <script>globalThis.heard = []; addEventListener('message', (event) => heard.push({ data: event.data, frame: event.source === frames[0], origin: event.origin }))</script>
    <iframe style="width:1200px;height:700px" src="/api/v1/code?folder=${project}"></iframe>`);
  await page.goto(outer);
  const frame = await editorFrame(page, project);
  await ready(frame);
  const said = await until('the outer page hears of it', () => page.evaluate(() => globalThis.heard.find((message) => message.data?.event === 'loaded')));
  assert.deepEqual(said, { data: { event: 'loaded' }, frame: true, origin: new URL(daemon.url).origin });
  await openFromExplorer(frame, 'notes.txt');
  await typeAtEnd(frame, 'embedded');
  await save(frame, path.join(project, 'notes.txt'), 'one\nembedded');
  await picture(page, 'embedded');
}));

test('the page for embedding works on its own and for a named instance', scene(async ({ daemon, project, profile }) => {
  const page = await profile();
  await page.goto(`${daemon.url}i/alice/api/v1/code?folder=${project}`);
  await page.locator('body[data-ready=true]').waitFor();
  const frame = await editorFrame(page, project);
  assert.equal(new URL(frame.url()).pathname, '/i/alice/');
  await openFromExplorer(frame, 'notes.txt');
  assert.equal(daemon.instance('alice').engines().length, 1);
  // What the page around it vouches for stays with the frame when it goes elsewhere.
  const key = () => frame.evaluate(() => fetch('/i/alice/mint-key', { method: 'POST' }).then((answer) => answer.status));
  assert.equal(await key(), 200);
  page.watch.leave();
  await frame.goto(`${daemon.url}i/alice/?ew=true`, { waitUntil: 'commit' });
  await ready(frame);
  assert.equal(await key(), 200);
}));

test('a page of another origin cannot frame the editor', scene(async ({ daemon, project, profile }, t) => {
  const html = `<!DOCTYPE html><link rel="icon" href="data:,"><iframe src="${daemon.url}?folder=${project}"></iframe>`;
  const elsewhere = http.createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(html));
  await new Promise((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  t.after(() => elsewhere.close());
  const page = await profile();
  // Refused already when it is asked for: nothing is started for a frame that nobody may see.
  page.watch.expect(/frame-ancestors|ERR_BLOCKED_BY_RESPONSE|answer 403|status of 403/);
  await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`, { waitUntil: 'load' });
  await until('it is said why', () => /frame-ancestors/.test(page.watch.all.join('\n')));
  const frame = page.frames().find((one) => one !== page.mainFrame());
  assert.equal(await frame.evaluate(() => document.querySelectorAll('.monaco-workbench, #vscode-workbench-web-configuration').length), 0);
  assert.equal(daemon.instance().engines().length, 0);
}));
