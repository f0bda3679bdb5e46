// The workbench's page: what an operator adds to it, what it must not complain about, and that it is an app to install.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { editor, openFromExplorer } from './workbench.mjs';

const fontSize = (page) => editor(page).locator('.view-lines').evaluate((lines) => getComputedStyle(lines).fontSize);

test("the operator's style sheet and script are part of the page", scene({ start: false }, async ({ start, directory, project, visit }) => {
  const [css, js] = [path.join(directory, 'brand.css'), path.join(directory, 'brand.js')];
  fs.writeFileSync(css, '.monaco-workbench .part.statusbar { background-color: rgb(90, 20, 120) !important; }\n');
  fs.writeFileSync(js, 'globalThis.branded = document.querySelectorAll("meta#vscode-workbench-web-configuration").length;\n');
  const daemon = await start({ config: `[page]\ncss = [${JSON.stringify(css)}]\njs = [${JSON.stringify(js)}]\n` });
  // A violated content security policy is an error in the console, which fails the scene.
  const page = await visit(`${daemon.url}i/alice/?folder=${project}`);
  assert.equal(await page.evaluate(() => globalThis.branded), 1);
  assert.equal(await page.locator('.part.statusbar').evaluate((bar) => getComputedStyle(bar).backgroundColor), 'rgb(90, 20, 120)');
  await picture(page, 'branded');
}));

test("the operator's settings are defaults, and a user's own win", scene({ settings: { 'editor.fontSize': 19 } }, async ({ daemon, project, visit, reload }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await until("the operator's font size", async () => (await fontSize(page)) === '19px');
  fs.writeFileSync(daemon.instance().settings, JSON.stringify({ 'editor.fontSize': 23 }));
  await reload(page);
  await openFromExplorer(page, 'notes.txt');
  await until("the user's font size", async () => (await fontSize(page)) === '23px');
}));

/** A page as everybody gets it, but for the question about trust, without an answer to which half of it stays asleep. */
const PLAIN = { 'security.workspace.trust.enabled': false };

test('a plain page has nothing to complain about', scene({ bare: true, settings: PLAIN }, async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  // The extensions are up: git has read the repository.
  await page.locator('.part.statusbar').getByText('main').first().waitFor({ timeout: 90_000 });
  // Not waiting for something but for nothing: what goes wrong does so within seconds.
  await page.waitForTimeout(10_000);
  page.watch.check();
}));

// The server's own flags do not reach extensions: for them the setting counts, whose default is "all".
test('extensions are told to send no telemetry', scene({ bare: true }, async ({ daemon, profile }) => {
  const page = await profile();
  await page.goto(daemon.url, { waitUntil: 'commit' });
  const settings = await page.locator('#vscode-workbench-web-configuration').getAttribute('data-settings');
  assert.equal(JSON.parse(settings).configurationDefaults['telemetry.telemetryLevel'], 'off');
}));

test('no other host is asked for anything but extensions', scene({ bare: true, settings: { ...PLAIN, 'workbench.startupEditor': 'none' } }, async ({ daemon, project, profile, visit }) => {
  const page = await profile();
  const hosts = new Set();
  page.context().on('request', (request) => hosts.add(new URL(request.url()).host));
  await visit(`${daemon.url}?folder=${project}`, { page });
  await openFromExplorer(page, 'README.md');
  await page.waitForTimeout(5_000); // As above.
  for (const fine of ['', new URL(daemon.url).host, 'open-vsx.org']) hosts.delete(fine);
  assert.deepEqual([...hosts], []);
}));

for (const [name, root] of [['the editor is', ''], ['a named instance is, by itself,', 'i/alice/']]) {
  test(`${name} an app to install`, scene(async ({ daemon, project, visit }) => {
    const page = await visit(`${daemon.url}${root}?folder=${project}`);
    const manifest = await page.evaluate(async () => {
      const url = document.querySelector('link[rel=manifest]').href;
      const answer = await fetch(url);
      const json = await answer.json();
      const icons = await Promise.all(json.icons.map(async ({ src, sizes }) => {
        const icon = await fetch(new URL(src, url));
        const { width, height } = icon.ok ? await createImageBitmap(await icon.blob()) : {};
        return [icon.status, `${width}x${height}` === sizes];
      }));
      return { status: answer.status, scope: new URL(json.scope, url).href, start: new URL(json.start_url, url).href, icons };
    });
    const here = `${daemon.url}${root}`;
    assert.deepEqual(manifest, { status: 200, scope: here, start: here, icons: Array(4).fill([200, true]) });
    const scopes = await until('the service worker is registered', () =>
      page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).filter((one) => one.active).map((one) => one.scope)).then((all) => all.length > 0 && all));
    assert.deepEqual(scopes, [here]);
    const devtools = await page.context().newCDPSession(page);
    assert.deepEqual((await devtools.send('Page.getAppManifest')).errors, []);
    const { installabilityErrors } = await devtools.send('Page.getInstallabilityErrors');
    // Test profiles are like private windows, where nothing can be installed.
    assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito'), []);
  }));
}
