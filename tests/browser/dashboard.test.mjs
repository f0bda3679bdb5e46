// The operator's page: on the control socket, reached as ssh -L would, through a port of this machine; and on its own listener, behind its
// own login.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';

/** A port of this machine that leads to the daemon's control socket. */
async function tunnel(t, daemon) {
  const server = net.createServer((client) => {
    const socket = net.connect(path.join(daemon.data, 'control.sock'));
    const end = () => [client, socket].forEach((one) => one.destroy());
    client.pipe(socket).pipe(client);
    for (const one of [client, socket]) one.on('error', end).on('close', end);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  t.after(() => server.close());
  return `http://localhost:${server.address().port}/`;
}

test('the operator sees who is there, stops one and starts it again', scene({}, async ({ daemon, profile }, t) => {
  for (const id of ['alice', 'bob']) assert.equal((await fetch(`${daemon.url}i/${id}/?ew=1`)).status, 200);
  const url = await tunnel(t, daemon);
  const page = await profile();
  await page.goto(url);
  const alice = page.locator('article', { has: page.getByText('alice', { exact: true }) });
  await alice.getByText('running').waitFor();
  assert.equal(await page.locator('article').count(), 2);
  await until('lines are drawn', async () => (await alice.locator('path').last().getAttribute('d'))?.includes('L'));
  await alice.getByText(/MiB on disk/).waitFor();
  page.on('dialog', (dialog) => dialog.accept());
  await alice.getByRole('button', { name: 'Stop', exact: true }).click();
  await alice.getByText('stopped by operator').waitFor();
  await picture(page, 'dashboard-stopped');
  await alice.getByRole('button', { name: 'Start', exact: true }).click();
  await alice.getByText('running').waitFor();
  await page.getByLabel('Find').fill('bo');
  await until('only bob is shown', async () => (await page.locator('article').count()) === 1);
  await page.getByLabel('Find').fill('');

  // On a phone nothing is cut off.
  await page.setViewportSize({ width: 360, height: 780 });
  await until('all are shown', async () => (await page.locator('article').count()) === 2);
  await alice.getByRole('button', { name: 'Logs' }).click();
  await alice.locator('pre').getByText('Extension host agent').waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it fits');
  await picture(page, 'dashboard-phone');
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0, 'nobody has signed in');

  // Nobody else's page has a say, even while the tunnel is open.
  const order = (headers) => fetch(`${url}api/v1/instances/bob/stop`, { method: 'POST', headers }).then((answer) => answer.status);
  assert.equal(await order({ origin: 'https://evil.example' }), 403);
  assert.equal(await order({ origin: daemon.url.slice(0, -1) }), 403, 'not even a page of an editor');
  assert.equal((await (await fetch(`${url}api/v1/instances/bob`)).json()).state, 'running');
}));

test('the operator signs in on a listener of its own, looks, and signs out', scene({ start: false }, async ({ directory, start, profile }) => {
  fs.writeFileSync(path.join(directory, 'operator'), 'boss', { mode: 0o600 });
  const config = `[dashboard]\nlisten = "127.0.0.1:0"\npassword_file = "${path.join(directory, 'operator')}"\n`;
  const daemon = await start({ config });
  const url = await until('where it is', () => /dashboard: (http:\S+)/.exec(daemon.output)?.[1]);
  assert.equal((await fetch(`${daemon.url}i/alice/?ew=1`)).status, 200);
  const page = await profile({ viewport: { width: 390, height: 844 } });
  const signIn = async (password) => {
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  };
  await page.goto(url);
  await picture(page, 'dashboard-login');
  await signIn('boss');
  const alice = page.locator('article', { has: page.getByText('alice', { exact: true }) });
  await alice.getByText('running').waitFor();
  assert.equal(page.url(), url);
  await page.locator('#host').getByText('Load').waitFor();

  // A log is text, whatever is in it; and goes on while it is looked at.
  const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
  await page.route('**/api/v1/instances/alice/logs', (route) => route.fulfill({ json: { id: 'alice', lines: ['one', hostile] } }));
  await alice.getByRole('button', { name: 'Logs' }).click();
  await alice.locator('pre').getByText(hostile).waitFor();
  assert.equal(await alice.locator('pre *').count(), 0);
  await page.unroute('**/api/v1/instances/alice/logs');
  await alice.locator('pre').getByText('Extension host agent').waitFor();

  page.on('dialog', (dialog) => dialog.accept());
  await alice.getByRole('button', { name: 'Stop', exact: true }).click();
  await alice.getByText('stopped by operator').waitFor();

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Password').waitFor();
  await page.goto(url);
  await page.getByLabel('Password').waitFor();
  // Signed out elsewhere while it is open, the page leads to the login by itself.
  await signIn('boss');
  await alice.waitFor();
  page.watch.leave();
  await page.context().clearCookies();
  await page.getByLabel('Password').waitFor();
}));
