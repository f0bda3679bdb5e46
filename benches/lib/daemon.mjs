// Our own daemon, and what it says about the engine that it runs.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { get } from './wire.mjs';
import { commandLine, end, start, tempDir, tree, until } from './processes.mjs';

const program = process.env.HOODY_CODE_BIN ?? fileURLToPath(new URL('../../target/release/hoody-code', import.meta.url));

/** Starts a daemon with a data directory of its own and waits until it serves. `config`: more of the configuration, as TOML. */
export async function startDaemon(name, env = {}, config = '') {
  const dir = tempDir(name);
  const file = path.join(dir, 'config.toml');
  // nginx and code-server write no access log either.
  fs.writeFileSync(file, `[server]\ndrain = "1s"\n\n[log]\naccess = false\n\n${config}`);
  const dataDir = path.join(dir, 'data');
  const process = start(program, ['serve', '--listen', '127.0.0.1:0', '--data-dir', dataDir, '--auth', 'none', '--config', file], { env: { ...globalThis.process.env, ...env } });
  const url = await until('our daemon', () => {
    if (process.child.exitCode !== null || !process.pid) throw new Error(`our daemon ended: ${process.output().trim()}`);
    return process.output().match(/^http:\/\/[^\s]+$/m)?.[0];
  });
  const port = Number(new URL(url).port);
  const instanceDir = path.join(dataDir, 'instances', 'default');
  return {
    name: 'hoody-code',
    pid: process.pid,
    dir,
    dataDir,
    port,
    address: { port, host: '127.0.0.1' },
    instanceDir,
    socket: path.join(instanceDir, 'run', 'vscode.sock'),
    /** The engine's main process; none while it does not run. */
    enginePid: () => tree(process.pid).find((p) => p.parent === process.pid && isEngine(p.pid))?.pid,
    state: async () => JSON.parse((await get({ port, host: '127.0.0.1' }, '/api/v1/code/status')).body).state,
    end: (patience) => end(process, patience),
  };
}

/** Whether this build knows what `config` (TOML) asks for: unknown keys are refused. */
export function understands(config) {
  const file = path.join(tempDir('check'), 'config.toml');
  fs.writeFileSync(file, config);
  return spawnSync(program, ['config', 'check', file], { stdio: 'ignore', timeout: 20_000 }).status === 0;
}

function isEngine(pid) {
  try {
    return commandLine(pid).some((word) => word.endsWith('/out/server-main.js'));
  } catch {
    return false;
  }
}

/** The engine in use, as its own process's command line names it: no guessing where stores are. */
export async function engineOf(daemon) {
  await get(daemon.address, '/', { limit: 60 });
  const argv = commandLine(await until('the engine', () => daemon.enginePid()));
  const vscode = path.dirname(path.dirname(argv.find((word) => word.endsWith('/out/server-main.js'))));
  const dir = path.dirname(vscode);
  const { id, product } = { id: path.basename(dir), ...JSON.parse(fs.readFileSync(path.join(dir, 'engine.json'), 'utf8')) };
  return { id, dir, vscode, node: argv[0], product, base: `/${product.quality}-${product.commit}` };
}
