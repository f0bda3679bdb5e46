// Makes docs/screens/: what a phone and a tablet show. By hand: node tests/browser/screenshots.mjs

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import { Daemon } from './daemon.mjs';
import { PHONE, SMALL_PHONE, TABLET, key, openDrawer } from './devices.mjs';
import { SETTINGS, makePrompt, makeTides, prompts } from './tides.mjs';
import { explorerRow, markReady, ready } from './workbench.mjs';

const target = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../docs/screens');
fs.mkdirSync(target, { recursive: true });

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hoody-screenshots-'));
const project = makeTides(directory);
const daemon = await Daemon.start(directory, { config: SETTINGS });
makePrompt(daemon);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });

const keep = (page, name) => page.screenshot({ path: path.join(target, `${name}.png`) });

async function open(device) {
  const page = await (await browser.newContext({ ...device, colorScheme: 'dark' })).newPage();
  await page.addInitScript(markReady);
  await page.goto(`${daemon.url}?folder=${project}`);
  await ready(page);
  return page;
}

/** Into a line of the open file, by a finger. */
async function touchText(page, line) {
  await page.locator('.part.statusbar').getByText('main').first().waitFor();
  await page.locator('.editor-instance .view-line').nth(line).tap();
  await page.locator('#hoody-keys:visible').waitFor();
}

/** A few commands in a new terminal. */
async function terminal(page) {
  fs.rmSync(path.join(directory, 'prompts'), { force: true });
  await page.locator('.part.titlebar .codicon-panel-layout-icon-off').tap();
  await page.locator('.terminal-wrapper.active .xterm').tap();
  await page.locator('.xterm-helper-textarea:focus').waitFor({ state: 'attached' });
  await prompts(directory, 1);
  for (const [index, line] of ['clear', 'node src/main.js', 'git status --short --branch'].entries()) {
    await page.keyboard.insertText(line);
    await page.keyboard.press('Enter');
    await prompts(directory, index + 2);
  }
}

try {
  const small = await open(SMALL_PHONE);
  await openDrawer(small);
  await explorerRow(small, 'src').tap();
  await explorerRow(small, 'tides.js').waitFor();
  await small.locator('.part.sidebar .badge-content').first().waitFor({ state: 'attached' });
  await keep(small, '360x780-explorer');
  await explorerRow(small, 'tides.js').tap();
  await small.locator('.monaco-workbench.nosidebar').waitFor();
  await touchText(small, 8);
  await key(small, 'Command palette');
  await small.keyboard.insertText('git: c');
  await small.locator('.quick-input-widget:visible .monaco-list-row').first().waitFor();
  await keep(small, '360x780-palette');

  const phone = await open(PHONE);
  await openDrawer(phone);
  await explorerRow(phone, 'src').tap();
  await explorerRow(phone, 'tides.js').tap();
  await phone.locator('.monaco-workbench.nosidebar').waitFor();
  await touchText(phone, 8);
  await keep(phone, '390x844-editor');
  await phone.setViewportSize({ width: 844, height: 390 });
  await phone.locator('#hoody-keys:visible').waitFor();
  await keep(phone, '844x390-editor');
  await phone.setViewportSize({ width: 390, height: 844 });
  await terminal(phone);
  await keep(phone, '390x844-terminal');

  const tablet = await open(TABLET);
  await explorerRow(tablet, 'src').tap();
  await explorerRow(tablet, 'tides.js').tap();
  await terminal(tablet);
  await touchText(tablet, 8);
  await keep(tablet, '820x1180');
} finally {
  await browser.close();
  await daemon.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}
console.log(target);
