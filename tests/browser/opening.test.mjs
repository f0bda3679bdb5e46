// What a URL opens: parameters, what was opened last, and what is gone.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { makeProject, picture, scene, until } from './support.mjs';
import { emptyWindow, explorerRows } from './workbench.mjs';

const shows = (page, row) => until(`the explorer shows ${row}`, async () => (await explorerRows(page)).includes(row));

test('without parameters the last opened folder opens again, until an empty window was asked for', scene(async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  await shows(page, 'notes.txt');
  await visit(daemon.url, { page });
  assert.equal(new URL(page.url()).searchParams.get('folder'), project);
  await shows(page, 'notes.txt');
  await visit(`${daemon.url}?ew=true`, { page });
  await emptyWindow(page);
  await picture(page, 'empty-window');
  // Another browser, so that it is the instance that has forgotten, not this one.
  const other = await visit(daemon.url);
  await emptyWindow(other);
  assert.equal(new URL(other.url()).searchParams.get('folder'), null);
}));

test('a last opened folder that is gone opens an empty window', scene(async ({ daemon, directory, visit, profile }) => {
  const gone = makeProject(path.join(directory, 'gone'));
  const page = await visit(`${daemon.url}?folder=${gone}`);
  await shows(page, 'notes.txt');
  page.watch.leave();
  page.watch.leave();
  await page.goto('about:blank');
  fs.rmSync(gone, { recursive: true });
  const other = await profile();
  const statuses = [];
  other.on('response', (answer) => answer.request().isNavigationRequest() && statuses.push(answer.status()));
  await visit(daemon.url, { page: other });
  assert.equal(statuses[0], 200);
  await emptyWindow(other);
}));

test('a folder that is not there is a page that says so', scene(async ({ daemon, profile }) => {
  const page = await profile();
  page.watch.expect(/answer 404|status of 404/);
  const answer = await page.goto(`${daemon.url}?folder=/nowhere/at/all`);
  assert.equal(answer.status(), 404);
  await page.locator('body[data-hoody=error] h1').waitFor();
  await picture(page, 'no-such-folder');
  assert.deepEqual(daemon.instance().pids(), [], 'nothing was started for it');
}));

test('a workspace opens with all of its folders, and opens again', scene(async ({ daemon, directory, project, profile, visit }) => {
  for (const name of ['second', 'third']) makeProject(path.join(directory, name));
  const workspace = path.join(directory, 'both (ü).code-workspace');
  const folders = (...paths) => fs.writeFileSync(workspace, JSON.stringify({ folders: paths.map((path) => ({ path })) }));
  folders(project, 'second');
  const url = `${daemon.url}?${new URLSearchParams({ workspace })}`;
  // Left while it opens: VS Code alone remembers a workspace without folders then, and shows that the next time.
  const hasty = await profile();
  hasty.watch.expect(/lifecycle|The transaction has finished/);
  await hasty.goto(url);
  await hasty.locator('.monaco-workbench').waitFor({ state: 'attached' });
  await hasty.context().close();

  const page = await visit(`${url}&folder=/nowhere`);
  await shows(page, 'second');
  await shows(page, 'project');
  await picture(page, 'workspace');
  // VS Code read what was put there for it: it has the same name for the workspace.
  const user = path.join(daemon.instance().userData, 'User');
  // It makes the directory first, and the workspace's own in it after that.
  const own = await until('VS Code keeps something of it', () => fs.readdirSync(`${user}/workspaceStorage`).join());
  assert.equal(own, fs.readdirSync(`${user}/caches/CachedConfigurations/workspaces`).join());

  // Changed behind its back while nobody looks.
  page.watch.leave();
  await page.goto('about:blank');
  folders('second', 'third');
  await visit(daemon.url, { page });
  assert.equal(new URL(page.url()).searchParams.get('workspace'), workspace);
  await shows(page, 'third');
  assert.ok(!(await explorerRows(page)).includes('project'));
}));
