// The same editor on every device: what one browser leaves behind, another one finds. What is ours of it, by itself and in many
// rounds, is in roaming-rounds.test.mjs.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { vsix } from './vsix.mjs';
import { command, editorText, openFromExplorer, openTerminal, quickOpen, typeAtEnd, typeCommand } from './workbench.mjs';

/** Drawn as text, a terminal can be read. And on a busy machine a welcome page comes late, in the place of what was opened meanwhile. */
const settings = { 'terminal.integrated.gpuAcceleration': 'off', 'workbench.startupEditor': 'none' };
const terminalText = async (page) => (await page.locator('.terminal-wrapper.active .xterm-rows').textContent()).replaceAll('\u00a0', ' ');
const tabs = (page) => page.locator('.tab').evaluateAll((all) => all.map((tab) => tab.getAttribute('data-resource-name')));
/** An extension host takes its time on a busy machine. */
const words = (page, text) => page.locator('.statusbar-item', { hasText: text }).first().waitFor({ timeout: 90_000 });

/** An extension that keeps words in every way that the API has, and shows what it finds. */
const keeper = () => vsix('keeper', {
  activationEvents: ['onStartupFinished'],
  contributes: { commands: ['one', 'two'].map((word) => ({ command: `keeper.${word}`, title: `Keep ${word}`, category: 'Keeper' })) },
}, `const vscode = require('vscode');
exports.activate = async (context) => {
  const item = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Left, -1000);
  const show = async () => {
    item.text = ['kept', context.globalState.get('word'), context.workspaceState.get('word'), await context.secrets.get('word')].join(' ');
    item.show();
  };
  for (const word of ['one', 'two']) {
    vscode.commands.registerCommand('keeper.' + word, async () => {
      await context.globalState.update('word', 'global-' + word);
      await context.workspaceState.update('word', 'folder-' + word);
      await context.secrets.store('word', 'secret-' + word);
      await show();
    });
  }
  await show();
};
`);

/** What the instance has of one scope, as an operator sees it. */
async function scope(daemon, name) {
  const answer = await fetch(`${daemon.url}api/v1/code/state?scope=${encodeURIComponent(name)}`);
  return (await answer.json()).news.entries;
}

/** The texts of the backups that the instance has on its disk. */
function backups(daemon) {
  const dir = path.join(daemon.instance().userData, 'User/Backups');
  const files = fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name !== 'workspaces.json');
  return files.map((entry) => fs.readFileSync(path.join(entry.parentPath, entry.name), 'utf8'));
}

/** Waits until what `look` looks for in the folder's state is there (VS Code writes it down every five seconds), and leaves the page. */
async function leave(page, daemon, project, look) {
  await until('what is left has arrived', async () => look(await scope(daemon, `workspace/${project}`)));
  page.watch.leave();
  await page.goto('about:blank');
}

const loaded = (page) => page.evaluate(() => performance.measure('state', 'hoody-code/willLoadState', 'hoody-code/didLoadState').duration);

test('editors, unsaved text, layout, a terminal, what an extension keeps, and a secret move to another device and back', scene({ settings }, async ({ daemon, project, visit, profile }) => {
  const url = `${daemon.url}?folder=${project}`;
  const sent = await fetch(`${daemon.url}api/v1/code/extensions`, { method: 'POST', body: keeper(), headers: { 'Content-Type': 'application/octet-stream' } });
  assert.equal(sent.status, 200);

  const first = await visit(url);
  await words(first, 'kept');
  await openTerminal(first);
  await typeCommand(first, 'echo "still $((40 + 2))"');
  await until('the command has run', async () => (await terminalText(first)).includes('still 42'));
  await openFromExplorer(first, 'notes.txt');
  await typeAtEnd(first, 'not saved');
  await quickOpen(first, 'harbour.js');
  await first.keyboard.press('ArrowDown');
  await first.keyboard.press('End');
  await words(first, 'Ln 2, Col 27');
  await command(first, 'Keeper: Keep one');
  await words(first, 'kept global-one folder-one secret-one');
  await first.keyboard.press('Control+B');
  await first.locator('.monaco-workbench.nosidebar').waitFor();
  await until('the secret has arrived', async () => 'secrets.provider' in (await scope(daemon, 'local')));
  await until('the extension\'s words have arrived', async () => (await scope(daemon, 'global'))['hoody-test.keeper']?.includes('global-one'));
  await leave(first, daemon, project, (state) => state['workbench.sideBar.hidden'] === 'true' && state['memento/workbench.parts.editor'].includes('harbour.js') &&
    state['memento/workbench.editors.files.textFileEditor']?.includes('"lineNumber":2,"column":27'));

  const second = await profile();
  await visit(url, { page: second });
  console.log(`state loaded on a new device in ${Math.round(await loaded(second))} ms`);
  await picture(second, 'roamed');
  await words(second, 'kept global-one folder-one secret-one');
  await words(second, 'Ln 2, Col 27');
  assert.deepEqual(await tabs(second), ['notes.txt', 'harbour.js']);
  assert.equal(await second.locator('.monaco-workbench.nosidebar').count(), 1, 'the side bar is closed');
  await until('the terminal is there', async () => (await terminalText(second)).includes('still 42'));
  await second.locator('.tab.dirty[data-resource-name="notes.txt"]').click();
  await until('the unsaved text is there', async () => (await editorText(second)).includes('not saved'));

  await typeAtEnd(second, ', nor this');
  await command(second, 'Keeper: Keep two');
  await words(second, 'kept global-two folder-two secret-two');
  await second.keyboard.press('Control+B');
  await second.locator('.explorer-folders-view .monaco-list-row').first().waitFor();
  await openFromExplorer(second, 'README.md');
  await until('the backup is written', () => backups(daemon).some((text) => text.includes('not saved, nor this')));
  const before = (await scope(daemon, 'local'))['secrets.provider'];
  assert.ok(before);
  await until('the extension\'s words have arrived', async () => (await scope(daemon, 'global'))['hoody-test.keeper']?.includes('global-two'));
  await leave(second, daemon, project, (state) => state['memento/workbench.parts.editor'].includes('README.md'));

  await visit(url, { page: first });
  await words(first, 'kept global-two folder-two secret-two');
  assert.deepEqual(await tabs(first), ['notes.txt', 'README.md', 'harbour.js']);
  await first.locator('.explorer-folders-view .monaco-list-row').first().waitFor();
  await until('the terminal is there', async () => (await terminalText(first)).includes('still 42'));
  await first.locator('.tab.dirty[data-resource-name="notes.txt"]').click();
  await until('the unsaved text is there', async () => (await editorText(first)).includes('not saved, nor this'));
  assert.equal(fs.readFileSync(path.join(project, 'notes.txt'), 'utf8'), 'one\n');
}));

test('two devices that type at once keep both texts, and a third finds them after both were killed', scene({ settings }, async ({ daemon, project, visit }) => {
  const url = `${daemon.url}?folder=${project}`;
  const [first, second] = [await visit(url), await visit(url)];
  const loads = [0, 0];
  [first, second].forEach((page, n) => page.on('framenavigated', (frame) => frame === page.mainFrame() && (loads[n] += 1)));
  await openFromExplorer(first, 'notes.txt');
  await openFromExplorer(second, 'README.md');
  await Promise.all([typeAtEnd(first, 'from the first'), typeAtEnd(second, 'from the second')]);
  await until('both backups are written', () => ['from the first', 'from the second'].every((text) => backups(daemon).some((backup) => backup.includes(text))));
  assert.deepEqual(loads, [0, 0], 'nobody reloads because of the other');
  for (const page of [first, second]) {
    page.watch.leave();
    const session = await page.context().newCDPSession(page);
    const crashed = new Promise((resolve) => page.once('crash', resolve));
    session.send('Page.crash').catch(() => {});
    await crashed;
  }
  const third = await visit(url);
  for (const [name, text] of [['notes.txt', 'from the first'], ['README.md', 'from the second']]) {
    await third.locator(`.tab.dirty[data-resource-name="${name}"]`).click();
    await until(`${text} is there`, async () => (await editorText(third)).includes(text));
  }
}));

test('what was typed in a tab that is then killed is there on another device', scene({ settings }, async ({ daemon, project, visit, profile }) => {
  const url = `${daemon.url}?folder=${project}`;
  const first = await visit(url);
  await openFromExplorer(first, 'notes.txt');
  const typed = Date.now();
  await typeAtEnd(first, 'typed');
  // VS Code writes a backup a second after the last key; a phone that kills a tab has hidden it long before.
  await until('the backup is written', () => backups(daemon).some((text) => text.includes('typed')));
  console.log(`backup written ${Date.now() - typed} ms after the first key`);
  first.watch.leave();
  await first.close({ runBeforeUnload: false });
  const second = await visit(url);
  await second.locator('.tab.dirty[data-resource-name="notes.txt"]').click();
  await until('the text is there', async () => (await editorText(second)).includes('typed'));
}));

test('a broken store is set aside, said so, and the editor opens', scene({ settings }, async ({ daemon, project, visit, reload }) => {
  const url = `${daemon.url}?folder=${project}`;
  const first = await visit(url);
  await openFromExplorer(first, 'notes.txt');
  await until('it has arrived', async () => (await scope(daemon, `workspace/${project}`))['memento/workbench.parts.editor']?.includes('notes.txt'));
  await reload(first);
  console.log(`state loaded on a device that has it in ${Math.round(await loaded(first))} ms`);
  first.watch.leave();
  await first.goto('about:blank');
  const dir = path.join(daemon.data, 'state/default/roaming');
  for (const name of fs.readdirSync(dir)) fs.writeFileSync(path.join(dir, name), Buffer.alloc(500, 7));
  const second = await visit(url);
  await openFromExplorer(second, 'README.md');
  assert.match(daemon.output, /is broken/);
  // The first device has its own, and what it had before is there for all again.
  await visit(url, { page: first });
  await until('its editor is there', async () => (await tabs(first)).includes('notes.txt') || (await tabs(first)).includes('README.md'));
}));
