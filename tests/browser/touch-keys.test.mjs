// The row of keys above a phone's keyboard: each of them, in the editor and in the terminal, and with every way in which a keyboard
// on a screen may say that a letter was typed.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { PHONE, key, keyboardUp, tapFile } from './devices.mjs';
import { picture, scene, until } from './support.mjs';
import { editorText } from './workbench.mjs';

const CONTROL = 'Control, for the next key';

/** How letters come from a keyboard: as a key (iOS, keys of a real one), as text (most of Android's), as a word in the making. */
async function waysToType(page) {
  const cdp = await page.context().newCDPSession(page);
  return {
    key: (letter) => page.keyboard.press(letter),
    text: (letter) => cdp.send('Input.insertText', { text: letter }),
    composition: (letter) => cdp.send('Input.imeSetComposition', { text: letter, selectionStart: 1, selectionEnd: 1 }),
  };
}

/** The first line, with the cursor's column as a caret in it. */
async function line(page) {
  const text = (await editorText(page)).split('\n')[0];
  const column = await page.locator('.cursors-layer > .cursor').first().evaluate((cursor) => {
    const letter = [...document.querySelectorAll('.editor-instance .view-line')][0].querySelector('span > span').getBoundingClientRect();
    return Math.round(parseFloat(cursor.style.left) / (letter.width / document.querySelector('.editor-instance .view-line').textContent.length));
  });
  return `${text.slice(0, column)}^${text.slice(column)}`;
}

async function shows(page, wanted) {
  let last;
  await until('the line', async () => (last = await line(page)) === wanted).catch(() => assert.equal(last, wanted));
}

async function atStart(page) {
  await page.locator('.editor-instance .view-line').first().tap({ position: { x: 1, y: 10 } });
  await page.locator('#hoody-keys:visible').waitFor();
}

test('each key does in the editor what its name says', scene(async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  await tapFile(page, 'notes.txt');
  await atStart(page);
  await shows(page, '^one');
  for (const [name, wanted] of [
    ['Right', 'o^ne'], ['Right', 'on^e'], ['Left', 'o^ne'], ['Vertical bar', 'o|^ne'], ['Slash', 'o|/^ne'], ['Tilde', 'o|/~^ne'], ['Hyphen', 'o|/~-^ne'],
  ]) {
    await key(page, name);
    await shows(page, wanted);
  }
  await page.keyboard.type('x');
  await shows(page, 'o|/~-x^ne');
  // The focus, and with it the keyboard, has stayed where it was all the time.
  assert.equal(await page.evaluate(() => document.activeElement.className), 'native-edit-context');
  await key(page, 'Tab');
  await until('the tab is there', async () => /^o\|\/~-x +ne/.test(await editorText(page)));
  await key(page, 'Command palette');
  const input = page.locator('.quick-input-widget:visible input[type=text]');
  await input.waitFor();
  await page.keyboard.type('Viw');
  for (const name of ['Left', 'Left', 'Right', 'Slash']) await key(page, name);
  assert.equal(await input.inputValue(), '>Vi/w');
  await picture(page, 'keys-palette');
  await key(page, 'Escape');
  await page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
}));

test('Ctrl takes the next letter, wherever it comes from', scene(async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  await tapFile(page, 'notes.txt');
  const type = await waysToType(page);
  await atStart(page);
  const control = page.locator(`#hoody-keys button[aria-label="${CONTROL}"]`);
  for (const undo of [() => key(page, 'Control Z'), () => type.key('z'), () => type.text('z'), () => type.composition('z')]) {
    await key(page, 'Tilde');
    await shows(page, '~^one');
    await key(page, CONTROL);
    assert.equal(await control.getAttribute('aria-pressed'), 'true');
    await undo();
    await shows(page, '^one');
    assert.equal(await control.getAttribute('aria-pressed'), 'false', 'for one key only');
  }
  await type.text('k');
  await shows(page, 'k^one');
  // With a key of the row: to the end of the word.
  await key(page, CONTROL);
  await key(page, 'Right');
  await shows(page, 'kone^');
  // Another tap lets it go.
  await key(page, CONTROL);
  await key(page, CONTROL);
  await type.text('s');
  await shows(page, 'kones^');
}));

test('each key reaches what runs in the terminal', scene(async ({ daemon, project, visit }) => {
  const heard = path.join(project, 'heard');
  fs.writeFileSync(heard, '');
  // Writes down what it is sent, byte by byte.
  fs.writeFileSync(path.join(project, 'ear.cjs'), `const fs = require('fs');
process.stdin.setRawMode(true);
process.stdin.on('data', (data) => fs.appendFileSync('heard', [...data].map((b) => b.toString(16).padStart(2, '0')).join(' ') + '\\n'));
fs.appendFileSync('heard', 'ready\\n');
`);
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  const type = await waysToType(page);
  await page.locator('.part.titlebar .codicon-panel-layout-icon-off').tap();
  await page.locator('.terminal-wrapper.active .xterm').tap();
  await page.locator('.xterm-helper-textarea:focus').waitFor({ state: 'attached' });
  await page.locator('#hoody-keys:visible').waitFor();
  await until('the program listens', async () => {
    if (fs.readFileSync(heard, 'utf8').includes('ready')) return true;
    await type.text(`'${process.execPath}' ear.cjs`);
    await page.keyboard.press('Enter');
    await until('it says so', () => fs.readFileSync(heard, 'utf8').includes('ready'), 10_000);
    return true;
  });
  await picture(page, 'keys-terminal');
  const hears = (what, wanted) => until(`${what} is heard as ${wanted}`, () => fs.readFileSync(heard, 'utf8').endsWith(`\n${wanted}\n`)).catch((error) => {
    throw new Error(`${error.message}; heard: ${fs.readFileSync(heard, 'utf8')}`);
  });
  for (const [name, wanted] of [
    ['Escape', '1b'], ['Tab', '09'], ['Left', '1b 5b 44'], ['Up', '1b 5b 41'], ['Down', '1b 5b 42'], ['Right', '1b 5b 43'],
    ['Vertical bar', '7c'], ['Slash', '2f'], ['Tilde', '7e'], ['Hyphen', '2d'],
  ]) {
    await key(page, name);
    await hears(name, wanted);
  }
  for (const [name, letter] of [['a key', () => key(page, 'Control A')], ['text', () => type.text('d')], ['key', () => type.key('l')], ['composition', () => type.composition('u')]]) {
    await key(page, CONTROL);
    await letter();
    await hears(name, { 'a key': '01', text: '04', key: '0c', composition: '15' }[name]);
    // Nothing of it is left for later.
    await type.text('x');
    await hears('what follows', '78');
  }
  await key(page, CONTROL);
  await key(page, 'Right');
  await hears('Ctrl and Right', '1b 5b 31 3b 35 43');
  await page.locator('#hoody-keys button[aria-label="Alt, for the next key"]').tap();
  await type.text('b');
  await hears('Alt and b', '1b 62');
}));

test('an arrow that is held repeats', scene(async ({ daemon, project, visit }) => {
  fs.writeFileSync(path.join(project, 'notes.txt'), `${'a'.repeat(30)}\n`);
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  await tapFile(page, 'notes.txt');
  await atStart(page);
  const cdp = await page.context().newCDPSession(page);
  const box = await page.locator('#hoody-keys button[aria-label="Right"]').boundingBox();
  await cdp.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [{ x: box.x + 20, y: box.y + 20 }] });
  await until('the cursor has gone far', async () => (await line(page)).indexOf('^') > 5);
  await cdp.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
  const at = await until('it stands still', async () => {
    const before = await line(page);
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
    return before === (await line(page)) && before;
  });
  await key(page, 'Left');
  await shows(page, `${'a'.repeat(at.indexOf('^') - 1)}^${'a'.repeat(31 - at.indexOf('^'))}`);
}));

test('the keys are there while there is something to type into, and no keyboard with keys', scene(async ({ daemon, project, visit, profile }) => {
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  const bar = page.locator('#hoody-keys');
  await tapFile(page, 'notes.txt');
  await atStart(page);
  // Each has a name, and none is a stop of the Tab key.
  for (const one of await bar.locator('button').all()) {
    assert.ok(await one.getAttribute('aria-label'));
    assert.equal(await one.getAttribute('tabindex'), '-1');
  }
  await page.keyboard.press('ArrowRight');
  await bar.waitFor({ state: 'hidden' });
  await until('the editor has all of the height', () => page.evaluate(() => innerHeight === document.documentElement.clientHeight));
  // The keyboard on the screen comes up: there is no other one any more.
  await keyboardUp(page);
  await bar.waitFor();
  await page.locator('.part.statusbar').evaluate(() => document.activeElement.blur());
  await bar.waitFor({ state: 'hidden' });
  const desktop = await profile();
  await visit(`${daemon.url}?folder=${project}`, { page: desktop });
  assert.equal(await desktop.locator('#hoody-keys').count(), 0);
}));
