// What a server and all that belongs to it use: processes by kind, memory, CPU at rest, disk.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine, run, tree } from '../processes.mjs';

/** The processes of `pids`, and whatever else was started with `dir` in its environment, however far it has gone. */
export function members(pids, dir) {
  const found = new Set(pids.flatMap((pid) => tree(pid).map((process) => process.pid)));
  const marker = Buffer.from(`=${dir}/`);
  for (const name of fs.readdirSync('/proc')) {
    const pid = Number(name);
    if (!pid || found.has(pid)) continue;
    try {
      if (fs.readFileSync(`/proc/${pid}/environ`).includes(marker)) found.add(pid);
    } catch {
      // Ended, or not ours.
    }
  }
  return [...found];
}

/** What a process is, by its command line. */
export function kindOf(pid) {
  let words;
  try {
    words = commandLine(pid);
  } catch {
    return undefined;
  }
  if (words.length === 0) return undefined;
  const type = words.find((word) => word.startsWith('--type='))?.slice('--type='.length);
  if (type) return { extensionHost: 'extension host', fileWatcher: 'file watcher', ptyHost: 'pty host' }[type] ?? type;
  if (words.some((word) => word.endsWith('/out/server-main.js'))) return 'server';
  if (words.some((word) => word.endsWith('/out/node/entry') || word.endsWith('/out/node/entry.js'))) return 'server';
  const program = path.basename(words[0]);
  // A script that a process of the engine has started, such as a language server.
  const script = program === 'node' && words.slice(1).find((word) => word.startsWith('/') && !word.endsWith('preload.cjs'));
  return script ? path.basename(script) : program;
}

function rollup(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
    const kb = (name) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
    return { rss: kb('Rss'), pss: kb('Pss'), dirty: kb('Private_Dirty') + kb('Private_Hugetlb'), clean: kb('Private_Clean'), swap: kb('SwapPss') };
  } catch {
    // Ended meanwhile.
    return undefined;
  }
}

/** Memory in MB (2^20) and the number of processes of each kind, of all that `pids` and `dir` mean (see `members`). */
export function usage(pids, dir) {
  const total = { processes: 0, kinds: {}, privateMb: 0, ussMb: 0, pssMb: 0, rssMb: 0, byKind: {} };
  for (const pid of members(pids, dir)) {
    const kind = kindOf(pid);
    const memory = rollup(pid);
    if (!kind || !memory) continue;
    total.processes++;
    total.kinds[kind] = (total.kinds[kind] ?? 0) + 1;
    total.privateMb += (memory.dirty + memory.swap) / 1024;
    total.ussMb += (memory.dirty + memory.clean) / 1024;
    total.pssMb += (memory.pss + memory.swap) / 1024;
    total.rssMb += memory.rss / 1024;
    total.byKind[kind] = (total.byKind[kind] ?? 0) + (memory.dirty + memory.swap) / 1024;
  }
  return total;
}

function ticks(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
    return fields[11] + fields[12];
  } catch {
    return undefined;
  }
}

/** CPU in percent of one core over `seconds`, of the processes that are there all the while. */
export async function cpuAtRest(pids, dir, seconds) {
  const before = new Map(members(pids, dir).map((pid) => [pid, ticks(pid)]));
  const began = performance.now();
  await sleep(seconds * 1000);
  let spent = 0;
  for (const [pid, then] of before) spent += Math.max(0, (ticks(pid) ?? then ?? 0) - (then ?? 0));
  return (spent * 10 * 100) / (performance.now() - began);
}

/** Memory of one process in MB: all that is resident, of that its own (anonymous), and the part that is files. */
export function statusOf(pid) {
  const text = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
  const mb = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;
  return { rssMb: mb('VmRSS'), anonMb: mb('RssAnon'), fileMb: mb('RssFile'), peakMb: mb('VmHWM') };
}

/** What files below `dir` take on the disk, in MB. */
export async function diskMb(dir) {
  const text = await run('du', ['-sxk', dir], { limit: 60 });
  return Number(text.split('\t')[0]) / 1024;
}

/** Memory that the machine could still hand out, in MB. */
export function availableMb() {
  return Number(/^MemAvailable: +(\d+) kB/m.exec(fs.readFileSync('/proc/meminfo', 'latin1'))[1]) / 1024;
}
