// Makes docs/screenshot.png. By hand: node tests/browser/screenshot.mjs

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import { Daemon } from './daemon.mjs';
import { SETTINGS, makePrompt, makeTides, prompts } from './tides.mjs';
import { command, editor, markReady, openTerminal, quickOpen, ready, typeCommand } from './workbench.mjs';

const target = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../docs/screenshot.png');

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hoody-screenshot-'));
const project = makeTides(directory);
const daemon = await Daemon.start(directory, { config: SETTINGS });
makePrompt(daemon);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
  await page.addInitScript(markReady);
  await page.goto(`${daemon.url}?folder=${project}`);
  await ready(page);
  await quickOpen(page, 'test/tides.test.js');
  await quickOpen(page, 'src/tides.js');
  // Kept open, not in a preview's slanted letters.
  await command(page, 'View: Keep Editor');
  await openTerminal(page);
  await typeCommand(page, 'clear');
  await typeCommand(page, 'node src/main.js');
  await typeCommand(page, 'git status --short --branch');
  await prompts(directory, 4);
  // Into a function, whose name then stands above the text as soon as the language server knows it.
  await editor(page).locator('.view-line').nth(8).click();
  await page.locator('.breadcrumbs-control').getByText('tides', { exact: true }).waitFor();
  // The gutter's mark comes last: from the git extension, after it has read the repository.
  await editor(page).locator('.dirty-diff-glyph').first().waitFor({ state: 'attached' });
  await page.locator('.part.statusbar').getByText('main').first().waitFor();
  await page.mouse.move(900, 400);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  await page.screenshot({ path: target });
} finally {
  await browser.close();
  await daemon.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}
console.log(target);
