// Behind the proxies that people run, as Debian has them, with the very configurations of packaging/proxy: the editor, a dev server on
// both forms with its websocket, an upload that nobody holds back, and what the service believes of the client.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { freePort } from './apps.mjs';
import { picture, scene, until } from './support.mjs';
import { openTerminal, ready, typeCommand } from './workbench.mjs';

const PASSWORD = 'correct horse';
const UPLOAD = fileURLToPath(new URL('apps/upload/server.mjs', import.meta.url));
const MIB = 1 << 20;

/** A configuration of packaging/proxy with what differs here replaced; every one of `changes` has to be there. */
function configuration(name, changes) {
  let text = fs.readFileSync(new URL(`../../packaging/proxy/${name}`, import.meta.url), 'utf8').replaceAll('example.com', 'localhost');
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `${name} has no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** A certificate for both hosts' names, and its key, in one file each and in one together. */
function certificate(dir) {
  const [cert, key] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
  const names = ['srv7', '*.srv7', 'srv8', '*.srv8'].map((name) => `DNS:${name}.localhost`).join();
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=srv7.localhost', '-addext', `subjectAltName=${names}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  fs.mkdirSync(path.join(dir, 'certificates'));
  fs.writeFileSync(path.join(dir, 'certificates/all.pem'), fs.readFileSync(cert, 'utf8') + fs.readFileSync(key, 'utf8'));
  return { cert, key };
}

/** What each needs: its command, and how its configuration is made to fit here. */
const PROXIES = {
  nginx: ({ dir, cert, key, plain, secure, daemon }) => {
    const site = configuration('nginx.conf', [
      ['listen 80;', `listen 127.0.0.1:${plain};`], ['listen 443 ', `listen 127.0.0.1:${secure} `],
      ['/etc/letsencrypt/live/srv7.localhost/fullchain.pem', cert], ['/etc/letsencrypt/live/srv7.localhost/privkey.pem', key],
      ['127.0.0.1:8080', `127.0.0.1:${daemon.port}`],
    ]);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`).join('\n');
    const user = process.getuid() === 0 ? 'user root;\n' : '';
    fs.writeFileSync(path.join(dir, 'nginx.conf'), `${user}daemon off; pid ${dir}/nginx.pid; worker_processes 1;
      events {}
      http { access_log off;\n${temporary}\n${site} }`);
    return ['/usr/sbin/nginx', '-e', 'stderr', '-p', dir, '-c', path.join(dir, 'nginx.conf')];
  },
  haproxy: ({ dir, plain, secure, daemon, other }) => {
    fs.writeFileSync(path.join(dir, 'haproxy.cfg'), configuration('haproxy.cfg', [
      ['bind :80\n', `bind 127.0.0.1:${plain}\n`], ['bind :443 ', `bind 127.0.0.1:${secure} `],
      // It asks for that many descriptors.
      ['maxconn 20000', 'maxconn 200'], ['/etc/haproxy/certificates', path.join(dir, 'certificates')],
      ['10.0.0.7:8080', `127.0.0.1:${daemon.port}`], ['10.0.0.8:8080', `127.0.0.1:${other.port}`],
    ]));
    return ['/usr/sbin/haproxy', '-db', '-f', path.join(dir, 'haproxy.cfg')];
  },
  caddy: ({ dir, cert, key, plain, secure, daemon }) => {
    fs.writeFileSync(path.join(dir, 'Caddyfile'), configuration('Caddyfile', [
      ['admin unix//var/lib/caddy/admin.sock', `admin unix/${dir}/admin.sock\n\thttp_port ${plain}\n\thttps_port ${secure}`],
      ['/etc/caddy/tls/fullchain.pem', cert], ['/etc/caddy/tls/privkey.pem', key],
      ['127.0.0.1:8080', `127.0.0.1:${daemon.port}`],
    ]));
    return ['/usr/bin/caddy', 'run', '--adapter', 'caddyfile', '--config', path.join(dir, 'Caddyfile')];
  },
};

/** A request by hand, without a look at the certificate: resolves to status, headers and text. `feed` writes the body. */
function ask(url, { localAddress, feed, client = https, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const { hostname } = new URL(url);
    const request = client.request(url, {
      hostname: '127.0.0.1', servername: hostname, rejectUnauthorized: false, agent: false, localAddress, timeout: 60_000, ...options,
      headers: { host: new URL(url).host, ...options.headers },
    }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => (text += piece)).on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on('error', reject).on('timeout', () => request.destroy(new Error(`no answer: ${url}`)));
    if (feed) feed(request);
    else request.end();
  });
}

for (const [name, prepare] of Object.entries(PROXIES)) {
  test(`${name} in front`, scene({ start: false }, async ({ start, directory, project, profile }, t) => {
    const server = `trusted_proxies = ["127.0.0.1"]\n`;
    const config = (host) => `[server]\ndomains = ["${host}.localhost"]\n${server}[ports]\nhost_form = true\n`;
    const daemon = await start({ config: config('srv7'), password: PASSWORD });
    const other = name === 'haproxy' ? await start({ name: 'other', config: config('srv8'), password: PASSWORD }) : undefined;
    const [plain, secure] = [await freePort(), await freePort()];
    const [program, ...words] = prepare({ dir: directory, ...certificate(directory), plain, secure, daemon, other });
    const env = { ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory };
    const proxy = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [proxy.stdout, proxy.stderr]) stream.on('data', (text) => (said += text));
    const ended = new Promise((resolve) => proxy.once('exit', resolve).once('error', resolve));
    // In order, so that nginx takes its workers along.
    const guard = () => proxy.kill('SIGTERM');
    process.once('exit', guard);
    t.after(async () => {
      guard();
      const killer = setTimeout(() => proxy.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(killer);
      process.off('exit', guard);
    });
    const origin = (label, host = 'srv7') => `https://${label}.${host}.localhost:${secure}`;
    const base = origin('acme-web-code-1');
    await until(`${name} is up`, () => {
      assert.equal(proxy.exitCode, null, `${name} ended: ${said}`);
      return ask(`${base}/api/v1/code/health`);
    });

    await t.test('plain HTTP leads to HTTPS', async () => {
      const { status, headers } = await ask(`http://acme-web-code-1.srv7.localhost:${plain}/x?y`, { client: http });
      assert.equal(status, 308);
      assert.match(headers.location, /^https:\/\/acme-web-code-1\.srv7\.localhost(:\d+)?\/x\?y$/);
    });

    const page = await profile({ ignoreHTTPSErrors: true });
    // The browser keeps no service worker of a server whose certificate it cannot check.
    page.watch.expect(/SSL certificate error|ServiceWorker/i);
    const port = await freePort();
    let cookies;
    await t.test('the editor, its websocket, and a cookie that knows of TLS', async () => {
      await page.goto(`${base}/?folder=${project}`);
      await page.locator('#password').fill(PASSWORD);
      await page.locator('#password').press('Enter');
      await ready(page);
      await openTerminal(page);
      await typeCommand(page, `${process.execPath} ${UPLOAD} ${port} </dev/null >/dev/null 2>&1 &`);
      cookies = (await page.context().cookies()).filter((cookie) => cookie.name.includes('session'));
      assert.deepEqual(cookies.map((cookie) => [cookie.name, cookie.secure]), [['__Host-hoody-code-session-acme-web-code-1', true]]);
      await picture(page, `behind-${name}`);
    });

    await t.test('a dev server and its websocket, on both forms', async () => {
      for (const url of [`${base}/proxy/${port}/`, `${origin(`${port}--acme-web-code-1`)}/`]) {
        const app = await page.context().newPage();
        await until('the app is up', async () => (await app.goto(url)).status() === 200);
        assert.equal(app.url(), url);
        await app.locator('#said', { hasText: 'ahoy to you' }).waitFor();
        await app.close();
      }
    });

    const headers = { cookie: cookies.map((cookie) => `${cookie.name}=${cookie.value}`).join('; ') };
    const below = `${base}/proxy/${port}`;
    await t.test('what the app is told of its client', async () => {
      const { text } = await ask(`${below}/headers`, { localAddress: '127.0.0.2', headers: { ...headers, 'x-forwarded-for': '203.0.113.1' } });
      const told = JSON.parse(text);
      assert.deepEqual([told['x-forwarded-for'], told['x-forwarded-proto'], told['x-forwarded-host']], ['127.0.0.2', 'https', new URL(base).host]);
    });

    await t.test('an upload arrives as it is sent', async () => {
      const piece = Buffer.alloc(MIB, 'x');
      const seen = async () => Number((await ask(`${below}/seen`, { headers })).text);
      const { status, text } = await ask(`${below}/upload`, {
        method: 'POST', headers: { ...headers, 'content-type': 'application/octet-stream', origin: base },
        feed: async (request) => {
          request.write(piece);
          await until('the first piece is there before the last is sent', async () => (await seen()) === MIB).catch((error) => request.destroy(error));
          for (let n = 1; n < 100 && !request.destroyed; n++) {
            if (!request.write(piece)) await once(request, 'drain');
          }
          request.end();
        },
      });
      assert.deepEqual([status, text], [200, String(100 * MIB)]);
    });

    await t.test('who guesses passwords is known by the own address, whatever is claimed', async () => {
      const { status } = await ask(`${base}/api/v1/code/login`, {
        method: 'POST', localAddress: '127.0.0.3', headers: { 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.1' },
        feed: (request) => request.end('{"password":"wrong"}'),
      });
      assert.equal(status, 401);
      await until('it is on record', () => daemon.output.includes('failed login to instance acme-web-code-1 from 127.0.0.3'));
    });

    if (other) {
      await t.test('each host has its own names', async () => {
        const pid = async (host) => JSON.parse((await ask(`${origin('acme-web-code-1', host)}/api/v1/code/health`)).text).pid;
        assert.deepEqual([await pid('srv7'), await pid('srv8')], [daemon.child.pid, other.child.pid]);
        assert.equal((await ask(`https://x.srv9.localhost:${secure}/`, { servername: 'x.srv7.localhost' })).status, 404);
      });
    }
  }));
}
