// A host as an operator has one: hoody-code installed under a real systemd, its sockets open, no instance yet.
//
//   const host = await Host.boot({ config: '[class.default]\nmemory_max = "1G"' });   // on top of `[server] auth = "none"`
//   host.vm                                                 // the machine (vm.mjs); host.url leads to its port 8080
//   await host.open('alice');                               // a page of alice's: the instance starts; resolves when it is there
//   await host.inside('alice', 'id -u');                    // as the tenant, in its sandbox: { stdout, stderr, code }
//   await host.background('alice', 'sleep 1000');           // the same, left running
//   await host.probe('bob');                                // makes bob ready for that before anything opens it
//   await host.status('alice');                             // GET …/api/v1/code/status
//   await host.broker({ verb: 'freeze', id: 'alice' });     // a packet to the broker, sent as the front's user
//   await host.configure('…');                              // another config.toml, and `systemctl reload`
//   await host.pid('alice'); await host.cgroup('alice', 'memory.max');
//   await host.end();
//
// `inside` needs no browser: a drop-in for that one instance puts a small server (guest/probe.py) beside the engine, both under
// the real agent. It is a child of what systemd starts there, as a terminal of the editor's is: same user, namespaces, control
// group and system call filter. What it runs is killed with its children when it takes too long.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { pause } from './machine.mjs';
import { quote, Vm } from './vm.mjs';

export { Vm };

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const binaries = process.env.HOODY_CODE_BINARIES || path.join(root, 'target/release');

const SLICE = '/sys/fs/cgroup/hoody.slice/hoody-code.slice/hoody-code-instances.slice';
const PROBE = '/usr/local/lib/hoody-probe.py';

/** Starts an instance for its engine's command line, and is gone again. */
const MODEL = 'model-of-a-command-line';

/** A word of a unit file's command line. */
const word = (text) => `"${text.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`;

/** Lays out in `directory` what a package would install. */
export function stage(directory) {
  execFileSync(path.join(root, 'packaging/stage.sh'), [directory, path.resolve(binaries)], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** A command that takes `mb` MB, and lets go of a little of it only to take it anew, without end. */
export const hog = (mb) => `python3 -c 'blocks = []
while True:
    blocks.append(bytearray(b"x" * (4 << 20)))
    if len(blocks) > ${mb / 4}: blocks = blocks[4:]'`;

export class Host {
  #probes = new Map();
  #engine;

  /** Boots a guest and installs there. `config` is TOML; `server` more lines of its `[server]`; the rest is for Vm.boot. */
  static async boot({ config = '', server = '', ...options } = {}) {
    const host = new Host();
    const staged = fs.mkdtempSync(path.join(os.tmpdir(), 'hoody-stage-'));
    try {
      stage(staged);
      host.vm = await Vm.boot(options);
      await host.vm.install(staged);
    } catch (error) {
      await host.end();
      throw error;
    } finally {
      fs.rmSync(staged, { recursive: true });
    }
    try {
      host.server = server;
      await host.#write(config);
      await host.vm.put(path.join(root, 'tests/vm/guest/probe.py'), '/usr/local/lib');
      await host.vm.sh(`mv /usr/local/lib/probe.py ${PROBE}
        systemctl start hoody-code.socket hoody-code-control.socket hoody-code-broker.socket`);
      host.port = await host.vm.forward('127.0.0.1:8080');
      host.url = `http://127.0.0.1:${host.port}`;
    } catch (error) {
      await host.end();
      throw error;
    }
    return host;
  }

  async #write(config) {
    const text = `[server]\nauth = "none"\n${this.server}\n${config}\n`;
    await this.vm.write('/etc/hoody-code/config.toml', text, { mode: '0640', group: 'hoody-code' });
  }

  /** Writes another configuration, and has the running daemon read it; throws when that is one that it cannot use. */
  async configure(config) {
    await this.#write(config);
    await this.vm.sh('systemctl reload hoody-code');
  }

  /** A request below an instance's address. */
  async fetch(id, below = '/', { deadline = 60_000, ...options } = {}) {
    return fetch(`${this.url}/i/${id}${below}`, { redirect: 'manual', signal: AbortSignal.timeout(deadline), ...options });
  }

  /** Opens the editor's page as a client does that is not a browser; resolves when the instance has answered with it. */
  async open(id, { folder = '/home/user', deadline = 90_000 } = {}) {
    const end = Date.now() + deadline;
    for (;;) {
      const response = await this.fetch(id, `/?folder=${encodeURIComponent(folder)}`, { deadline: Math.max(1_000, end - Date.now()) });
      const body = await response.text();
      if (response.status === 200) return { status: 200, body };
      // Whoever takes long to start says so, and is asked again.
      if (response.status !== 503 || !/"starting"/.test(body) || Date.now() > end) {
        const { stdout } = await this.vm.sh('journalctl -q --no-pager -n 40 -o short-precise', { check: false });
        throw new Error(`${id} does not open: ${response.status} ${body}\n${stdout}`);
      }
      await pause(200);
    }
  }

  async status(id) {
    return (await this.fetch(id, '/api/v1/code/status')).json();
  }

  /** Repeats `look` until it returns something true. */
  async until(what, look, { deadline = 60_000 } = {}) {
    const end = Date.now() + deadline;
    for (;;) {
      const found = await look();
      if (found) return found;
      if (Date.now() > end) throw new Error(`${what}: not within ${deadline / 1000} s`);
      await pause(100);
    }
  }

  /** Waits until the instance's status says this state, and resolves to the status. */
  async state(id, wanted, options) {
    let last;
    const look = async () => ((last = await this.status(id)).state === wanted ? last : undefined);
    try {
      return await this.until(`${id} is ${wanted}`, look, options);
    } catch (error) {
      error.message += `; it said ${JSON.stringify(last)}`;
      throw error;
    }
  }

  /** Asks the broker, as the user who may (`as`: somebody else). Text is sent as it is. */
  async broker(packet, { as = 'hoody-code', timeout = 60_000 } = {}) {
    const text = typeof packet === 'string' ? packet : JSON.stringify(packet);
    const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('/run/hoody-code/broker.sock')
s.send(sys.stdin.buffer.read())
sys.stdout.buffer.write(s.recv(65536))`;
    const { stdout } = await this.vm.sh(`exec python3 -c ${quote(script)}`, { as, input: text, timeout });
    return stdout ? JSON.parse(stdout) : undefined;
  }

  /** Asks an instance's agent, over a connection from the broker as the front has one. */
  async agent(id, request) {
    const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('/run/hoody-code/broker.sock')
s.send(b'{"verb":"connect","id":"${id}"}')
reply, (fd,), _, _ = socket.recv_fds(s, 65536, 1)
agent = socket.socket(fileno=fd)
agent.send(sys.stdin.buffer.read())
sys.stdout.buffer.write(socket.recv_fds(agent, 65536, 1)[0])`;
    const { stdout } = await this.vm.sh(`exec python3 -c ${quote(script)}`, { as: 'hoody-code', input: JSON.stringify(request) });
    return JSON.parse(stdout);
  }

  unit(id) {
    return `hoody-code-instance@${id}.service`;
  }

  /** The unit's main process (the agent), as its control group says. */
  async pid(id) {
    const pids = (await this.cgroup(id, 'cgroup.procs')).split('\n').map(Number);
    return Math.min(...pids);
  }

  /** The process of VS Code's server. */
  async engine(id) {
    const script = `for pid in $(cat ${SLICE}/${quote(this.unit(id))}/cgroup.procs); do
      case $(tr '\\0' ' ' </proc/$pid/cmdline) in /usr/lib/hoody-code/engines/*/node\\ *server-main.js*) echo $pid; exit;; esac
    done`;
    // Its helpers are children of it, and have other scripts; the agent has it among its arguments, but is no node.
    const { stdout } = await this.vm.sh(script);
    return Number(stdout) || undefined;
  }

  /** A file of the instance's control group. */
  async cgroup(id, file) {
    return (await this.vm.sh(`cat ${SLICE}/${quote(this.unit(id))}/${file}`)).stdout.trim();
  }

  /** Lets `inside` into an instance that does not run yet. `lines` are more of the drop-in's `[Service]`. */
  async probe(id, { lines = '' } = {}) {
    if (this.#probes.has(id)) return;
    this.#engine ??= await this.#commandLine();
    const command = ['/usr/bin/hoody-code-broker', 'agent', '--', '/usr/bin/python3', '-S', PROBE, ...this.#engine];
    const text = `[Service]\nExecStart=\nExecStart=${command.map(word).join(' ')}\n${lines}\n`;
    await this.vm.write(`/etc/systemd/system/${this.unit(id)}.d/90-probe.conf`, text);
    await this.vm.sh('systemctl daemon-reload');
    this.#probes.set(id, await this.vm.forward(`/data/instances/${id}/.probe.sock`));
  }

  /** The command line of an instance's engine, from the one process that has it for certain. */
  async #commandLine() {
    // Not waited for: its agent is there, the rest is of no interest.
    assert.deepEqual(await this.broker({ verb: 'start', id: MODEL }), { ok: 'done' });
    const { stdout } = await this.vm.sh(`cat /proc/${await this.pid(MODEL)}/cmdline`);
    const words = stdout.split('\0').slice(0, -1);
    assert.deepEqual(words.slice(1, 3), ['agent', '--']);
    assert.deepEqual(await this.broker({ verb: 'purge', id: MODEL }), { ok: 'done' });
    return words.slice(3);
  }

  /** Runs a bash script in an instance, which is started when need be; what takes longer than `timeout` ms throws. */
  async inside(id, script, { timeout = 90_000, check = true } = {}) {
    if (!this.#probes.has(id)) await this.probe(id);
    let answer = await this.#ask(this.#probes.get(id), { script, timeout });
    if (!answer) {
      await this.open(id);
      // The editor's page is there a moment before or after the probe is.
      answer = await this.until(`the probe of ${id}`, () => this.#ask(this.#probes.get(id), { script, timeout }));
    }
    const { stdout, stderr, code } = answer;
    if (code === 'late') throw new Error(`${id}: not within ${timeout / 1000} s: ${script}\n${stdout}${stderr}`);
    if (check && code !== 0) throw new Error(`${id}: exit status ${code}: ${script}\n${stdout}${stderr}`);
    return { stdout, stderr, code };
  }

  /** Leaves a command running in an instance; its output is in ~/background.log. */
  async background(id, command) {
    await this.inside(id, `setsid bash -c ${quote(command)} >>~/background.log 2>&1 </dev/null &`);
  }

  /** One question to a probe; none when it is not there. */
  #ask(port, question) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1');
      const parts = [];
      socket.setTimeout(question.timeout + 30_000, () => socket.destroy(new Error(`the probe hangs: ${question.script}`)));
      socket.on('data', (part) => parts.push(part));
      socket.on('error', (error) => (['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error.code) ? resolve() : reject(error)));
      socket.on('close', () => resolve(parts.length > 0 ? JSON.parse(Buffer.concat(parts)) : undefined));
      socket.write(`${JSON.stringify(question)}\n`);
    });
  }

  async end() {
    await this.vm?.end();
  }
}
