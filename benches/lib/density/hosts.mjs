// Who is measured: one daemon of ours with N instances, or N code-servers, which is what somebody would have to run in its place.

import fs from 'node:fs';
import path from 'node:path';
import { startCodeServer } from '../code-server.mjs';
import { startDaemon, understands } from '../daemon.mjs';
import { environment, tempDir, tree } from '../processes.mjs';
import { get } from '../wire.mjs';
import { diskMb, members, usage } from './usage.mjs';

const knows = (line) => understands(`[instances]\n${line}\n`);

/** The idle policy that is measured: `[instances]` with what this build knows of it. `stopAfter` in seconds, none where it stops nothing. */
export function idlePolicy() {
  const time = process.env.DENSITY_STOP_AFTER ?? '20s';
  const [stop, abandoned] = ['stop_after', 'abandoned_after'].map((key) => `${key} = "${time}"`);
  const lines = [stop, abandoned].filter(knows);
  return { config: lines.join('\n'), ...(lines.includes(stop) && { stopAfter: parseInt(time, 10) }) };
}

/** The policy that what is left stays as it is. */
export function keepAll() {
  const never = 'stop_after = "never"';
  return { config: knows(never) ? never : '' };
}

/** A folder for the editor of `id` to open. */
function folderOf(root, id) {
  const folder = path.join(root, 'work', id);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'hello.txt'), 'hello\n');
  return folder;
}

/** Ends what is left of a host: whatever has its directory in its environment was started by it. */
function sweep(root) {
  for (const pid of members([], root)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Ended meanwhile.
    }
  }
}

/**
 * One daemon of ours. What every host has: `prepare(id)` makes an instance ready to be opened and gives its `address` and the
 * `path` of its page; `server(id)`, the process of its engine; `usage()`; `disk(id)` in MB; `running()`, how many run.
 */
export async function startOurs(policy, more = '') {
  const daemon = await startDaemon('dense', {}, `[instances]\nmax_running = 250\n${policy.config}\n[limits]\nconnections = 4096\n${more}`);
  const root = daemon.dir;
  return {
    name: 'hoody-code',
    root,
    daemon,
    policy,
    pids: () => [daemon.pid],
    async prepare(id) {
      return { address: daemon.address, path: `/i/${id}/?folder=${encodeURIComponent(folderOf(root, id))}` };
    },
    server(id) {
      const dir = path.join(daemon.dataDir, 'instances', id);
      const found = tree(daemon.pid).find(({ pid, parent }) => parent === daemon.pid && environment(pid).HOODY_CODE_INSTANCE_DIR === dir);
      if (!found) throw new Error(`${id} does not run`);
      return found.pid;
    },
    usage: () => usage([daemon.pid], root),
    disk: (id) => diskMb(path.join(daemon.dataDir, 'instances', id)),
    async running() {
      const { instances } = JSON.parse((await get(daemon.address, '/api/v1/code/health')).body);
      return instances.running + instances.starting + instances.stopping;
    },
    async end() {
      await daemon.end(40);
      sweep(root);
    },
  };
}

/** One code-server per instance, each with directories and a port of its own. */
export function startPeer(engine, entry) {
  const root = tempDir('dense');
  const servers = new Map();
  return {
    name: 'code-server',
    root,
    policy: { config: '' },
    pids: () => [...servers.values()].map((server) => server.pid),
    async prepare(id) {
      let server = servers.get(id);
      if (!server) {
        const dir = path.join(root, id);
        fs.mkdirSync(dir, { recursive: true });
        server = await startCodeServer(engine, entry, dir);
        servers.set(id, server);
      }
      return { address: server.address, path: `/?folder=${encodeURIComponent(folderOf(root, id))}` };
    },
    server: (id) => servers.get(id).pid,
    usage: () => usage([...servers.values()].map((server) => server.pid), root),
    disk: (id) => diskMb(path.join(root, id)),
    running: async () => servers.size,
    async end() {
      await Promise.all([...servers.values()].map((server) => server.end()));
      sweep(root);
    },
  };
}
