// Behind a reverse proxy that strips a prefix, as nginx with `location /code/ { proxy_pass http://…/; }` does.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { reverseProxy } from './proxy.mjs';
import { freePort } from './apps.mjs';
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
  const port = await freePort();
  await typeCommand(page, `python3 -m http.server ${port} </dev/null >/dev/null 2>&1 &`);
  const app = await page.context().newPage();
  await until('the app is up', async () => (await app.goto(`${proxy.url}proxy/${port}/`)).status() === 200);
  await app.goto(`${proxy.url}proxy/${port}/src`);
  assert.equal(app.url(), `${proxy.url}proxy/${port}/src/`, 'where the app redirects to is below the prefix as well');
  const scopes = await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).map((one) => one.scope));
  assert.deepEqual(scopes, [proxy.url]);
  // The redirect to what was opened last stays below the prefix, and so does that to an instance's root.
  await visit(proxy.url, { page });
  assert.equal(page.url(), `${proxy.url}?folder=${project}`);
  await visit(`${proxy.url}i/alice?folder=${project}`, { page });
  assert.equal(page.url(), `${proxy.url}i/alice/?folder=${project}`);
  // The app's page names no icon, and so the browser looks for one at the root.
  assert.deepEqual(proxy.strays.filter((url) => url !== '/favicon.ico'), []);
}));
