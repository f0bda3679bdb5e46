// Behind a reverse proxy that strips a prefix, as nginx with `location /code/ { proxy_pass http://…/; }` does.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { reverseProxy } from './proxy.mjs';
import { picture, scene, until } from './support.mjs';
import { openFromExplorer, openTerminal, save, typeAtEnd, typeCommand } from './workbench.mjs';

test('the editor works behind a proxy that strips a prefix', scene(async ({ daemon, project, visit }, t) => {
  const proxy = await reverseProxy(t, daemon.port);
  const page = await visit(`${proxy.url}?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'proxied');
  await save(page, path.join(project, 'notes.txt'), 'one\nproxied');
  await openTerminal(page);
  await typeCommand(page, 'echo x > made.txt');
  await until('the command has run', () => fs.existsSync(path.join(project, 'made.txt')));
  await picture(page, 'proxied');
  const scopes = await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).map((one) => one.scope));
  assert.deepEqual(scopes, [proxy.url]);
  // The redirect to what was opened last stays below the prefix, and so does that to an instance's root.
  await visit(proxy.url, { page });
  assert.equal(page.url(), `${proxy.url}?folder=${project}`);
  await visit(`${proxy.url}i/alice?folder=${project}`, { page });
  assert.equal(page.url(), `${proxy.url}i/alice/?folder=${project}`);
  assert.deepEqual(proxy.strays, []);
}));
