// A daemon of one's own: started on a free port with a directory of its own, looked at through /proc, stopped without a trace.
//
//   const daemon = await Daemon.start(directory, { config: '[page]\nname = "X"\n', args: ['--page-loader'] });
//   daemon.url                      http://127.0.0.1:PORT/
//   daemon.instance('default')      its directories and processes
//   await daemon.stop()             SIGTERM, wait, and nothing of it may be left

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const program = process.env.HOODY_CODE_BIN || path.join(root, 'target/release/hoody-code');

/** The variable by which every process of an instance is known. */
const MARKER = 'HOODY_CODE_INSTANCE_DIR=';

// A test runner that is killed leaves its test processes to themselves. They end then, and with them what they have started.
const runner = process.ppid;
setInterval(() => process.ppid !== runner && process.exit(1), 1_000).unref();
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.once(signal, () => process.exit(1));

/** Waits until `look` returns something true, and returns that. An error that it throws counts as "not yet". */
export async function until(what, look, deadline = 30_000) {
  const end = Date.now() + deadline;
  for (let last; ; ) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${deadline / 1000} s`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** An installed engine, looked for where the daemon looks for it. */
export function engine() {
  const variable = process.env.HOODY_CODE_ENGINE;
  if (variable && fs.existsSync(path.join(variable, 'engine.json'))) return variable;
  const list = (...store) => JSON.parse(execFileSync(program, ['engine', 'list', '--json', ...store], { encoding: 'utf8' }));
  const found = variable ? list('--store', variable) : [...list('--store', '/usr/lib/hoody-code/engines'), ...list()];
  assert.ok(found.length > 0, 'no engine is installed: make build');
  return found[0].path;
}

export class Daemon {
  /**
   * Starts a daemon that keeps everything below `directory`, and waits until it says where it listens. Without a `password` it
   * asks for none; `listen` is one address or several, the first of which is its `url`.
   */
  static async start(directory, { config = '', args = [], engine, password, listen = '127.0.0.1:0' } = {}) {
    const daemon = new Daemon();
    daemon.data = path.join(directory, 'data');
    daemon.home = path.join(directory, 'home');
    daemon.output = '';
    fs.mkdirSync(daemon.home, { recursive: true });
    const file = path.join(directory, 'config.toml');
    fs.writeFileSync(file, config);
    // The engine's place depends on the home of whoever runs the tests; what editors find at home must not.
    const cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
    const env = { ...process.env, XDG_CACHE_HOME: cache, HOME: daemon.home };
    const words = ['serve', '--data-dir', daemon.data, '--config', file, ...args];
    for (const address of [listen].flat()) words.push('--listen', address);
    if (password === undefined) {
      words.push('--auth', 'none');
    } else {
      fs.writeFileSync(path.join(directory, 'password'), password, { mode: 0o600 });
      words.push('--password-file', path.join(directory, 'password'));
    }
    if (engine) words.push('--engine', engine);
    daemon.child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    daemon.exited = new Promise((resolve) => daemon.child.once('close', (code, signal) => resolve(signal ?? code)));
    // Whoever ends the test run early does not leave editors running.
    daemon.guard = () => daemon.child.kill('SIGTERM');
    process.once('exit', daemon.guard);
    let heard = '';
    daemon.child.stdout.setEncoding('utf8').on('data', (text) => (heard += text));
    daemon.child.stderr.setEncoding('utf8').on('data', (text) => (daemon.output += text));
    daemon.child.once('error', (error) => (daemon.output += error));
    let ended;
    void daemon.exited.then((how) => (ended = how));
    const line = await until('the daemon says where it listens', () => {
      if (ended !== undefined || daemon.child.exitCode !== null) return 'ended';
      return /^https?:.*$/m.exec(heard)?.[0];
    });
    if (line === 'ended') throw new Error(`the daemon ended at once:\n${daemon.output}`);
    daemon.url = line;
    daemon.port = Number(new URL(line).port);
    return daemon;
  }

  /** An instance's directories, and its processes at this moment. */
  instance(id = 'default') {
    const dir = path.join(this.data, 'instances', id);
    return {
      dir,
      userData: path.join(dir, 'user-data'),
      settings: path.join(dir, 'user-data/User/settings.json'),
      extensions: path.join(dir, 'extensions'),
      /** All of its processes. */
      pids: () => marked((marker) => marker === dir),
      /** Its engines: the process that the daemon started, not what that one forked. */
      engines: () => marked((marker) => marker === dir).filter((pid) => parent(pid) === this.child.pid),
    };
  }

  /** Ends it as an operator would; the instances have to be gone with it. */
  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    const killer = setTimeout(() => this.child.kill('SIGKILL'), 30_000);
    const how = await this.exited;
    clearTimeout(killer);
    process.off('exit', this.guard);
    const left = marked((marker) => marker.startsWith(`${this.data}/`));
    for (const pid of left) process.kill(pid, 'SIGKILL');
    assert.equal(how, 0, `the daemon ended with ${how}:\n${this.output}`);
    assert.deepEqual(left, [], 'processes of instances are left after the daemon has ended');
  }
}

/** The processes with a marker that `wanted` admits. One that ends while it is looked at is none. */
function marked(wanted) {
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const environment = fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      return environment.some((line) => line.startsWith(MARKER) && wanted(line.slice(MARKER.length)));
    } catch {
      return false;
    }
  });
}

/** The process that has started another one. */
export function parent(pid) {
  try {
    // The name in parentheses may hold anything, so the fields are counted from its end.
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    // It has ended since it was found.
    return undefined;
  }
}
