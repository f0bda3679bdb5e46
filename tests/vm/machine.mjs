// The host's side of a guest: its directory, its disks, its two processes (user-mode Linux, and slirp4netns for its network).
// Knows nothing of what runs inside; vm.mjs does. Nothing of it outlives the process that made it: the kernel kills both
// processes when that one dies, whichever way.
//
// Called by root, both run under a user id that nobody has, with no file of the host but the disks, which they get open.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `look` returns something true, and returns that. */
export async function until(what, look, deadline) {
  const end = Date.now() + deadline;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${deadline / 1000} s`);
    await pause(20);
  }
}

// A test runner that is killed leaves its test processes to themselves. They end then, and with them what they have started.
const runner = process.ppid;
setInterval(() => process.ppid !== runner && process.exit(1), 1_000).unref();
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.once(signal, () => process.exit(1));

const PREFIX = 'hoody-vm-';
let made = 0;

/** The CPU for the next guest, alternating: a guest that wanders between two pays for every system call of its own. */
function nextCpu() {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
  const cpus = list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  return cpus[cpus.length - 1 - (made % cpus.length)];
}

/** Where the guest's memory lies: on a memory file system, unless that is too small, as /dev/shm is in many a container. */
function memoryDirectory(memory, otherwise) {
  const bytes = Number.parseInt(memory, 10) * { M: 1 << 20, G: 1 << 30 }[memory.at(-1)];
  const { bavail, bsize } = fs.statfsSync('/dev/shm');
  return bavail * bsize > bytes ? '/dev/shm' : otherwise;
}

/** Directories of processes that had no time to clean up. */
function sweep() {
  for (const name of fs.readdirSync(os.tmpdir())) {
    const pid = name.startsWith(PREFIX) && name.split('-')[2];
    if (pid && !fs.existsSync(`/proc/${pid}`)) fs.rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
  }
}

export class Machine {
  #shared = [];
  #guest;
  #slirp;

  /** `kernel`, `root`, `engine`, `tools`: files; `memory` as 3G or 900M; `data`: the size in bytes of an empty second disk. */
  constructor({ kernel, root, engine, tools, memory, data }) {
    sweep();
    this.cpu = nextCpu();
    this.memory = memory;
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), `${PREFIX}${process.pid}-`));
    fs.chmodSync(this.dir, 0o755);
    // 60514 to 60577 and 60579 to 61183 are in nobody's range, by systemd's list of user ids.
    this.uid = process.getuid() === 0 ? 60_600 + ((process.pid * 7 + made) % 580) : undefined;
    made += 1;
    this.own = path.join(this.dir, 'guest');
    this.console = path.join(this.dir, 'console.log');
    fs.mkdirSync(this.own, { mode: 0o700 });
    fs.copyFileSync(kernel, path.join(this.own, 'linux'), fs.constants.COPYFILE_FICLONE);
    fs.truncateSync(this.#file('data.img'), data);
    if (this.uid) for (const file of ['', 'linux', 'data.img']) fs.chownSync(path.join(this.own, file), this.uid, this.uid);
    // Their path may lead through directories that the guest's user may not enter. What is open needs no path.
    this.#shared = [root, engine, tools].map((file) => fs.openSync(file, 'r'));
    this.guard = () => this.#vanish();
    process.once('exit', this.guard);
  }

  #file(name) {
    const file = path.join(this.own, name);
    fs.closeSync(fs.openSync(file, 'a'));
    return file;
  }

  /** Starts a program as the guest's user; it is killed when this process ends. */
  #spawn(words, log, fds = []) {
    const user = this.uid ? [`--reuid=${this.uid}`, `--regid=${this.uid}`, '--clear-groups'] : [];
    const out = fs.openSync(log, 'a');
    const child = spawn('setpriv', [...user, '--pdeathsig', 'KILL', '--', ...words], {
      cwd: this.own,
      env: { PATH: process.env.PATH, TMPDIR: memoryDirectory(this.memory, this.own) },
      stdio: ['ignore', out, out, ...fds],
      detached: true, // a process group of its own, so that all of it can be killed, and Ctrl-C leaves the order to us
    });
    fs.closeSync(out);
    child.ended = new Promise((resolve) => {
      child.once('error', resolve);
      child.once('exit', (code, signal) => resolve(signal ?? code));
    });
    return child;
  }

  get running() {
    return this.#guest !== undefined && this.#guest.exitCode === null && this.#guest.signalCode === null;
  }

  /** Starts both processes; resolves to the local port that leads to the guest's ssh port, while the guest still boots. */
  async start(deadline) {
    const at = (name) => path.join(this.own, name);
    for (const socket of ['bess.sock', 'api.sock', 'uml.sock']) fs.rmSync(at(socket), { force: true }); // a stale one blocks
    this.#slirp = this.#spawn(
      ['slirp4netns', '--target-type=bess', '--disable-host-loopback', '--exit-fd=3', `--api-socket=${at('api.sock')}`, at('bess.sock')],
      path.join(this.dir, 'slirp.log'),
      ['pipe'], // the work is done by a child of its own, which ends when our end of this is closed
    );
    await until('slirp4netns listens', () => fs.existsSync(at('bess.sock')), deadline);
    const disks = [`ubd0=${at('cow.img')},/proc/self/fd/3`, `ubd1=${at('data.img')}`, 'ubd2r=/proc/self/fd/4', 'ubd3r=/proc/self/fd/5'];
    this.#guest = this.#spawn(
      ['taskset', '-c', String(this.cpu), at('linux'), 'umid=u', `uml_dir=${this.own}/`, ...disks, 'root=/dev/ubda', 'rw',
        'rootflags=usrquota,grpquota,prjquota', 'dummy.numdummies=0', `mem=${this.memory}`, 'seccomp=on', 'panic=-1', 'quiet', 'con=null',
        'con0=null,fd:1', `vec0:transport=bess,dst=${at('bess.sock')},src=${at('uml.sock')},depth=64`],
      this.console,
      this.#shared,
    );
    // slirp4netns makes its control socket once the guest has connected. Its file is there a moment before anybody listens.
    const listens = () => ask(at('api.sock'), { execute: 'list_hostfwd' }).then(() => true, () => false);
    await until('the guest opens its network', async () => !this.running || listens(), deadline);
    if (!this.running) throw new Error('the guest ended at once');
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      const answer = await ask(at('api.sock'), {
        execute: 'add_hostfwd',
        arguments: { proto: 'tcp', host_addr: '127.0.0.1', host_port: port, guest_addr: '10.0.2.15', guest_port: 22 },
      });
      if (answer.includes('"id"')) return port;
      if (attempt === 5) throw new Error(`slirp4netns forwards no port: ${answer}`);
    }
  }

  /** Waits until the guest has switched itself off. */
  async ended(deadline) {
    await until('the guest switches itself off', () => !this.running, deadline);
    await this.kill();
  }

  /** Kills both. What the guest has written is there, what it still had in memory is lost. */
  async kill() {
    for (const child of [this.#guest, this.#slirp]) {
      killGroup(child);
      await child?.ended;
    }
    this.#guest = this.#slirp = undefined;
  }

  async remove() {
    await this.kill();
    process.off('exit', this.guard);
    this.#vanish();
  }

  #vanish() {
    for (const child of [this.#guest, this.#slirp]) killGroup(child);
    for (const fd of this.#shared.splice(0)) fs.closeSync(fd);
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  /** The end of what the guest and slirp4netns have said. */
  tail(lines = 25) {
    const end = (file) => {
      const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trimEnd() : '';
      return text.split(/\r?\n/).slice(-lines).join('\n');
    };
    return `--- console\n${end(this.console)}\n--- slirp4netns\n${end(path.join(this.dir, 'slirp.log'))}`;
  }
}

function killGroup(child) {
  if (!child?.pid) return;
  // The group may have members after its leader has ended; when it has none, there is nobody to kill.
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {}
}

/** A local port that is free at this moment. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** One question and its answer, over slirp4netns' control socket. */
function ask(socket, question) {
  return new Promise((resolve, reject) => {
    let answer = '';
    const client = net.connect(socket, () => client.end(JSON.stringify(question)));
    client.setEncoding('utf8').setTimeout(5_000, () => client.destroy(new Error('slirp4netns does not answer')));
    client.on('data', (text) => (answer += text)).once('error', reject).once('close', () => resolve(answer));
  });
}
