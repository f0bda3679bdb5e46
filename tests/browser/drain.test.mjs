// A host that is being drained, as people in front of it see that.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { picture, scene, until } from './support.mjs';
import { openFromExplorer, openTerminal, save, typeAtEnd, typeCommand } from './workbench.mjs';

const program = process.env.HOODY_CODE_BIN || fileURLToPath(new URL('../../target/release/hoody-code', import.meta.url));

test('an open editor goes on, a closed one ends, another one is told why it does not start', scene(async ({ daemon, project, visit, reload, profile }) => {
  const drain = (...words) => execFileSync(program, ['drain', ...words, '--socket', path.join(daemon.data, 'control.sock')], { encoding: 'utf8' });
  const editor = await visit(`${daemon.url}?folder=${project}`);
  drain();
  // Reloaded, and worked with.
  await reload(editor);
  await openFromExplorer(editor, 'notes.txt');
  await typeAtEnd(editor, 'drained');
  await save(editor, path.join(project, 'notes.txt'), 'one\ndrained');
  await openTerminal(editor);
  await typeCommand(editor, 'echo x > made.txt');
  await until('the command has run', () => fs.existsSync(path.join(project, 'made.txt')));

  const other = await profile();
  other.watch.expect(/answer 503|status of 503/);
  const answer = await other.goto(`${daemon.url}i/alice/?folder=${project}`);
  assert.equal(answer.status(), 503);
  await other.getByText('This server is being drained').waitFor();
  await picture(other, 'drained');
  assert.deepEqual(daemon.instance('alice').pids(), []);

  editor.watch.leave();
  await editor.close();
  drain('--idle', '0s');
  await until('the unused one has ended', () => daemon.instance().pids().length === 0);
  drain('--off');
  other.watch.forget();
  await other.getByRole('link', { name: 'Try again' }).click();
  await other.locator('.monaco-workbench .part.editor').first().waitFor({ timeout: 60_000 });
}));
