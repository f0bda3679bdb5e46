// code-server from its npm package, over the same VS Code files and the same node as our engine.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { end, run, start, tempDir, until } from './processes.mjs';
import { get } from './wire.mjs';

const here = fileURLToPath(new URL('../code-server/', import.meta.url));

/** Installs it once into the cache and gives the path of its entry script. */
export async function installCodeServer(engine, say) {
  const lock = ['package.json', 'package-lock.json'].map((name) => fs.readFileSync(path.join(here, name)));
  const hash = createHash('sha256').update(Buffer.concat(lock)).digest('hex').slice(0, 12);
  const cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  const parent = path.join(cache, 'hoody-code', 'bench-code-server');
  const dir = path.join(parent, hash);
  const home = path.join(dir, 'node_modules', 'code-server');
  if (!fs.existsSync(path.join(home, 'out/node/entry.js'))) {
    say('installing code-server from npm into the cache (once)');
    fs.mkdirSync(parent, { recursive: true });
    const staging = fs.mkdtempSync(path.join(parent, '.staging-'));
    try {
      for (const name of ['package.json', 'package-lock.json']) fs.copyFileSync(path.join(here, name), path.join(staging, name));
      // Its one native module, argon2, comes with binaries: no script has to run.
      const args = ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
      await run('npm', args, { limit: 600, cwd: staging });
      fs.rmSync(path.join(staging, 'node_modules/code-server/lib/vscode'), { recursive: true });
      fs.renameSync(staging, dir);
    } catch (error) {
      fs.rmSync(staging, { recursive: true, force: true });
      throw error;
    }
  }
  const { commit } = JSON.parse(fs.readFileSync(path.join(home, 'package.json'), 'utf8'));
  if (commit !== engine.product.commit) throw new Error(`code-server is of commit ${commit.slice(0, 8)}, the engine of ${engine.product.commit.slice(0, 8)}`);
  const link = path.join(home, 'lib/vscode');
  // Left alone when it is right: another benchmark may be running over it.
  if (!fs.existsSync(link) || fs.realpathSync(link) !== fs.realpathSync(engine.vscode)) {
    fs.rmSync(link, { force: true });
    fs.symlinkSync(engine.vscode, link);
  }
  return path.join(home, 'out/node/entry.js');
}

/** Starts a code-server with directories of its own, `dir` when given. Does not wait for anything but its address. */
export async function startCodeServer(engine, entry, dir = tempDir('code-server')) {
  // As an instance of ours, it gets an environment made from nothing.
  const { PATH, LANG = 'C.UTF-8' } = process.env;
  const env = { PATH, LANG, HOME: dir, XDG_DATA_HOME: `${dir}/data`, XDG_CONFIG_HOME: `${dir}/config`, SHELL: '/bin/bash', NODE_EXEC_PATH: engine.node };
  const args = [entry, '--auth', 'none', '--bind-addr', '127.0.0.1:0', '--user-data-dir', `${dir}/user-data`, '--extensions-dir',
    `${dir}/extensions`, '--disable-telemetry', '--disable-update-check', '--disable-getting-started-override'];
  const began = process.hrtime.bigint();
  const server = start(engine.node, args, { env, cwd: dir });
  const port = await until('code-server', () => {
    if (!server.pid || server.child.exitCode !== null) throw new Error(`code-server ended: ${server.output().trim().split('\n').pop()}`);
    return Number(server.output().match(/HTTP server listening on http:\/\/127\.0\.0\.1:(\d+)/)?.[1]);
  });
  return { name: 'code-server', pid: server.pid, port, began, dir, address: { port, host: '127.0.0.1' }, end: () => end(server) };
}

export async function readyCodeServer(engine, entry) {
  const server = await startCodeServer(engine, entry);
  await get(server.address, '/', { limit: 60 });
  return server;
}
