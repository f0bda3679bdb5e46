// Signing in and out, as people and password managers do it; over TLS, behind a proxy, inside another site's page.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';

import { reverseProxy } from './proxy.mjs';
import { picture, scene, until } from './support.mjs';
import { command, openFromExplorer, openTerminal, ready, save, typeAtEnd } from './workbench.mjs';

const PASSWORD = 'correct horse & staple';

/** Waits for the login in `page` (or a frame) and signs in by keyboard. */
async function signIn(page, password = PASSWORD) {
  await page.locator('body[data-hoody=login] #password').waitFor();
  await page.locator('#password').fill(password);
  await page.locator('#password').press('Enter');
}

/** A certificate for this machine, and what a daemon that speaks TLS is started with. */
function tls(directory) {
  const [certificate, key] = [path.join(directory, 'tls.pem'), path.join(directory, 'tls.key')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '90',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-out', certificate, '-keyout', key], { stdio: 'ignore' });
  return { listen: 'https://127.0.0.1:0', password: PASSWORD, config: `[tls]\ncertificate = ${JSON.stringify(certificate)}\nkey = ${JSON.stringify(key)}\n` };
}

/** A browser takes no service worker from a server whose certificate it does not know, and says so. */
const UNKNOWN_CERTIFICATE = /SSL certificate error|ERR_CERT|error occurred when fetching the script/;

test('signing in leads to the page asked for, and signing out ends it', scene({ password: PASSWORD }, async ({ daemon, project, profile }) => {
  const page = await profile();
  page.watch.expect(/status of 401|answer 401/); // the wrong password
  await page.goto(`${daemon.url}i/alice/?folder=${project}`);
  assert.equal(new URL(page.url()).pathname, '/i/alice/login');
  // One can type at once.
  await page.locator('#password:focus').waitFor();
  await signIn(page, 'wrong');
  await page.locator('.problem[role=alert]').waitFor();
  assert.equal(await page.locator('#password').inputValue(), '');
  assert.equal(daemon.instance('alice').pids().length, 0, 'nothing was started for a stranger');
  await signIn(page);
  await ready(page);
  assert.equal(page.url(), `${daemon.url}i/alice/?folder=${project}`);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'signed in');
  await save(page, path.join(project, 'notes.txt'), 'one\nsigned in');
  assert.equal(await page.evaluate(() => document.cookie.includes('hoody-code')), false, 'no script sees the session');
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name === 'hoody-code-session-alice');
  assert.deepEqual([cookie.path, cookie.httpOnly, cookie.sameSite], ['/i/alice', true, 'Lax']);

  page.watch.expect(/401|WebSocket/); // what the workbench had open is cut
  page.watch.leave();
  await command(page, 'Sign out of');
  await page.locator('body[data-hoody=login]').waitFor();
  await page.goto(`${daemon.url}i/alice/?folder=${project}`);
  assert.equal(new URL(page.url()).pathname, '/i/alice/login');
  await page.context().addCookies([cookie]);
  await page.reload();
  assert.equal(new URL(page.url()).pathname, '/i/alice/login', 'a kept copy of the cookie opens nothing');
}));

test("a stranger's link to an extension is asked about behind the login as well", scene({ password: PASSWORD }, async ({ daemon, profile }, t) => {
  const wanted = `${daemon.url}?ew=1&extension=pub.evil`;
  const stranger = http.createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<a href="${wanted.replace('&', '&amp;')}">Free editor</a>`));
  await new Promise((resolve) => stranger.listen(0, resolve));
  t.after(() => stranger.close());
  const page = await profile();
  page.watch.expect(/status of 40[14]|answer 40[14]|favicon/); // the wrong password, and what the stranger does not have
  const host = new URL(daemon.url).hostname === 'localhost' ? '127.0.0.1' : 'localhost';
  await page.goto(`http://${host}:${stranger.address().port}/`);
  await page.getByText('Free editor').click();
  await signIn(page, 'wrong');
  await page.locator('.problem[role=alert]').waitFor();
  await signIn(page);
  await page.getByRole('heading', { name: 'Install this extension?' }).waitFor();
  assert.equal(daemon.instance('default').pids().length, 0, 'nothing was started for it');
  assert.equal(await page.getByText('Install it and open it').evaluate((link) => link.href), wanted);
  // Signed in now, the same address typed by oneself is one's own wish, and without the extension nobody is asked.
  await page.goto(`${daemon.url}?ew=1`);
  await ready(page);
}));

test('the login works without JavaScript, on a phone, in several languages', scene({ password: PASSWORD }, async ({ daemon, project, profile }) => {
  for (const [locale, word] of [['en-US', 'Sign in'], ['ja-JP', 'サインイン']]) {
    for (const [device, viewport] of [['phone', { width: 390, height: 844 }], ['desktop', { width: 1280, height: 800 }]]) {
      const page = await profile({ javaScriptEnabled: false, locale, viewport, isMobile: device === 'phone', hasTouch: device === 'phone' });
      page.watch.expect(/401|429/); // on purpose
      // What the editor's page would load ahead is a script: without JavaScript the browser does not.
      page.watch.expect(/failed csp: GET .*\/workbench\.js/);
      await page.goto(`${daemon.url}?folder=${project}`);
      assert.equal(await page.locator('button').innerText(), word);
      await picture(page, `login-${device}-${locale}`);
      const [field, button] = [await page.locator('#password').boundingBox(), await page.locator('button').boundingBox()];
      for (const box of [field, button]) assert.ok(box.height >= 44 && box.x >= 0 && box.x + box.width <= viewport.width, 'fits, and a thumb hits it');
      await signIn(page, 'wrong');
      await page.locator('.problem').waitFor();
      await picture(page, `login-wrong-${device}-${locale}`);
      await signIn(page);
      await page.waitForURL(`${daemon.url}?folder=${project}`);
      await page.locator('#vscode-workbench-web-configuration').waitFor({ state: 'attached' });
    }
  }
  const page = await profile();
  page.watch.expect(/401|429/);
  await page.goto(`${daemon.url}login`);
  for (let n = 0; (await page.locator('.problem').count()) === 0 || !/Too many/.test(await page.locator('.problem').innerText()); n++) {
    assert.ok(n <= 10);
    await signIn(page, `guess ${n}`);
    await page.waitForLoadState('load');
  }
  await picture(page, 'login-throttled');
}));

test('the editor works over TLS, all of it in HTTP/2', scene({ start: false }, async ({ start, directory, project, profile }) => {
  const daemon = await start(tls(directory));
  const page = await profile({ ignoreHTTPSErrors: true });
  page.watch.expect(UNKNOWN_CERTIFICATE);
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  await page.goto(`${daemon.url}?folder=${project}`);
  await signIn(page);
  await ready(page);
  await openFromExplorer(page, 'notes.txt');
  await typeAtEnd(page, 'over TLS');
  await save(page, path.join(project, 'notes.txt'), 'one\nover TLS');
  await openTerminal(page);
  const protocols = await page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.startsWith(location.origin)).map((entry) => entry.nextHopProtocol));
  assert.deepEqual([...new Set(protocols)].filter(Boolean), ['h2']);
  assert.ok(sockets.length > 0 && sockets.every((url) => url.startsWith(daemon.url.replace('https', 'wss'))), sockets.join());
  const [session] = (await page.context().cookies()).filter(({ name }) => name.includes('session'));
  assert.deepEqual([session.name, session.secure, session.path], ['__Host-hoody-code-session-default', true, '/']);
}));

test('the login works behind a proxy that strips a prefix', scene({ password: PASSWORD }, async ({ daemon, project, profile }, t) => {
  const proxy = await reverseProxy(t, daemon.port);
  const page = await profile();
  await page.goto(`${proxy.url}i/alice/?folder=${project}`);
  await signIn(page);
  await ready(page);
  assert.equal(page.url(), `${proxy.url}i/alice/?folder=${project}`);
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name.includes('session'));
  assert.equal(cookie.path, '/code/i/alice');
  assert.deepEqual(proxy.strays, []);
}));

/** Serves a page with the editor in a frame, from an origin of its own. */
async function outerPage(t, host) {
  let frame = '';
  const server = http.createServer((_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<!DOCTYPE html><title>outer</title><link rel="icon" href="data:,">
      <script>globalThis.heard = []; addEventListener('message', (event) => heard.push(event.data))</script>
      <iframe style="width:1200px;height:700px" src="${frame}" allow="clipboard-read; clipboard-write"></iframe>`));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { origin: `http://${host}:${server.address().port}`, embed: (url) => (frame = url) };
}

test('an allowed page on another site embeds the editor, login and all; no other page does', scene({ start: false }, async ({ start, directory, project, profile }, t) => {
  const [allowed, other] = [await outerPage(t, 'localhost'), await outerPage(t, 'localhost')];
  const options = tls(directory);
  const daemon = await start({ ...options, config: `${options.config}[embed]\nallow = ["${allowed.origin}"]\n` });
  const url = `${daemon.url}api/v1/code?folder=${project}`;
  allowed.embed(url);
  other.embed(url);
  const page = await profile({ ignoreHTTPSErrors: true, lasting: true });
  page.watch.expect(UNKNOWN_CERTIFICATE);
  page.watch.expect(/Blocked autofocusing/); // only the outer page may take the focus
  await page.goto(allowed.origin);
  const frameAt = (what, pattern) => until(what, () => page.frames().find((frame) => pattern.test(frame.url())));
  await signIn(await frameAt('the login in the frame', /\/login\?/));
  const editor = await frameAt('the editor in the frame in the frame', /\/\?folder=/);
  await ready(editor);
  await until('the outer page hears of it', () => page.evaluate(() => globalThis.heard.some((message) => message?.event === 'loaded')));
  await openFromExplorer(editor, 'notes.txt');
  await typeAtEnd(editor, 'embedded elsewhere');
  await save(editor, path.join(project, 'notes.txt'), 'one\nembedded elsewhere');
  await picture(page, 'embedded-elsewhere');
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name.includes('session'));
  assert.deepEqual([cookie.sameSite, cookie.secure, cookie.httpOnly], ['None', true, true]);
  assert.ok(cookie.partitionKey, 'kept apart for that site');

  // Where the browser gives embedded pages no storage, as in this private window, they say so and offer a tab of their own.
  const closed = await profile({ ignoreHTTPSErrors: true });
  closed.watch.expect(/Blocked autofocusing/);
  await closed.goto(allowed.origin);
  await signIn(await until('the login in the frame', () => closed.frames().find((frame) => /\/login\?/.test(frame.url()))));
  await until('the way out', () => closed.frames().at(-1).locator('#apart a.button').isVisible());
  await picture(closed, 'embedded-without-storage');

  // On its own, the editor asks again: what was said in the frame counts in the frame.
  const alone = await page.context().newPage();
  await alone.goto(`${daemon.url}?folder=${project}`);
  assert.equal(new URL(alone.url()).pathname, '/login');
  await alone.close();

  page.watch.leave();
  page.watch.expect(/frame-ancestors|ERR_BLOCKED_BY_RESPONSE|answer 403|status of 403/);
  await page.goto(other.origin);
  const refused = await until('the refused frame', () => page.frames().find((frame) => frame !== page.mainFrame()));
  assert.equal(await refused.evaluate(() => document.querySelectorAll('#password, iframe, .monaco-workbench').length), 0);
  assert.match(page.watch.all.join('\n'), /403|frame-ancestors/);
}));
