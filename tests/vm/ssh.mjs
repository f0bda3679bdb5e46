// One ssh connection to a guest, and everything over it: commands, files, forwarded ports. A command costs about 10 ms.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';

import { freePort, pause } from './machine.mjs';

const GUEST = 'root@127.0.0.1';

/** More output than this of one command is a mistake; it ends the command. */
const MAX_OUTPUT = 256 << 20;

/** What a command finds: little, always the same, and nothing by which bash knows that ssh has started it (and reads bashrc). */
const ENVIRONMENT = 'HOME=/root USER=root LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin';

/** A word for a shell. */
export const quote = (word) => `'${String(word).replaceAll("'", `'\\''`)}'`;

export class Ssh {
  #master;
  #control;

  constructor(control) {
    this.#control = control;
  }

  /** Connects to `port` as root, as soon as somebody answers there; `alive` says whether it is worth waiting. */
  async open(port, key, alive, deadline) {
    const end = Date.now() + deadline;
    while (!(await greets(port))) {
      if (!alive()) throw new Error('the guest ended while it booted');
      if (Date.now() > end) throw new Error(`no ssh within ${deadline / 1000} s`);
      await pause(50);
    }
    fs.rmSync(this.#control, { force: true }); // a connection that was killed leaves it, and it is in the way of the next
    const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'IdentitiesOnly=yes',
      'ConnectTimeout=20', 'ServerAliveInterval=10', 'ServerAliveCountMax=6', 'ControlMaster=yes', 'ControlPersist=no'];
    const words = ['-F', 'none', '-N', '-i', key, '-p', String(port), '-S', this.#control, ...options.map((option) => `-o${option}`)];
    const master = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'ssh', ...words, GUEST], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true, // Ctrl-C is for us to deal with
    });
    this.#master = master;
    let said = '';
    master.stderr.setEncoding('utf8').on('data', (text) => (said += text));
    master.ended = new Promise((resolve) => master.once('exit', resolve));
    while ((await this.#ssh(['-O', 'check', GUEST])).code !== 0) {
      if (master.exitCode !== null) throw new Error(`ssh ended: ${said}`);
      if (Date.now() > end) throw new Error(`ssh does not get through within ${deadline / 1000} s: ${said}`);
      await pause(30);
    }
  }

  /** Runs ssh with these words over the connection, for at most `timeout` ms; `input` is a string, a buffer or a stream. */
  #ssh(words, { timeout = 10_000, input } = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn('ssh', ['-F', 'none', '-S', this.#control, '-oControlMaster=no', '-oBatchMode=yes', '-oLogLevel=ERROR',
        ...words], { stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
      const [out, err] = [[], []];
      let size = 0;
      let late = false;
      const began = Date.now();
      const collect = (list) => (chunk) => {
        size += chunk.length;
        if (size <= MAX_OUTPUT) list.push(chunk);
        else child.kill('SIGKILL');
      };
      child.stdout.on('data', collect(out));
      child.stderr.on('data', collect(err));
      const timer = setTimeout(() => {
        late = true;
        child.kill('SIGKILL');
      }, timeout);
      child.once('error', reject);
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        resolve({ stdout: Buffer.concat(out), stderr: Buffer.concat(err), code: code ?? signal, late, took: Date.now() - began });
      });
      if (input === undefined) return;
      child.stdin.on('error', () => {}); // the command need not read all of it; how it ended says what went wrong
      if (typeof input.pipe === 'function') input.pipe(child.stdin);
      else child.stdin.end(input);
    });
  }

  /** Runs a command line in the guest. Its time is limited there, and once more here for a guest that hangs. */
  run(command, { timeout, input } = {}) {
    const limited = `exec env -i ${ENVIRONMENT} timeout --kill-after=2 ${timeout / 1000} bash -euc ${quote(command)}`;
    return this.#ssh([GUEST, limited], { timeout: timeout + 5_000, input });
  }

  /** Opens a local port, a free one unless told, that leads to `target`: host:port or the path of a unix socket, in the guest. */
  async forward(target, port) {
    for (let attempt = 1; ; attempt++) {
      const local = port ?? (await freePort());
      const { code, stderr } = await this.#ssh(['-O', 'forward', '-L', `127.0.0.1:${local}:${target}`, GUEST]);
      if (code === 0) return local;
      // Between our look and ssh's somebody else may have taken it.
      if (attempt === 5) throw new Error(`cannot forward to ${target}: ${stderr}`);
      await pause(100);
    }
  }

  async unforward(target, port) {
    await this.#ssh(['-O', 'cancel', '-L', `127.0.0.1:${port}:${target}`, GUEST]);
  }

  async close() {
    this.#master?.kill('SIGKILL');
    await this.#master?.ended;
    this.#master = undefined;
  }
}

/** Whether an ssh server says its name at a local port. */
function greets(port) {
  return new Promise((resolve) => {
    const client = net.connect(port, '127.0.0.1').setTimeout(2_000, () => client.destroy());
    client.once('data', (text) => {
      resolve(text.toString().startsWith('SSH-'));
      client.destroy();
    });
    client.once('error', () => {}).once('close', () => resolve(false));
  });
}
