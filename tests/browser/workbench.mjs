// What a person does in VS Code, done by keyboard and mouse, and what they wait for while they do it. Nothing here depends on the
// display language. `page` may be a frame as well, where there is one editor in it.

import fs from 'node:fs';
import path from 'node:path';

import { until } from './daemon.mjs';

const keyboard = (page) => (page.keyboard ? page : page.page()).keyboard;

/** Runs in every page before its own scripts: remembers that the workbench has said it is up. */
export function markReady() {
  addEventListener('ide-ready', () => (globalThis.ideReady = true), { once: true });
}

/** Waits until the workbench is up: it has said so, and what a person looks at first is there. */
export async function ready(page) {
  // Asked again and again rather than once, because a loader replaces its own page.
  await until('the workbench is up', () => page.evaluate(() => globalThis.ideReady === true), 60_000);
  await page.locator('.monaco-workbench .part.editor').first().waitFor();
  // The explorer's rows; a window without a folder has no side bar.
  await page.locator('.explorer-folders-view .monaco-list-row, .monaco-workbench.nosidebar').first().waitFor({ state: 'attached' });
}

/** Waits until the explorer says that no folder is open. */
export async function emptyWindow(page) {
  await page.locator('.monaco-workbench.nosidebar').waitFor();
  // Pressed again: a workbench that has just come up may not have bound the key yet. It opens, and never closes.
  await until('the explorer says that no folder is open', async () => {
    await keyboard(page).press('Control+Shift+E');
    await page.locator('.part.sidebar .welcome-view-content .monaco-button').first().waitFor({ timeout: 5_000 });
    return true;
  }, 60_000);
}

/** The explorer's row of a file. */
export const explorerRow = (page, name) => page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`).first();

/** Names of the rows that the explorer shows. */
export async function explorerRows(page) {
  return page.locator('.explorer-folders-view .monaco-list-row').evaluateAll((rows) => rows.map((row) => row.getAttribute('aria-label')?.split(',')[0].trim()));
}

/** Opens a file of the project's top directory by a click in the explorer. */
export async function openFromExplorer(page, name) {
  await useRow(page, name, activeTab(page, name), (row) => row.click({ timeout: 5_000 }));
  await shown(page, name);
}

/**
 * Has `act` click or tap a row of the explorer until `opened` is there. The explorer uses its rows again for other files: one that is
 * drawn anew in the moment of a click is another file's by then.
 */
export async function useRow(page, name, opened, act) {
  await until(`${name} is opened`, async () => {
    await act(explorerRow(page, name));
    return opened.waitFor({ timeout: 5_000 }).then(() => true, () => false);
  }, 60_000);
}

/** Opens a file by the name that Quick Open is given. */
export async function quickOpen(page, name) {
  await pick(page, 'Control+P', name, (rows) => rows.filter({ hasText: path.basename(name) }));
  await shown(page, path.basename(name));
}

/** Runs a command by its title, category included. */
export async function command(page, title) {
  // Chosen by its whole title: what stands first for it is sometimes another one.
  await pick(page, 'F1', `>${title}`, (_, input) => input.locator(`.monaco-list-row[aria-label^="${title}"]`));
}

async function pick(page, key, text, choose) {
  const input = page.locator('.quick-input-widget:visible');
  // A workbench that has just come up may not have bound the key yet, or not know the command; a list is made when it is opened.
  await until(`${text} can be picked`, async () => {
    await keyboard(page).press(key);
    await input.waitFor({ timeout: 5_000 });
    await input.locator('.quick-input-box input').fill(text);
    const row = choose(input.locator('.monaco-list-row'), input).first();
    const there = await row.waitFor({ timeout: 5_000 }).then(() => true, () => false);
    await (there ? row.click({ timeout: 5_000 }) : keyboard(page).press('Escape'));
    return there;
  }, 60_000);
}

/** The tab of a file that is in front. */
export const activeTab = (page, name) => page.locator(`.editor-group-container.active .tab.active[data-resource-name="${name}"]`);

/** Waits until the tab of `name` is the active one and its text is there. */
async function shown(page, name) {
  await activeTab(page, name).waitFor();
  await editor(page).locator('.view-line').first().waitFor();
}

/** The active text editor. */
export const editor = (page) => page.locator('.editor-group-container.active .editor-instance .monaco-editor').first();

/** The text that the active editor shows; only what is on the screen. */
export async function editorText(page) {
  const lines = await editor(page).locator('.view-line').evaluateAll((all) =>
    all.map((line) => ({ top: parseFloat(line.style.top), text: line.textContent.replaceAll('\u00a0', ' ') })));
  return lines.sort((a, b) => a.top - b.top).map((line) => line.text).join('\n');
}

/** Waits until the active editor shows just this text. */
export const showsText = (page, text) => until('the text is there', async () => (await editorText(page)) === text);

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

/** Opens the terminal panel, and waits until keys go to a terminal there. */
export async function openTerminal(page) {
  const screen = page.locator('.terminal-wrapper.active .xterm-screen').filter({ visible: true });
  await until('a terminal has the focus', async () => {
    // The key closes the panel again when the terminal has the focus, or is about to get it.
    if (await screen.count()) await screen.first().click({ timeout: 2_000 });
    else await keyboard(page).press('Control+Backquote');
    await screen.first().waitFor({ timeout: 10_000 });
    await page.locator('.terminal-wrapper.active .xterm-helper-textarea:focus').waitFor({ state: 'attached', timeout: 2_000 });
    return true;
  }, 60_000);
}

/**
 * Types a command line into the terminal that has the focus. What comes of it is to be waited for. On a busy machine a part of the
 * workbench that comes up late takes the focus away while we type: then it is typed again, before anything was entered.
 */
export async function typeCommand(page, line) {
  await until('the terminal kept the focus', async () => {
    await keyboard(page).type(line);
    if ((await page.locator('.terminal-wrapper.active .xterm-helper-textarea:focus').count()) === 1) return true;
    await openTerminal(page);
    await keyboard(page).press('Control+U');
    return false;
  });
  await keyboard(page).press('Enter');
}
