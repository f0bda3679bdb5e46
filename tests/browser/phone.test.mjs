// A phone: small, touched, and without a Ctrl key.

import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { editor } from './workbench.mjs';

const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
  userAgent: 'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36',
};

test('on a phone a file can be opened, edited and is saved', scene({ settings: { 'files.autoSave': 'afterDelay' } }, async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`, PHONE);
  await picture(page, 'phone-open');
  await page.locator('.explorer-folders-view .monaco-list-row[aria-label^="notes.txt"]').tap();
  await page.locator('.tab.active[data-resource-name="notes.txt"]').waitFor();
  await editor(page).locator('.view-line').first().waitFor();
  await picture(page, 'phone-file');
  // Beside the text, where a finger would put it: that is the end of the first line.
  await editor(page).locator('.view-lines').tap();
  await page.keyboard.press('End');
  await page.keyboard.type(' thumb');
  await until('the file is saved by itself', () => /thumb/.test(fs.readFileSync(path.join(project, 'notes.txt'), 'utf8')));
  await picture(page, 'phone-edited');
}));
