// Row 5: from nothing running to a complete page.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCodeServer } from './code-server.mjs';
import { startDaemon } from './daemon.mjs';
import { median, round } from './numbers.mjs';
import { commandLine, end, environment, start, tempDir, until } from './processes.mjs';
import { connect, get, getOn } from './wire.mjs';

const RUNS = 10;
// As often as our own daemon tries.
const POLL_MS = 5;
/** Between two starts: what the one before left to the kernel is done by then. */
const SETTLE_MS = 500;

const since = (began) => Number(process.hrtime.bigint() - began) / 1e6;

async function firstConnection(address, began) {
  for (;;) {
    const socket = await connect(address).catch(() => undefined);
    if (socket) return { socket, connected: since(began) };
    if (since(began) > 30_000) throw new Error('nothing answered within 30 s');
    await sleep(POLL_MS);
  }
}

async function page(answer, began) {
  const { status, body } = await answer;
  const complete = since(began);
  if (status !== 200 || !body.includes('</html>')) throw new Error(`GET / gave ${status} and ${body.length} bytes`);
  return complete;
}

/** Ends the instance the hard way and waits until the daemon has noticed. */
async function stopInstance(daemon) {
  const pid = daemon.enginePid();
  if (pid) process.kill(pid, 'SIGKILL');
  await until('the end of the instance', async () => ['failed', 'stopped'].includes(await daemon.state()) && !daemon.enginePid());
}

async function ours(daemon) {
  // A socket file that is left over refuses connections; one that is gone cannot be mistaken for the new one.
  fs.rmSync(daemon.socket, { force: true });
  const began = process.hrtime.bigint();
  const complete = page(get(daemon.address, '/', { limit: 30 }), began);
  const { socket, connected } = await firstConnection({ path: daemon.socket }, began);
  socket.destroy();
  const figures = { connected, complete: await complete };
  // A server that has answered goes on loading for a while, at the expense of whoever is measured next.
  await stopInstance(daemon);
  return figures;
}

/** The instance's own command, with its directories replaced by another. */
function bareCommand(daemon, dir) {
  const pid = daemon.enginePid();
  const move = (text) => text.replaceAll(daemon.instanceDir, dir);
  const [program, ...args] = commandLine(pid).map(move);
  const env = Object.fromEntries(Object.entries(environment(pid)).map(([name, value]) => [name, move(value)]));
  const cwd = move(fs.readlinkSync(`/proc/${pid}/cwd`));
  return { program, args, options: { env, cwd }, socket: path.join(dir, 'run', 'vscode.sock') };
}

async function bare({ program, args, options, socket: socketPath }) {
  fs.rmSync(socketPath, { force: true });
  const began = process.hrtime.bigint();
  const engine = start(program, args, options);
  try {
    const { socket, connected } = await firstConnection({ path: socketPath }, began);
    const complete = await page(getOn(socket, '/'), began);
    socket.destroy();
    return { connected, complete };
  } finally {
    await end(engine, 1);
  }
}

async function codeServer(engine, entry, dir) {
  const server = await startCodeServer(engine, entry, dir);
  try {
    const connected = since(server.began);
    return { connected, complete: await page(get(server.address, '/', { limit: 30 }), server.began) };
  } finally {
    await server.end();
  }
}

/** Ours, the bare engine and, when there is one, code-server, in turn. Times in ms. */
export async function measureColdStart({ engine, entry, say }) {
  const daemon = await startDaemon('cold');
  try {
    await get(daemon.address, '/', { limit: 60 });
    const dir = path.join(tempDir('bare'), 'instance');
    fs.cpSync(daemon.instanceDir, dir, { recursive: true, filter: (file) => !file.endsWith('.sock') });
    const command = bareCommand(daemon, dir);
    await stopInstance(daemon);
    const peerDir = tempDir('cold-code-server');
    const ways = { 'hoody-code': () => ours(daemon), 'bare engine': () => bare(command) };
    if (entry) ways['code-server'] = () => codeServer(engine, entry, peerDir);
    const runs = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
    // The first round fills directories and caches and is not counted.
    for (let i = 0; i <= RUNS; i++) {
      for (const [name, measure] of Object.entries(ways)) {
        await sleep(SETTLE_MS);
        const one = await measure();
        if (i > 0) runs[name].push({ connected: round(one.connected, 1), complete: round(one.complete, 1) });
      }
      if (i > 0 && i % 5 === 0) say(`cold start ${i} of ${RUNS}`);
    }
    return Object.fromEntries(
      Object.entries(runs).map(([name, all]) => [
        name,
        { connected: median(all.map((one) => one.connected)), complete: median(all.map((one) => one.complete)), runs: all },
      ]),
    );
  } finally {
    await daemon.end();
  }
}
