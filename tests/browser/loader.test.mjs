// The loader: a picture for the first moments of a fresh instance, never in the way, honest when a start fails.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { engine, picture, scene, until } from './support.mjs';
import { openFromExplorer, ready } from './workbench.mjs';

/** Notes in a list what of the loader appears in `page`, in whichever document, and returns that list. */
async function watchLoader(page) {
  const seen = [];
  await page.exposeFunction('noteLoader', (what) => seen.push(what));
  await page.addInitScript(() => {
    const noted = new Set();
    const look = () => {
      const what = [document.body?.dataset.hoody, document.getElementById('hoody-overlay') && 'overlay'];
      for (const one of what) if (one && !noted.has(one)) noted.add(one) && globalThis.noteLoader(one);
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true });
  });
  return seen;
}

/** An engine of links to the real one, but for its `server-main.js`, which says three lines and ends. */
function brokenEngine(dir) {
  const real = engine();
  const link = (below, but) => {
    fs.mkdirSync(path.join(dir, below), { recursive: true });
    for (const name of fs.readdirSync(path.join(real, below))) {
      if (name !== but) fs.symlinkSync(path.join(real, below, name), path.join(dir, below, name));
    }
  };
  link('.', 'vscode');
  link('vscode', 'out');
  link('vscode/out', 'server-main.js');
  const main = path.join(dir, 'vscode/out/server-main.js');
  fs.writeFileSync(main, "console.log('reading the charts');\nconsole.error('the anchor is stuck');\nconsole.error('giving up');\nprocess.exit(1);\n");
  return {
    dir,
    repair() {
      fs.rmSync(main);
      fs.symlinkSync(path.join(real, 'vscode/out/server-main.js'), main);
    },
  };
}

/** Clicks on "Try again" as often as it is there: the daemon does not start again what has failed a moment ago. */
async function retryUntilUp(page) {
  await until('a retry brings up the editor', async () => {
    if (await page.locator('.monaco-workbench').count()) return true;
    await page.locator('a.button:visible').click({ timeout: 10_000 });
  }, 90_000);
  await ready(page);
}

const LOG = ['reading the charts', 'the anchor is stuck', 'giving up'];

test('the loader is there for a fresh instance, gone with the editor up, and never shown again', scene({ args: ['--page-loader'] }, async ({ daemon, project, profile, visit, reload }) => {
  const url = `${daemon.url}?folder=${project}`;
  const page = await profile();
  const seen = await watchLoader(page);
  await visit(url, { page });
  assert.deepEqual(seen, ['loader', 'overlay']);
  await page.locator('#hoody-overlay').waitFor({ state: 'detached' });
  assert.equal(page.url(), url);
  await openFromExplorer(page, 'notes.txt');
  await reload(page);
  const other = await profile();
  const seenThere = await watchLoader(other);
  await visit(url, { page: other });
  assert.deepEqual([seen, seenThere], [['loader', 'overlay'], []]);
}));

test('without --page-loader there is no loader', scene(async ({ daemon, project, profile, visit }) => {
  const page = await profile();
  const seen = await watchLoader(page);
  await visit(`${daemon.url}?folder=${project}`, { page });
  assert.deepEqual(seen, []);
}));

test('the loader carries the operator\'s name and colours', scene({ config: '[page]\nloader = true\nname = "Harbour & Sons"\nbackground = "#204060"\n' }, async ({ daemon, profile }) => {
  const page = await profile();
  // Held back, so that the page stays long enough to be looked at.
  await page.route('**/api/v1/code/events', () => {});
  await page.goto(daemon.url);
  await page.locator('body[data-hoody=loader] #stage').waitFor();
  assert.equal(await page.locator('h1').textContent(), 'Harbour & Sons');
  assert.deepEqual([await page.locator('#log').isVisible(), await page.locator('#retry').isVisible()], [false, false], 'nothing has failed yet');
  assert.equal(await page.title(), 'Harbour & Sons');
  assert.equal(await page.locator('body').evaluate((body) => getComputedStyle(body).backgroundColor), 'rgb(32, 64, 96)');
  await page.locator('img').evaluate((img) => img.decode());
  await picture(page, 'loader');
}));

test('the loader shows why a start failed, and its retry works after the repair', scene({ start: false }, async ({ start, directory, project, profile }) => {
  const broken = brokenEngine(path.join(directory, 'broken-engine'));
  const daemon = await start({ engine: broken.dir, args: ['--page-loader'] });
  const page = await profile();
  await page.goto(`${daemon.url}?folder=${project}`);
  await page.locator('body[data-hoody=loader] #log').waitFor();
  assert.ok(await page.locator('#retry').isVisible());
  assert.ok(!(await page.locator('#bar').isVisible()), 'nothing is under way any more');
  const log = await page.locator('#log').textContent();
  for (const line of LOG) assert.ok(log.includes(line), log);
  assert.match(await page.locator('#stage').textContent(), /did not come up/);
  await picture(page, 'loader-failed');
  page.watch.expect(/answer 502|status of 502/);
  broken.repair();
  await retryUntilUp(page);
  await openFromExplorer(page, 'notes.txt');
}));

test('without the loader a failed start is a page that says why, and its retry works after the repair', scene({ start: false }, async ({ start, directory, project, profile }) => {
  const broken = brokenEngine(path.join(directory, 'broken-engine'));
  const daemon = await start({ engine: broken.dir });
  const page = await profile();
  page.watch.expect(/answer 502|status of 502/);
  const answer = await page.goto(`${daemon.url}?folder=${project}`);
  assert.equal(answer.status(), 502);
  const log = await page.locator('body[data-hoody=error] pre').textContent();
  for (const line of LOG) assert.ok(log.includes(line), log);
  await picture(page, 'start-failed');
  broken.repair();
  await retryUntilUp(page);
  await openFromExplorer(page, 'notes.txt');
}));
