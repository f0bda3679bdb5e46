// Our daemon side by side with nginx and code-server, in one run. `make bench` sets everything up and calls this.
//
//   bench.mjs [ROW…]     all rows, or some of: static load latency websocket proxied start
//
// Prints tables and leaves output/latest.json beside this file. What each row is: README.md.

import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { installCodeServer, readyCodeServer } from './lib/code-server.mjs';
import { measureColdStart } from './lib/cold-start.mjs';
import { engineOf, startDaemon } from './lib/daemon.mjs';
import { measureHttp, measureWebsocket } from './lib/latency.mjs';
import { startNginx } from './lib/nginx.mjs';
import { measurePageLoads } from './lib/page-load.mjs';
import { cleanUp, cleanUpAlways, watchOthers } from './lib/processes.mjs';
import { round } from './lib/numbers.mjs';
import { measureProxied } from './lib/proxied.mjs';
import * as print from './lib/report.mjs';
import { measureStatic, pickFiles } from './lib/static-files.mjs';

const ROWS = ['static', 'load', 'latency', 'websocket', 'proxied', 'start'];
const asked = process.argv.slice(2);
const unknown = asked.filter((row) => !ROWS.includes(row));
if (unknown.length > 0) {
  console.error(`bench: no row ${unknown.join(', ')} (there are ${ROWS.join(', ')})`);
  process.exit(64);
}
const wanted = (row) => asked.length === 0 || asked.includes(row);
const say = (text) => console.error(`bench: ${text}`);
const result = { began: new Date().toISOString(), machine: print.machine(), problems: [], rows: {} };

/** A step that may fail without taking the others along: then one line says why. */
async function attempt(what, work) {
  try {
    return await work();
  } catch (error) {
    const problem = `${what}: ${error.message.split('\n')[0]}`;
    result.problems.push(problem);
    say(`cannot do ${problem}`);
    return undefined;
  }
}

async function row(name, work) {
  if (!wanted(name)) return;
  say(name);
  const others = watchOthers();
  const figures = await attempt(name, work);
  // Figures of a busy machine are worth less: whoever reads them has to know.
  if (figures) result.rows[name] = { others: round(others(), 3), ...figures };
}

async function main() {
  cleanUpAlways();
  const daemon = await startDaemon('ours');
  const engine = await engineOf(daemon);
  result.engine = { id: engine.id, version: engine.product.version };
  const files = pickFiles(engine);
  const entry = await attempt('code-server', () => installCodeServer(engine, say));
  const peer = entry && (await attempt('code-server', () => readyCodeServer(engine, entry)));
  const needsNginx = ['static', 'latency', 'websocket'].some(wanted);
  const nginx = needsNginx
    ? await attempt('nginx', () => startNginx({ engine, files: files.map(({ name }) => name), upstream: daemon.socket }))
    : undefined;
  const nginxAs = (name, address, more) => (nginx ? [{ name, pid: nginx.pid, address, ...more }] : []);

  await row('static', async () => ({
    files: await measureStatic({
      engine,
      files,
      say,
      servers: [
        daemon,
        ...nginxAs('nginx', nginx?.plain),
        ...nginxAs('nginx, open files cached', nginx?.tuned),
        ...nginxAs('nginx, gzip on the fly', nginx?.flying, { onlyCompressed: true }),
        ...(peer ? [peer] : []),
      ],
    }),
  }));
  const ways = [
    { name: 'engine, direct', address: { path: daemon.socket } },
    { name: 'hoody-code', address: daemon.address },
    ...nginxAs('nginx as proxy', nginx?.proxy),
    ...(peer ? [{ name: 'code-server', address: peer.address }] : []),
  ];
  await row('latency', async () => ({ ways: await measureHttp(engine, ways) }));
  await row('websocket', async () => ({ ways: await measureWebsocket(engine, ways) }));
  await row('proxied', () => measureProxied({ daemon, engine, files, say }));
  await nginx?.end();
  await row('load', () => measurePageLoads({ servers: [daemon, ...(peer ? [peer] : [])], say }));
  await peer?.end();
  await daemon.end();
  await row('start', async () => ({ ways: await measureColdStart({ engine, entry, say }) }));

  result.targets = print.targets(result.rows);
  result.ended = new Date().toISOString();
  const output = fileURLToPath(new URL('output/', import.meta.url));
  fs.mkdirSync(output, { recursive: true });
  fs.writeFileSync(`${output}latest.json`, `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(print.report(result));
}

try {
  await main();
} catch (error) {
  say(error.message);
  process.exitCode = 1;
} finally {
  cleanUp();
}
process.exit();
