// Real dev servers for the tests of the port proxy: installed from npm and PyPI by their own clients, once, into the cache; each
// test gets a copy. What exactly is installed stands in the lock files below apps/.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const sources = fileURLToPath(new URL('apps/', import.meta.url));
const cache = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'hoody-code/test-apps');

/** A port that nobody has at this moment: these servers have to be told one. */
export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Puts what `name`'s lock file says into the cache, unless it is there, and gives its directory. */
async function installed(name, lock, install) {
  const sum = crypto.createHash('sha256').update(fs.readFileSync(path.join(sources, name, lock))).update(process.version).digest('hex');
  const dir = path.join(cache, `${name}-${sum.slice(0, 12)}`);
  if (fs.existsSync(path.join(dir, '.complete'))) return dir;
  fs.mkdirSync(cache, { recursive: true });
  // Two test runs at once each make their own; the one that is ready first stays.
  const work = fs.mkdtempSync(path.join(cache, `${name}.`));
  try {
    fs.cpSync(path.join(sources, name), work, { recursive: true });
    const began = Date.now();
    await install(work);
    console.log(`installed ${name} in ${Math.round((Date.now() - began) / 1000)} s`);
    fs.writeFileSync(path.join(work, '.complete'), '');
    try {
      fs.renameSync(work, dir);
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes(error.code)) throw error;
    }
    return dir;
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

/** A copy of the npm project `name` in `to`. Its packages are hard links where the file system allows it. */
export async function npmProject(name, to) {
  const dir = await installed(name, 'package-lock.json', (work) =>
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: work, timeout: 280_000 }));
  fs.cpSync(path.join(sources, name), to, { recursive: true });
  const modules = [path.join(dir, 'node_modules'), path.join(to, 'node_modules')];
  await run('cp', ['-al', ...modules]).catch(async () => {
    fs.rmSync(modules[1], { recursive: true, force: true });
    await run('cp', ['-a', ...modules]);
  });
  return to;
}

/** The `bin` directory of a Python environment with the packages of `apps/python/requirements.txt`. */
export async function python() {
  // Scripts of a virtual environment name their interpreter by its whole path: it is made where it stays.
  const lock = fs.readFileSync(path.join(sources, 'python/requirements.txt'));
  const { stdout: version } = await run('python3', ['--version']);
  const sum = crypto.createHash('sha256').update(lock).update(version).digest('hex');
  const dir = path.join(cache, `python-${sum.slice(0, 12)}`);
  if (!fs.existsSync(path.join(dir, '.complete'))) {
    const began = Date.now();
    await run('python3', ['-m', 'venv', '--clear', dir]);
    const words = ['install', '--quiet', '--no-input', '--disable-pip-version-check', '--require-hashes', '-r', path.join(sources, 'python/requirements.txt')];
    await run(path.join(dir, 'bin/pip'), words, { timeout: 280_000 });
    console.log(`installed python's packages in ${Math.round((Date.now() - began) / 1000)} s`);
    fs.writeFileSync(path.join(dir, '.complete'), '');
  }
  assert.ok(fs.existsSync(path.join(dir, 'bin/python3')));
  return path.join(dir, 'bin');
}
