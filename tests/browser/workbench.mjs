// What a person does in VS Code, done by keyboard and mouse, and what they wait for while they do it. Nothing here depends on the
// display language. `page` may be a frame as well, where there is one editor in it.

import fs from 'node:fs';
import path from 'node:path';

import { until } from './daemon.mjs';

const keyboard = (page) => (page.keyboard ? page : page.page()).keyboard;

/** Waits until the workbench has been restored: its parts are there, and the extension host has had its say. */
export async function ready(page) {
  await page.locator('.monaco-workbench .part.editor').first().waitFor();
  await page.locator('.monaco-workbench .part.statusbar .statusbar-item').first().waitFor({ state: 'attached' });
}

/** Names of the rows that the explorer shows. */
export async function explorerRows(page) {
  return page.locator('.explorer-folders-view .monaco-list-row').evaluateAll((rows) => rows.map((row) => row.getAttribute('aria-label')?.split(',')[0].trim()));
}

/** Opens a file of the project's top directory by a click in the explorer. */
export async function openFromExplorer(page, name) {
  await page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`).first().click();
  await shown(page, name);
}

/** Opens a file by the name that Quick Open is given. */
export async function quickOpen(page, name) {
  await input(page, 'Control+P', name);
  await page.locator('.quick-input-list .monaco-list-row').filter({ hasText: path.basename(name) }).first().waitFor();
  await keyboard(page).press('Enter');
  await shown(page, path.basename(name));
}

/** Runs a command by its title. */
export async function command(page, title) {
  await input(page, 'F1', title);
  await page.locator('.quick-input-list .monaco-list-row').filter({ hasText: title.replace(/^.*: /, '') }).first().waitFor();
  await keyboard(page).press('Enter');
}

async function input(page, key, text) {
  const field = page.locator('.quick-input-widget:visible .quick-input-box input');
  // The key is lost when the workbench has not yet bound it.
  await until(`${key} opens an input`, async () => {
    await keyboard(page).press(key);
    return field.waitFor({ timeout: 2_000 }).then(() => true);
  });
  // F1 leaves a ">" that means commands.
  await field.pressSequentially(text);
}

/** Waits until the tab of `name` is the active one and its text is there. */
async function shown(page, name) {
  await page.locator(`.editor-group-container.active .tab.active[data-resource-name="${name}"]`).waitFor();
  await editor(page).locator('.view-line').first().waitFor();
}

/** The active text editor. */
export const editor = (page) => page.locator('.editor-group-container.active .editor-instance .monaco-editor').first();

/** The text that the active editor shows; only what is on the screen. */
export async function editorText(page) {
  const lines = await editor(page).locator('.view-line').evaluateAll((all) =>
    all.map((line) => ({ top: parseFloat(line.style.top), text: line.textContent.replaceAll(' ', ' ') })));
  return lines.sort((a, b) => a.top - b.top).map((line) => line.text).join('\n');
}

/** Types at the very end of the active editor. */
export async function typeAtEnd(page, text) {
  await editor(page).locator('.view-lines').click();
  await keyboard(page).press('Control+End');
  await keyboard(page).type(text);
  await page.locator('.editor-group-container.active .tab.active.dirty').waitFor();
}

/** Saves the active editor, and waits until `file` holds `text`. */
export async function save(page, file, text) {
  await keyboard(page).press('Control+S');
  await until(`${path.basename(file)} holds the saved text`, () => fs.readFileSync(file, 'utf8').includes(text));
  await page.locator('.editor-group-container.active .tab.active:not(.dirty)').waitFor();
}

/** Opens a terminal and waits until one can type in it. */
export async function openTerminal(page) {
  await keyboard(page).press('Control+Backquote');
  await page.locator('.terminal-wrapper.active .xterm-screen').waitFor();
  // The shell's prompt: something stands in the terminal.
  await until('the terminal shows a prompt', async () => (await page.locator('.terminal-wrapper.active .xterm-helper-textarea').count()) > 0);
  await page.locator('.terminal-wrapper.active .xterm-helper-textarea').focus();
}

/** Types a command line into the terminal that has the focus. What comes of it is to be waited for. */
export async function typeCommand(page, line) {
  await keyboard(page).type(`${line}\n`);
}
