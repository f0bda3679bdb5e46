// The same editor on every device: what one browser leaves behind, another one finds.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { editorText, openFromExplorer, openTerminal, quickOpen, typeAtEnd, typeCommand } from './workbench.mjs';

/** Where the instance's state is, as an operator sees it. */
const scopes = async (daemon) => (await (await fetch(`${daemon.url}api/v1/code/state`)).json()).scopes;
/** Drawn as text, a terminal can be read. */
const settings = { 'terminal.integrated.gpuAcceleration': 'off' };
const terminalText = async (page) => (await page.locator('.terminal-wrapper.active .xterm-rows').textContent()).replaceAll('\u00a0', ' ');
const tabs = (page) => page.locator('.tab').evaluateAll((all) => all.map((tab) => tab.getAttribute('data-resource-name')));

test('a second device shows what the first has left', scene({ settings }, async ({ daemon, project, visit }) => {
  const url = `${daemon.url}?folder=${project}`;
  const first = await visit(url);
  await openFromExplorer(first, 'notes.txt');
  await typeAtEnd(first, 'not saved');
  await quickOpen(first, 'harbour.js');
  await openTerminal(first);
  await typeCommand(first, 'echo "still $((40 + 2))"');
  await until('the command has run', async () => (await terminalText(first)).includes('still 42'));
  first.watch.leave();
  await first.goto('about:blank');
  await until('it has arrived', async () => (await scopes(daemon)).some(({ scope }) => scope === `workspace/${project}`));
  const second = await visit(url);
  await picture(second, 'roamed');
  assert.deepEqual(await tabs(second), ['notes.txt', 'harbour.js']);
  await second.locator('.tab.dirty[data-resource-name="notes.txt"]').click();
  await until('the unsaved text is there', async () => (await editorText(second)).includes('not saved'));
  await until('the terminal is there', async () => (await terminalText(second)).includes('still 42'));
}));
