// The day's work: files, the terminal, a second device, an engine that dies.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { command, editorText, explorerRows, openFromExplorer, openTerminal, quickOpen, save, showsText, typeAtEnd, typeCommand } from './workbench.mjs';

test('a file that is edited and saved is on the disk, and there again after a reload', scene(async ({ daemon, project, visit, reload }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  await until('the explorer shows the project', async () =>
    assert.deepEqual((await explorerRows(page)).sort(), ['README.md', 'notes.txt', 'package.json', 'src']) === undefined);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'two');
  await save(page, path.join(project, 'notes.txt'), 'one\ntwo');
  await picture(page, 'edited');
  await reload(page);
  await openFromExplorer(page, 'notes.txt');
  await showsText(page, 'one\ntwo');
  await quickOpen(page, 'harbour.js');
  await until('the other file is shown', async () => (await editorText(page)).includes('export function arrive'));
}));

test('a command typed in the terminal runs in the folder', scene(async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  await openTerminal(page);
  await typeCommand(page, 'echo "made in $PWD" > made.txt; env > environment.txt');
  const made = path.join(project, 'made.txt');
  await until('the command has run', () => fs.existsSync(made) && fs.readFileSync(made, 'utf8') === `made in ${project}\n`);
  await until('the explorer notices the new file', async () => (await explorerRows(page)).includes('made.txt'));
  await picture(page, 'terminal');
  const environment = path.join(project, 'environment.txt');
  await until('the environment is written', () => fs.readFileSync(environment, 'utf8').includes('TERM_PROGRAM=vscode'));
  // What the daemon was started with is none of its users' business.
  assert.doesNotMatch(fs.readFileSync(environment, 'utf8'), /HOODY_CODE_(ENGINE|BIN|PICTURES)|NODE_TEST_CONTEXT|MALLOC_ARENA_MAX/);
}));

test('commands of the palette work', scene(async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  await command(page, 'Terminal: Create New Terminal');
  await page.locator('.terminal-wrapper.active .xterm-screen').waitFor();
  await command(page, 'File: New Untitled Text File');
  await page.locator('.tab.active[data-resource-name="Untitled-1"]').waitFor();
}));

test('a second browser sees the same instance', scene(async ({ daemon, project, visit }) => {
  const url = `${daemon.url}?folder=${project}`;
  const first = await visit(url);
  const engines = daemon.instance().engines();
  assert.equal(engines.length, 1);
  const second = await visit(url);
  assert.deepEqual(daemon.instance().engines(), engines);
  await openFromExplorer(first, 'notes.txt');
  await openFromExplorer(second, 'notes.txt');
  await typeAtEnd(first, 'from the first');
  await save(first, path.join(project, 'notes.txt'), 'from the first');
  await until('the second sees what the first has saved', async () => (await editorText(second)).includes('from the first'));
  await typeAtEnd(second, ', and the second');
  await save(second, path.join(project, 'notes.txt'), 'from the first, and the second');
  assert.deepEqual(daemon.instance().engines(), engines);
}));

test('after its engine was killed the editor goes on', scene(async ({ daemon, project, visit, reload }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  const { engines, pids } = daemon.instance();
  const [old, before] = [engines()[0], pids()];
  page.watch.check();
  process.kill(old, 'SIGKILL');
  await until('what the dead engine has left is gone', () => before.every((pid) => !pids().includes(pid)));
  await reload(page);
  // The page noticed, of course. What it says from here on counts.
  page.watch.forget();
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'again');
  await save(page, path.join(project, 'notes.txt'), 'one\nagain');
  assert.equal(engines().length, 1);
  assert.notEqual(engines()[0], old);
}));
