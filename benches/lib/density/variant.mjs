// An engine like the installed one, but for what its node is started with.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { end, start, tempDir, until } from '../processes.mjs';
import { get } from '../wire.mjs';

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Makes it from links, in a directory that goes away with the benchmark, with an empty compile cache; gives the directory. */
export function engineEnvironment(engine, { flags = [], alone = [], env = {} }) {
  const dir = path.join(tempDir('engine'), engine.id);
  fs.mkdirSync(path.join(dir, 'compile-cache'), { recursive: true });
  for (const name of fs.readdirSync(engine.dir)) {
    if (['node', 'compile-cache', 'hoody'].includes(name)) continue;
    fs.symlinkSync(path.join(engine.dir, name), path.join(dir, name));
  }
  // A file of its own: by its real path it knows whose compile cache to use.
  fs.mkdirSync(path.join(dir, 'hoody'));
  const preload = fs.readFileSync(path.join(engine.dir, 'hoody/preload.cjs'), 'utf8');
  const filter = `process.execArgv = process.execArgv.filter((flag) => !${JSON.stringify(alone)}.includes(flag));\n`;
  fs.writeFileSync(path.join(dir, 'hoody/preload.cjs'), preload.replace("'use strict';\n", (head) => head + filter));
  const variables = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}\n`).join('');
  fs.writeFileSync(path.join(dir, 'node'), `#!/bin/sh\n${variables}exec ${[engine.node, ...flags].map(quoted).join(' ')} "$@"\n`, { mode: 0o755 });
  return dir;
}

/** Fills its compile cache, as adding an engine does. */
export async function warmEngine(engine, dir) {
  const scratch = tempDir('warm');
  const socket = path.join(scratch, 's');
  const node = path.join(dir, 'node');
  const preload = path.join(dir, 'hoody/preload.cjs');
  const { node_flags: flags } = JSON.parse(fs.readFileSync(path.join(engine.dir, 'engine.json'), 'utf8'));
  const args = [...flags, '--require', preload, path.join(dir, 'vscode/out/server-main.js'), '--socket-path', socket, '--server-data-dir', scratch,
    '--user-data-dir', scratch, '--extensions-dir', path.join(scratch, 'extensions'), '--without-connection-token', '--accept-server-license-terms', '--telemetry-level', 'off'];
  const { PATH } = process.env;
  const server = start(node, args, { env: { PATH, HOME: scratch, NODE_EXEC_PATH: node, HOODY_CODE_WARM: '1' } });
  try {
    await until('the page', () => get({ path: socket }, '/', { limit: 20 }).catch(() => undefined), 60);
    server.child.kill('SIGUSR2');
    await Promise.race([server.ended, sleep(60_000, undefined, { ref: false })]);
  } finally {
    await end(server, 1);
  }
}
