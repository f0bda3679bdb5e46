// Children of the benchmark: started, watched through /proc, and ended by process id whatever happens.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const roots = new Set();
const directories = new Set();

/** A fresh directory that goes away with the benchmark. Readable by others: nginx's workers may run as another user. */
export function tempDir(name) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), `hoody-bench-${name}-`));
  directories.add(dir);
  return dir;
}

/**
 * Starts a program in a process group of its own. Its output is kept, the last 64 kB of it.
 * @returns {{pid: number, child: import('node:child_process').ChildProcess, output: () => string, ended: Promise<void>}}
 */
export function start(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options });
  let output = '';
  const keep = (chunk) => (output = (output + chunk).slice(-65536));
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  let failure;
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve((failure = error)));
    child.once('exit', resolve);
  }).then(() => roots.delete(child.pid));
  if (child.pid) roots.add(child.pid);
  return { pid: child.pid, child, ended, output: () => (failure ? `${failure.message}\n${output}` : output) };
}

/** Runs a program to its end and gives what it printed; `limit` in seconds, after which it is killed. */
export async function run(program, args, { limit, ...options }) {
  const process = start(program, args, options);
  const timer = setTimeout(() => process.pid && killTree(process.pid), limit * 1000);
  await process.ended;
  clearTimeout(timer);
  if (process.child.exitCode !== 0) {
    const how = process.child.exitCode ?? process.child.signalCode ?? 'not started';
    throw new Error(`${path.basename(program)} failed (${how}): ${process.output().trim().split('\n').slice(-3).join(' | ')}`);
  }
  return process.output();
}

/** Waits until `look` gives something; `limit` in seconds. */
export async function until(what, look, limit = 20) {
  const deadline = performance.now() + limit * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`${what}: nothing after ${limit} s`);
    await sleep(10);
  }
}

/** The fields of /proc/PID/stat that matter here; the name in parentheses may hold anything, so read from behind it. */
function stat(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number);
    return { pid: Number(pid), parent: Number(fields[1]), own: utime + stime, reaped: cutime + cstime, began: fields[19] };
  } catch {
    return undefined;
  }
}

/** `pid` and everything below it, now. */
export function tree(pid) {
  const all = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(stat).filter(Boolean);
  const found = all.filter((process) => process.pid === pid);
  for (const process of found) found.push(...all.filter((other) => other.parent === process.pid));
  return found;
}

// Clock ticks are 100 per second on every Linux that node runs on (getconf CLK_TCK).
const TICK_MS = 10;

/** CPU time in ms, user and system, of `pid` and all below it, ended and reaped children included. */
export const treeCpu = (pid) => tree(pid).reduce((sum, process) => sum + process.own + process.reaped, 0) * TICK_MS;

/** CPU time in ms of one process alone. */
export const ownCpu = (pid) => (stat(pid)?.own ?? 0) * TICK_MS;

/** Time on a processor in µs that the threads which a process has now have had: finer than the ticks above. */
export const onCpu = (pid) =>
  fs.readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1000, 0);

/**
 * Watches how much of the machine others use: call what it gives back for their share since then, 0 to 1. Others is everything
 * that is not this process, its children and what they left behind; time that the hypervisor took counts too.
 */
export function watchOthers() {
  const busy = () => {
    const [user, nice, system, , , irq, softirq, steal] = fs.readFileSync('/proc/stat', 'latin1').split('\n')[0].trim().split(/\s+/).slice(1).map(Number);
    return (user + nice + system + irq + softirq + steal) * TICK_MS;
  };
  const [began, busyBefore, oursBefore] = [performance.now(), busy(), treeCpu(process.pid)];
  return () => {
    const all = (performance.now() - began) * os.cpus().length;
    return Math.min(1, Math.max(0, (busy() - busyBefore - (treeCpu(process.pid) - oursBefore)) / all));
  };
}

export const commandLine = (pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);

export const environment = (pid) =>
  Object.fromEntries(
    fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean)
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

function signal(process, name) {
  // A number can come back as somebody else; its start time cannot.
  if (stat(process.pid)?.began !== process.began) return;
  try {
    globalThis.process.kill(process.pid, name);
  } catch {
    // Gone between the two lines.
  }
}

function killTree(pid) {
  for (const process of tree(pid).reverse()) signal(process, 'SIGKILL');
}

/** Asks `pid` to end, waits, then kills what is left of its tree. */
export async function end({ pid, ended }, patience = 8) {
  if (!pid) return;
  const members = tree(pid);
  if (members.length > 0) signal(members[0], 'SIGTERM');
  await Promise.race([ended, sleep(patience * 1000, undefined, { ref: false })]);
  for (const process of [...tree(pid), ...members]) signal(process, 'SIGKILL');
  await ended;
}

/** Everything that is still there: synchronous, for the last moment of this process. */
export function cleanUp() {
  for (const pid of roots) killTree(pid);
  for (const dir of directories) fs.rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  roots.clear();
  directories.clear();
}

export function cleanUpAlways() {
  process.on('exit', cleanUp);
  for (const [name, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) process.on(name, () => process.exit(code));
}
