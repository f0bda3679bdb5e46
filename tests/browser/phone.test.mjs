// A phone: small, touched, and with a keyboard that comes and goes.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { PHONE, SMALL_PHONE, TABLET, keyboardDown, keyboardUp, openDrawer, tapFile, tapRow, withDrawer } from './devices.mjs';
import { picture, scene, until } from './support.mjs';
import { editor, explorerRow } from './workbench.mjs';

const width = (page, selector) => page.locator(selector).first().evaluate((element) => element.getBoundingClientRect().width);

/** Where things are, in CSS pixels from the top of the screen. */
const places = (page) => page.evaluate(() => {
  const of = (selector) => document.querySelector(selector).getBoundingClientRect().toJSON();
  return { cursor: of('.cursors-layer > .cursor'), editor: of('.editor-instance'), status: of('.part.statusbar'), keys: of('#hoody-keys'), screen: document.documentElement.clientHeight };
});

test('on a phone a file can be opened, edited and is saved', scene({ settings: { 'files.autoSave': 'afterDelay' } }, async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  await picture(page, 'phone-open');
  await tapFile(page, 'notes.txt');
  await picture(page, 'phone-file');
  // Beside the text, where a finger would put it: that is the end of the first line.
  await editor(page).locator('.view-lines').tap();
  await page.keyboard.press('End');
  await page.keyboard.type(' thumb');
  await until('the file is saved by itself', () => /thumb/.test(fs.readFileSync(path.join(project, 'notes.txt'), 'utf8')));
  await picture(page, 'phone-edited');
}));

test('on a phone the editor has the width, and the side bar is a drawer', scene(async ({ daemon, project, visit }) => {
  fs.writeFileSync(path.join(project, 'long.txt'), `${'word '.repeat(100)}\n`);
  const page = await visit(`${daemon.url}?folder=${project}`, SMALL_PHONE);
  await page.locator('.monaco-workbench.nosidebar.nopanel.noauxiliarybar').waitFor();
  await tapFile(page, 'long.txt');
  const all = await width(page, '.part.editor');
  assert.ok(all > 340, `${all}`);
  assert.ok((await editor(page).locator('.view-line').count()) > 3, 'long lines are wrapped');
  assert.equal(await editor(page).locator('.minimap:visible').count(), 0);
  await openDrawer(page);
  assert.ok((await width(page, '.part.sidebar')) > 280);
  assert.equal(await width(page, '.part.editor'), all, 'pushed, not squeezed');
  assert.equal(await page.evaluate(() => scrollX + document.body.scrollLeft), 0);
  for (const part of ['titlebar', 'statusbar']) assert.ok((await width(page, `.part.${part}`)) <= 360, part);
  await picture(page, 'phone-drawer');
  // A folder opens in the drawer, a tap beside it closes it.
  await tapRow(page, 'src', { opened: explorerRow(page, 'main.js'), prepare: () => withDrawer(page) });
  assert.ok(await page.locator('.monaco-workbench.hoody-drawer').count());
  await page.touchscreen.tap(345, 400);
  await page.locator('.monaco-workbench.nosidebar:not(.hoody-drawer)').waitFor();
  assert.equal(await width(page, '.part.editor'), all);
  // Turned on its side.
  await page.setViewportSize({ width: 780, height: 360 });
  await until('the editor takes the new width', async () => (await width(page, '.part.editor')) > 760);
}));

test('the keyboard covers neither the cursor nor the keys', scene(async ({ daemon, project, visit }) => {
  fs.writeFileSync(path.join(project, 'many.txt'), Array.from({ length: 80 }, (_, n) => `line ${n + 1}\n`).join(''));
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  assert.match(await page.locator('meta[name=viewport]').getAttribute('content'), /interactive-widget=resizes-content/);
  await tapFile(page, 'many.txt');
  await page.touchscreen.tap(60, 700);
  await page.locator('#hoody-keys:visible').waitFor();
  for (const move of [async () => {}, keyboardUp, keyboardDown, keyboardUp]) {
    await move(page);
    await until('everything has its place', async () => {
      const { cursor, editor, status, keys, screen } = await places(page);
      return cursor.height > 0 && cursor.top >= editor.top && cursor.bottom <= editor.bottom && status.bottom <= keys.top + 1 && Math.abs(keys.bottom - screen) < 1;
    });
  }
}));

test('what the user has set wins on a phone, too', scene(async ({ daemon, project, visit }) => {
  const { settings } = daemon.instance();
  fs.mkdirSync(path.dirname(settings), { recursive: true });
  fs.writeFileSync(settings, JSON.stringify({ 'editor.minimap.enabled': true, 'breadcrumbs.enabled': true }));
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  await tapFile(page, 'notes.txt');
  await editor(page).locator('.minimap').waitFor();
  await page.locator('.breadcrumbs-control').waitFor();
}));

test('an operator changes the defaults of phones, or switches them off', scene({ start: false }, async ({ start, project, visit }) => {
  const changed = await start({ name: 'changed', config: '[page.phone_settings]\n"breadcrumbs.enabled" = true\n[page.touch_settings]\n"editor.minimap.enabled" = true\n' });
  const one = await visit(`${changed.url}?folder=${project}`, PHONE);
  await tapFile(one, 'notes.txt');
  await one.locator('.breadcrumbs-control').waitFor();
  await editor(one).locator('.minimap').waitFor();
  const off = await start({ name: 'off', config: '[page]\ntouch_defaults = false\ntouch_keys = false\n' });
  const two = await visit(`${off.url}?folder=${project}`, PHONE);
  await tapRow(two, 'notes.txt');
  await editor(two).locator('.minimap').waitFor();
  await editor(two).locator('.view-lines').tap();
  await two.locator('.native-edit-context:focus').waitFor({ state: 'attached' });
  assert.equal(await two.locator('#hoody-keys').count(), 0);
  assert.ok(await two.locator('.part.activitybar:visible').count());
}));

test('a tablet has room for a side bar, and gets what a finger needs', scene(async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`, TABLET);
  await tapRow(page, 'notes.txt');
  await editor(page).locator('.view-lines').tap();
  await page.locator('#hoody-keys:visible').waitFor();
  assert.equal(await editor(page).locator('.minimap:visible').count(), 0);
  assert.equal(await page.locator('.monaco-workbench:not(.nosidebar, .hoody-drawer)').count(), 1);
  await picture(page, 'tablet');
}));

test('a phone leaves the layout of other devices alone', scene(async ({ daemon, project, visit, reload }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  // While it comes up it may be some pixels narrower.
  const before = await until('the side bar has its width', async () => {
    const now = await width(page, '.part.sidebar');
    await page.waitForTimeout(1_000);
    return now === (await width(page, '.part.sidebar')) && now;
  });
  // The same browser, and with that the same state, in another size and touched.
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Emulation.setDeviceMetricsOverride', { width: 390, height: 844, screenWidth: 390, screenHeight: 844, deviceScaleFactor: 2, mobile: true });
  await cdp.send('Emulation.setTouchEmulationEnabled', { enabled: true });
  await reload(page);
  await page.locator('.monaco-workbench.nosidebar').waitFor();
  await page.locator('.part.titlebar .codicon-panel-left-off').click();
  await page.locator('.monaco-workbench.hoody-drawer').waitFor();
  await page.mouse.click(370, 400);
  await page.locator('.monaco-workbench.nosidebar').waitFor();
  await page.locator('.part.titlebar .codicon-panel-layout-icon-off').click();
  await page.locator('.part.panel:visible .terminal-wrapper').first().waitFor();
  // Kept: the panel was open here, and is so again. VS Code writes its state down every few seconds.
  await page.waitForFunction(() => Object.entries(localStorage).some(([key, value]) => key.startsWith('hoody-phone:') && value.includes('"workbench.panel.hidden":"false"')));
  page.watch.leave();
  await page.reload({ waitUntil: 'commit' });
  await page.locator('.monaco-workbench.nosidebar:not(.nopanel) .part.panel .terminal-wrapper').first().waitFor();
  await cdp.send('Emulation.clearDeviceMetricsOverride');
  await cdp.send('Emulation.setTouchEmulationEnabled', { enabled: false });
  await page.setViewportSize({ width: 1280, height: 800 });
  await reload(page);
  await page.locator('.monaco-workbench.nopanel:not(.nosidebar)').waitFor();
  await until('the side bar is as wide as it was', async () => (await width(page, '.part.sidebar')) === before);
  assert.equal(await page.locator('#hoody-keys').count(), 0, 'a desktop has its own keys');
}));
