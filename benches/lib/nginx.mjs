// nginx from Debian, in the foreground, on loopback, with a configuration of its own.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { connect } from './wire.mjs';
import { end, start, tempDir, until } from './processes.mjs';

const address = (port) => ({ port, host: '127.0.0.1' });

/** Runs nginx with `config` in `dir` and waits until it listens on `port`. */
async function launch(dir, config, port) {
  fs.writeFileSync(path.join(dir, 'nginx.conf'), config);
  const nginx = start('nginx', ['-e', 'stderr', '-p', dir, '-c', path.join(dir, 'nginx.conf')], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  if (!nginx.pid) throw new Error('it is not installed');
  await until('nginx', async () => {
    if (nginx.child.exitCode !== null) throw new Error(`nginx ended: ${nginx.output().trim().split('\n').pop()}`);
    return connect(address(port)).then((socket) => socket.destroy() || true, () => false);
  });
  return nginx;
}

/** What every nginx here is told: nothing is logged, and files of its own are in `dir`. */
function common(dir) {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`).join(' ');
  return `${temp} access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;`;
}

const head = (dir) => `${process.getuid() === 0 ? 'user root;' : ''} worker_processes auto; pid ${dir}/pid; daemon off; error_log stderr warn;
events { worker_connections 1024; }`;

/** A proxy in front of the app on `port`, which takes off the prefix that ours takes off. */
export async function startProxy(port) {
  const dir = tempDir('proxy');
  const [own] = await freePorts(1);
  const config = `${head(dir)}\nhttp { ${common(dir)}
    upstream app { server 127.0.0.1:${port}; keepalive 64; keepalive_requests 100000000; }
    server { listen 127.0.0.1:${own} backlog=511;
      location /proxy/${port}/ {
        proxy_pass http://app/; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
        proxy_redirect default; proxy_cookie_path / /proxy/${port}/;
      } } }\n`;
  const nginx = await launch(dir, config, own);
  return { pid: nginx.pid, port: own, address: address(own), end: () => end(nginx) };
}

/** Ports that nobody listens on at this moment. nginx cannot be asked for "any" and tell which. */
async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise((resolve) => {
      const server = net.createServer().listen(0, '127.0.0.1', () => resolve(server));
    })),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

// The types of the engine's files. Debian's own mime.types would do, but may be anywhere on other systems.
const TYPES = 'text/css css; text/javascript js; application/json json; image/svg+xml svg; text/html html; application/wasm wasm;';

const server = (port, extra) => `
  server {
    listen 127.0.0.1:${port} backlog=511;
    root DOCROOT;
    ${extra}
  }`;

/**
 * Three ways to serve `files` (paths below the engine's static prefix), and a proxy in front of `upstream`, a unix socket.
 * @returns addresses by name, and `end`.
 */
export async function startNginx({ engine, files, upstream }) {
  const dir = tempDir('nginx');
  fs.chmodSync(dir, 0o755);
  const root = path.join(dir, 'root');
  for (const file of files) {
    const target = path.join(root, engine.base, 'static', file);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.copyFileSync(path.join(engine.vscode, file), target);
    fs.copyFileSync(path.join(engine.dir, 'static', `${file}.gz`), `${target}.gz`);
  }
  const [plain, tuned, flying, proxy] = await freePorts(4);
  const asRoot = process.getuid() === 0 ? 'user root;' : '';
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`).join(' ');
  const config = `
${asRoot}
worker_processes auto;
pid ${dir}/pid;
daemon off;
error_log stderr warn;
events { worker_connections 1024; }
http {
  ${temp}
  types { ${TYPES} }
  access_log off;
  sendfile on;
  tcp_nopush on;
  # wrk would otherwise spend its time on new connections after every thousand requests; our daemon has no such limit.
  keepalive_requests 100000000;
  gzip_types text/css text/javascript application/json image/svg+xml;
  upstream engine { server unix:${upstream}; keepalive 8; keepalive_requests 100000000; }
  ${server(plain, 'gzip_static on;')}
  ${server(tuned, 'gzip_static on; open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s; tcp_nodelay on;')}
  ${server(flying, 'gzip on;')}
  server {
    listen 127.0.0.1:${proxy};
    location / {
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Connection $upgrading;
      proxy_set_header Upgrade $http_upgrade;
    }
  }
  map $http_upgrade $upgrading { default upgrade; '' ''; }
}
`.replaceAll('DOCROOT', root);
  const nginx = await launch(dir, config, proxy);
  return {
    pid: nginx.pid,
    plain: address(plain),
    tuned: address(tuned),
    flying: address(flying),
    proxy: address(proxy),
    end: () => end(nginx),
  };
}
