// One extension and nothing else: `?extension=PUB.NAME`. The full editor beside it, of the same process, stays as it is.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { explorerRows, ready } from './workbench.mjs';
import { gallery, kinds, vsix } from './vsix.mjs';

const files = Object.fromEntries(Object.entries(kinds).map(([kind, make]) => [`hoody-test.${kind}`, make()]));

/** A scene with a gallery of all kinds; `options.gallery` names those it has. */
const withGallery = (play) => scene({ start: false }, async (stage) => {
  const shop = await gallery(files);
  try {
    stage.daemon = await stage.start({ config: `[extensions]\ngallery = "${shop.url}"\n` });
    await play({ ...stage, shop });
  } finally {
    await shop.close();
  }
});

/** Opens the view of one extension and waits until `look` finds what it shows. */
async function open({ daemon, project, profile }, kind, look, { page, query = `folder=${project}` } = {}) {
  page ??= await profile();
  page.watch.leave();
  await page.goto(`${daemon.url}?${query}&extension=hoody-test.${kind}`, { waitUntil: 'commit' });
  await until(`the view of ${kind}`, () => page.evaluate(() => globalThis.ideReady === true), 60_000);
  await look(page).first().waitFor({ timeout: 90_000 });
  await picture(page, `extension-${kind}`);
  return page;
}

/** Text in a web view, which is two frames deep. */
const inWebview = (page, text) => page.frameLocator('iframe.webview.ready').frameLocator('#active-frame').getByText(text);

const visible = (page, selector) => page.locator(selector).filter({ visible: true }).count();

/** Nothing of the rest of the editor is to be seen. */
async function alone(page) {
  for (const part of ['.part.activitybar', '.part.statusbar', '.explorer-folders-view', '.menubar']) {
    assert.equal(await visible(page, part), 0, part);
  }
}

const rows = (text) => (page) => page.locator('.monaco-list-row', { hasText: text }).filter({ visible: true });

test('a view of its own, and one between those of the editor; the full editor of the same folder is as before', withGallery(async (stage) => {
  const { daemon, project, visit } = stage;
  const page = await open(stage, 'container', rows('Berth of the Pinta'));
  await alone(page);
  await open(stage, 'standard', rows('Barrels of herring'), { page });
  await alone(page);
  assert.equal(await page.locator('.part.sidebar .pane-header').filter({ visible: true }).count() <= 1, true, 'no other view beside it');
  const url = page.url();
  await visit(`${daemon.url}?folder=${project}`, { page });
  await until('the explorer shows the project', async () => (await explorerRows(page)).includes('notes.txt'));
  // While it comes up, VS Code shows what the defaults were that it saw last: those of the other page.
  await page.locator('.part.activitybar').filter({ visible: true }).waitFor();
  // Where its extension has put it, not where the other page has it.
  await page.locator('.part.sidebar:has(.explorer-folders-view) .pane-header', { hasText: 'Cargo' }).waitFor();
  await open(stage, 'standard', rows('Barrels of herring'), { page });
  assert.equal(page.url(), url);
}));

test('a view at the bottom has the window', withGallery(async (stage) => {
  const page = await open(stage, 'panel', rows('High tide at noon'));
  await page.locator('.monaco-workbench.nosidebar').waitFor();
  await alone(page);
  await picture(page, 'extension-panel');
  const box = await page.locator('.part.panel').boundingBox();
  assert.ok(box.height > 600, `${box.height}`);
}));

test('an editor for files opens the first such file, a command is run', withGallery(async (stage) => {
  fs.writeFileSync(path.join(stage.project, 'sea.chart'), 'the North Sea');
  const page = await open(stage, 'editor', (page) => inWebview(page, 'Chart of the North Sea'));
  await alone(page);
  await open(stage, 'webview', (page) => inWebview(page, 'All hands on deck'), { page });
  await alone(page);
}));

test('an extension without anything to look at shows its page', withGallery(async (stage) => {
  const page = await open(stage, 'theme', (page) => page.locator('.extension-editor .name', { hasText: 'The theme' }));
  await alone(page);
}));

test('a missing one is installed first, with what happens to be seen; one that nobody has is a page that says so', withGallery(async (stage) => {
  const { daemon, profile, project, shop } = stage;
  const page = await profile();
  const release = shop.hold();
  await page.goto(`${daemon.url}?folder=${project}&extension=hoody-test.container`, { waitUntil: 'commit' });
  await page.locator('body[data-hoody=installing] #line', { hasText: 'Installing extension' }).waitFor();
  assert.match(await page.locator('#stage').textContent(), /hoody-test\.container/);
  await picture(page, 'extension-installing');
  page.watch.leave();
  release();
  await until('the editor is up', () => page.evaluate(() => globalThis.ideReady === true), 60_000);
  await rows('Berth of the Pinta')(page).first().waitFor({ timeout: 90_000 });

  const other = await profile();
  other.watch.expect(/answer 404|status of 404/);
  await other.goto(`${daemon.url}?folder=${project}&extension=hoody-test.nowhere`, { waitUntil: 'commit' });
  await other.locator('body[data-hoody=error] h1').waitFor();
  assert.match(await other.locator('h1').textContent(), /extension is not there/);
  await picture(other, 'extension-not-found');
}));

test('a running window notices what is installed and removed behind its back, and the operator\'s set is there', scene({ start: false }, async ({ start, directory, project, profile, visit }) => {
  const shelf = path.join(directory, 'shelf');
  fs.mkdirSync(shelf);
  fs.writeFileSync(path.join(shelf, 'hoody-test.panel-1.0.0.vsix'), files['hoody-test.panel']);
  fs.writeFileSync(path.join(shelf, 'hoody-test.container-1.0.0.vsix'), files['hoody-test.container']);
  const daemon = await start({ config: `[extensions]\ngallery = "${shelf}"\npreinstall = ["hoody-test.panel@1.0.0"]\n` });
  const api = `${daemon.url}api/v1/code/extensions`;
  const installed = async () => (await (await fetch(api)).json()).filter((one) => !one.built_in).map((one) => one.id);
  const page = await visit(`${daemon.url}?folder=${project}`);
  await until('the set is installed', async () => (await installed()).includes('hoody-test.panel'));
  const send = (id) => fetch(api, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ id }) });
  const both = await Promise.all([send('hoody-test.container'), fetch(api, { method: 'POST', body: vsix('late', {}), headers: { 'Content-Type': 'application/octet-stream' } })]);
  assert.deepEqual(await Promise.all(both.map((answer) => answer.json())), [{ id: 'hoody-test.container', version: '1.0.0' }, { id: 'hoody-test.late', version: '1.0.0' }]);
  assert.deepEqual(await installed(), ['hoody-test.container', 'hoody-test.late', 'hoody-test.panel'], 'two at once');
  await page.locator('.activitybar .action-label[aria-label^="Harbour"]').waitFor();
  await picture(page, 'extension-noticed');
  const view = await open({ daemon, project, profile }, 'panel', rows('High tide at noon'));
  await view.locator('.monaco-workbench.nosidebar').waitFor();
  assert.equal((await fetch(`${api}/Hoody-Test.Container`, { method: 'DELETE' })).status, 200);
  assert.deepEqual(await installed(), ['hoody-test.late', 'hoody-test.panel']);
  await page.locator('.activitybar .action-label[aria-label^="Harbour"]').waitFor({ state: 'detached' });
}));
