// A Debian with systemd as PID 1 for a test: user-mode Linux, so it needs neither KVM nor rights. It boots in three seconds.
//
//   const vm = await Vm.boot({ suite: 'trixie' });
//   const { stdout } = await vm.sh('systemctl is-active ssh');          // as root; bash -eu; not 0 throws
//   await vm.sh('id', { as: 'alice', timeout: 5_000, check: false });   // { stdout, stderr, code }
//   await vm.put(['target/release/hoody-code'], '/usr/bin');            // files and directories, root's in the guest
//   await vm.write('/etc/x.conf', 'text\n', { mode: '0640' });
//   await vm.read('/etc/x.conf');
//   await vm.install('target/stage');                                   // a tree as make install DESTDIR= leaves it
//   const port = await vm.forward('127.0.0.1:8080');                    // or a unix socket's path: a local port to it
//   await vm.until('systemctl is-active x', { deadline: 5_000 });       // repeats until exit status 0
//   await vm.journal('-u x');                                           // journal entries as objects
//   await vm.reboot();                                                  // in order; same disks, same forwarded ports
//   await vm.crash(); await vm.start();                                 // the plug pulled, and in again
//   await vm.end();                                                     // also when the process ends, however it does
//
// /dev/ubdb is a second disk, empty and sparse. The engine is at /usr/lib/hoody-code/engines, npm at /opt/tools/bin, and users'
// quotas hold on the root file system. There is one CPU, and no tight timing: time is accounted in steps of 10 ms.
//
// A command that leaves a process behind keeps its output open and is waited for: use systemd-run or a redirection.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Machine, pause } from './machine.mjs';
import { quote, Ssh } from './ssh.mjs';

export { quote } from './ssh.mjs';

const images = path.join(path.dirname(fileURLToPath(import.meta.url)), 'image');

/** What a script of ours has built. It says itself what to do when there is nothing. */
function built(script, ...words) {
  return execFileSync(path.join(images, script), ['--path', ...words], { encoding: 'utf8' }).trim();
}

/** The tail of a text, for messages. */
const tail = (text) => (text.length > 4_000 ? `…${text.slice(-4_000)}` : text);

export class Vm {
  #machine;
  #ssh;
  #key;
  /** Local port → where it leads to in the guest. */
  #forwards = new Map();

  /** Whether a program built on this machine can run in a guest of that suite: for a test's `skip`. */
  static fits(suite) {
    return spawnSync(path.join(images, 'root.sh'), ['--fits', suite]).status === 0;
  }

  /** Boots a guest; messages call it `name`. `memory`: an upper limit, it takes what it uses. `data`: bytes of the second disk. */
  static async boot({ suite = 'trixie', name = suite, memory = '3G', data = 8 * 2 ** 30 } = {}) {
    const vm = new Vm();
    const [root, disks] = [built('root.sh', suite), built('engine.sh')];
    vm.name = name;
    vm.suite = suite;
    vm.#key = path.join(root, 'id');
    vm.#machine = new Machine({
      kernel: built('kernel.sh'),
      root: path.join(root, 'root.img'),
      engine: path.join(disks, 'engine.squashfs'),
      tools: path.join(disks, 'tools.squashfs'),
      memory,
      data,
    });
    vm.#ssh = new Ssh(path.join(vm.#machine.dir, 'ssh'));
    try {
      await vm.start();
    } catch (error) {
      await vm.end();
      throw error;
    }
    return vm;
  }

  /** Switches it on: resolves when systemd has finished booting, be it well ("running") or not ("degraded"). */
  async start({ deadline = 240_000 } = {}) {
    const end = Date.now() + deadline;
    const left = () => Math.max(1_000, end - Date.now());
    try {
      const port = await this.#machine.start(left());
      await this.#ssh.open(port, this.#key, () => this.#machine.running, left());
      await this.sh('systemctl is-system-running --wait || true', { timeout: left() });
      for (const [local, target] of this.#forwards) await this.#ssh.forward(target, local);
    } catch (error) {
      error.message = `${this.name} does not boot: ${error.message}\n${this.#machine.tail()}`;
      await this.crash();
      throw error;
    }
  }

  /**
   * Runs a script in the guest, by default as root; `as` names another user, `input` is what it reads. What is not 0 throws,
   * unless `check` is false; what takes longer than `timeout` ms is killed and throws in any case.
   */
  async sh(script, { timeout = 30_000, check = true, as, input, binary = false } = {}) {
    const command = as ? `cd / && exec runuser -u ${quote(as)} -- bash -euc ${quote(script)}` : script;
    const result = await this.#ssh.run(command, { timeout, input });
    // 124 is what the guest's timeout(1) says of a command it had to end; 255 is ssh, when that took timeout(1) along.
    const late = result.late || ([124, 255].includes(result.code) && result.took >= timeout);
    const [stdout, stderr] = [result.stdout, result.stderr].map((bytes) => (binary ? bytes : bytes.toString()));
    if (!late && (!check || result.code === 0)) return { stdout, stderr, code: result.code };
    const why = late ? `not within ${timeout / 1000} s` : `exit status ${result.code}`;
    const hint = this.#machine.running ? '' : `\nthe guest is off:\n${this.#machine.tail()}`;
    throw new Error(`${this.name}: ${why}: ${tail(script)}\n${tail(String(stdout))}${tail(String(stderr))}${hint}`);
  }

  /** Repeats a script until it succeeds; resolves to its result. */
  async until(script, { deadline = 60_000, ...options } = {}) {
    const end = Date.now() + deadline;
    for (;;) {
      const result = await this.sh(script, { timeout: Math.max(1_000, end - Date.now()), ...options, check: false });
      if (result.code === 0) return result;
      if (Date.now() > end) {
        throw new Error(`${this.name}: not within ${deadline / 1000} s: ${script}\n${tail(result.stdout)}${tail(result.stderr)}`);
      }
      await pause(50);
    }
  }

  /** Copies files and directories of the host into a directory of the guest, where they are root's. */
  async put(files, directory) {
    const words = [files].flat().flatMap((file) => ['-C', path.dirname(path.resolve(file)), path.basename(file)]);
    await this.#unpack(words, `mkdir -p ${quote(directory)}; tar -C ${quote(directory)} -xpf - --no-same-owner`);
  }

  /** Installs a staged tree at /, and does what a package's installation would do for it. It starts nothing. */
  async install(staged) {
    // The guest's /lib and /bin are links, and its directories' owners and modes its own.
    await this.#unpack(['-C', path.resolve(staged), '.'], 'tar -C / -xpf - --keep-directory-symlink --no-overwrite-dir');
    await this.sh('systemd-sysusers && systemd-tmpfiles --create && /usr/lib/systemd/systemd-sysctl && systemctl daemon-reload');
  }

  async #unpack(words, script) {
    const tar = spawn('tar', ['--owner=0', '--group=0', '--numeric-owner', '-cf', '-', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    tar.stderr.setEncoding('utf8').on('data', (text) => (said += text));
    const ended = new Promise((resolve, reject) => tar.once('error', reject).once('close', resolve));
    const [code] = await Promise.all([ended, this.sh(script, { input: tar.stdout, timeout: 120_000 })]);
    assert.equal(code, 0, `tar: ${said}`);
  }

  /** Writes a file, and the directories above it. */
  async write(file, content, { mode = '0644', owner = 'root', group = owner } = {}) {
    await this.sh(`install -D -m ${mode} -o ${quote(owner)} -g ${quote(group)} /dev/stdin ${quote(file)}`, { input: content });
  }

  async read(file, { binary = false } = {}) {
    return (await this.sh(`cat -- ${quote(file)}`, { binary })).stdout;
  }

  /** The journal's entries for these arguments of journalctl (a string for the shell, or a list of words), oldest first. */
  async journal(args = '') {
    const words = Array.isArray(args) ? args.map(quote).join(' ') : args;
    const { stdout } = await this.sh(`journalctl --sync; journalctl --output=json --all --no-pager ${words}`);
    return stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  /** Opens a local port that leads to an address (host:port) or to a unix socket (its path) in the guest; resolves to it. */
  async forward(target) {
    const port = await this.#ssh.forward(target);
    this.#forwards.set(port, target);
    return port;
  }

  async unforward(port) {
    await this.#ssh.unforward(this.#forwards.get(port), port);
    this.#forwards.delete(port);
  }

  /** Switches it off in order, and on again. */
  async reboot({ deadline = 240_000 } = {}) {
    // The connection may break before the command has answered.
    await this.sh('systemctl poweroff --no-block', { check: false });
    await this.#machine.ended(deadline).catch((error) => {
      throw new Error(`${this.name}: ${error.message}\n${this.#machine.tail()}`);
    });
    await this.#ssh.close();
    await this.start({ deadline });
  }

  /** Stops it dead: what it had not written yet is lost. start() goes on from there. */
  async crash() {
    await this.#machine.kill();
    await this.#ssh.close();
  }

  async end() {
    await this.crash();
    await this.#machine.remove();
  }
}
