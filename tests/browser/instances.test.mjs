// Several instances of one daemon: by path, by host name, each for itself.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { makeProject, picture, scene, until } from './support.mjs';
import { editor, openFromExplorer, save, typeAtEnd } from './workbench.mjs';

const fontSize = (page) => editor(page).locator('.view-lines').evaluate((lines) => getComputedStyle(lines).fontSize);

function setUser(daemon, id, settings) {
  const file = daemon.instance(id).settings;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify(settings));
}

test('two instances side by side have settings and processes of their own', scene(async ({ daemon, directory, visit }) => {
  const people = [['alice', 21], ['bob', 11]];
  const projects = Object.fromEntries(people.map(([id]) => [id, makeProject(path.join(directory, `project-of-${id}`))]));
  for (const [id, size] of people) setUser(daemon, id, { 'editor.fontSize': size });
  for (const [id, size] of people) {
    const page = await visit(`${daemon.url}i/${id}/?folder=${projects[id]}`);
    await openFromExplorer(page, 'notes.txt');
    await until(`${id}'s own font size is used`, async () => (await fontSize(page)) === `${size}px`);
    await typeAtEnd(page, id);
    await save(page, path.join(projects[id], 'notes.txt'), `one\n${id}`);
    await picture(page, `instance-${id}`);
  }
  const engines = people.map(([id]) => daemon.instance(id).engines());
  assert.deepEqual(engines.map((list) => list.length), [1, 1]);
  assert.notEqual(engines[0][0], engines[1][0]);
  assert.deepEqual(daemon.instance('default').pids(), [], 'nobody asked for a third');
  assert.deepEqual(fs.readdirSync(path.join(daemon.data, 'instances')).sort(), ['alice', 'bob']);

  // What was opened last is each one's own as well.
  for (const [id] of people) {
    const url = new URL((await fetch(`${daemon.url}i/${id}`)).url);
    assert.deepEqual([url.pathname, url.searchParams.get('folder')], [`/i/${id}/`, projects[id]]);
  }
}));

test('a host name names an instance, and reaches no other', scene(async ({ daemon, project, visit }) => {
  const origin = `http://acme-web-code-1.localhost:${daemon.port}/`;
  const page = await visit(`${origin}?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'by host');
  await save(page, path.join(project, 'notes.txt'), 'one\nby host');
  assert.equal(daemon.instance('acme-web-code-1').engines().length, 1);
  const statuses = await page.evaluate(() =>
    Promise.all(['/i/alice/', '/i/acme-web-code-1/', '/i/alice/api/v1/code/health'].map(async (url) => (await fetch(url)).status)));
  assert.deepEqual(statuses, [404, 404, 404]);
  page.watch.forget(); // these three
  assert.deepEqual(fs.readdirSync(path.join(daemon.data, 'instances')), ['acme-web-code-1']);
}));
