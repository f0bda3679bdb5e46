// What the front itself costs: routing and tables from 1 to 1,000 instances, and a thousand open websockets.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { measure } from '../latency.mjs';
import { round } from '../numbers.mjs';
import { connect, get, httpProbe } from '../wire.mjs';
import { Wire } from './client.mjs';
import { KIND } from './frames.mjs';
import { keepAll, startOurs } from './hosts.mjs';
import { nameOf } from './studio.mjs';
import { cpuAtRest, statusOf } from './usage.mjs';

const MANY = Number(process.env.DENSITY_TABLE ?? 1000);
const SOCKETS = Number(process.env.DENSITY_SOCKETS ?? 1000);
/** Instances that these websockets belong to; each carries a like share. */
const ENGINES = 8;
/** Instances that the front knows meanwhile. */
const KNOWN = 200;

/**
 * Connections that are tried for each figure of the tables; the cheapest counts. Whether the thread that hears of a request is also the one
 * that answers it is settled by chance when a connection begins, and is worth three times what is to be compared.
 */
const CONNECTIONS = 16;

const rounded = (status) => Object.fromEntries(Object.entries(status).map(([key, mb]) => [key, round(mb, 1)]));

/** Makes the daemon know an instance at rest: somebody follows what becomes of it, and goes away. */
async function introduce(daemon, id) {
  fs.mkdirSync(path.join(daemon.dataDir, 'instances', id), { recursive: true, mode: 0o700 });
  const socket = await connect(daemon.address);
  try {
    const first = new Promise((resolve, reject) => {
      let text = '';
      socket.on('data', (chunk) => (text += chunk) && text.includes('data: ') && resolve());
      socket.once('error', reject).once('close', () => reject(new Error(`${id} is not known`)));
    });
    socket.write(`GET /i/${id}/api/v1/code/events HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await first;
  } finally {
    socket.destroy();
  }
  const { status } = await get(daemon.address, `/i/${id}/api/v1/code/status`);
  if (status !== 200) throw new Error(`the status of ${id} gave ${status}`);
}

/** Two daemons, one that knows a single instance and one that knows many, asked in turn. */
export async function measureTables({ engine, policy, file }) {
  const hosts = [];
  try {
    const sizes = [1, MANY];
    for (const size of sizes) {
      const host = await startOurs(policy);
      hosts.push(host);
      for (let number = 0; number < size; number++) await introduce(host.daemon, nameOf(number));
    }
    const memory = hosts.map((host) => rounded(statusOf(host.daemon.pid)));
    const cpu = [];
    for (const host of hosts) cpu.push(round(await cpuAtRest([host.daemon.pid], host.root, 10), 2));
    const latency = {};
    const last = nameOf(0);
    for (const [what, url] of [
      ['health', '/api/v1/code/health'],
      ['status of an instance', `/i/${last}/api/v1/code/status`],
      ['a static file of 40 kB', `/i/${last}${engine.base}/static/${file}`],
    ]) {
      const ways = hosts.map((host, i) => ({ name: String(sizes[i]), address: host.daemon.address, pid: host.daemon.pid }));
      const rounds = [];
      while (rounds.length < CONNECTIONS) rounds.push(await measure(ways, (address) => httpProbe(address, url)));
      latency[what] = Object.fromEntries(ways.map(({ name }) => [name, rounds.map((round) => round[name]).sort((a, b) => a.cpuUs - b.cpuUs)[0]]));
    }
    return { sizes, memory, cpu, latency };
  } finally {
    for (const host of hosts) await host.end();
  }
}

/** A management connection of an editor that says who it is and then only that it is still there. */
async function idleSocket(address, engine, id) {
  const wire = await Wire.open(address, `/i/${id}${engine.base}?reconnectionToken=${randomUUID()}&reconnection=false&skipWebSocketFrames=false`);
  const hello = [
    { type: 'auth', auth: '00000000000000000000', data: randomUUID() },
    { type: 'connectionType', commit: engine.product.commit, signedData: randomUUID(), desiredConnectionType: 1 },
  ];
  for (const [i, word] of hello.entries()) {
    wire.send(KIND.control, Buffer.from(JSON.stringify(word)));
    await wire.wait(i + 1, 30_000);
  }
  if (!wire.last?.includes('"ok"')) throw new Error('the management connection was not accepted');
  return wire;
}

/** The front's memory with `KNOWN` instances, before and with `SOCKETS` websockets that are open and say that they live. */
export async function measureSockets(engine) {
  const host = await startOurs(keepAll());
  const wires = [];
  try {
    const { daemon } = host;
    for (let number = 0; number < KNOWN; number++) await introduce(daemon, nameOf(number));
    for (let number = 0; number < ENGINES; number++) await get(daemon.address, `/i/${nameOf(number)}/?ew=true`, { limit: 60 });
    await sleep(2000);
    const before = statusOf(daemon.pid);
    while (wires.length < SOCKETS) {
      const some = Array.from({ length: Math.min(20, SOCKETS - wires.length) }, (_, i) => idleSocket(daemon.address, engine, nameOf((wires.length + i) % ENGINES)));
      wires.push(...(await Promise.all(some)));
    }
    const opened = statusOf(daemon.pid);
    const cpu = await cpuAtRest([daemon.pid], '/nowhere', 20);
    const during = statusOf(daemon.pid);
    const alive = wires.filter((wire) => !wire.closed).length;
    for (const wire of wires) wire.vanish();
    await sleep(3000);
    const after = statusOf(daemon.pid);
    return {
      known: KNOWN, sockets: SOCKETS, engines: ENGINES, alive, cpuPercent: round(cpu, 2),
      before: rounded(before), opened: rounded(opened), during: rounded(during), after: rounded(after),
      perSocketKb: round(((during.anonMb - before.anonMb) * 1024) / SOCKETS, 1),
    };
  } finally {
    for (const wire of wires) if (!wire.closed) wire.vanish();
    await host.end();
  }
}
