// Row 6: an app on a port of the instance, through us and through nginx.

import fs from 'node:fs';
import path from 'node:path';
import { startDaemon } from './daemon.mjs';
import { measure } from './latency.mjs';
import { startProxy } from './nginx.mjs';
import { median, round } from './numbers.mjs';
import { RUNS, load } from './static-files.mjs';
import { get, httpProbe } from './wire.mjs';

/**
 * Requests per second of `files` and what is added to a round trip. The app is a second daemon of ours with its static files: quick
 * enough that what is measured is the proxy before it. nginx would be too, but it writes over the very environment by which the
 * processes of an instance are known.
 */
export async function measureProxied({ daemon, engine, files, say }) {
  // Nothing of an instance is reached while it does not run.
  await get(daemon.address, '/?ew=1', { limit: 60 });
  const app = await startDaemon('app', { HOODY_CODE_INSTANCE_DIR: daemon.instanceDir });
  const nginx = { name: 'nginx', ...(await startProxy(app.port)) };
  const servers = [daemon, nginx];
  const direct = (file) => `${engine.base}/static/${file.name}`;
  const url = (file) => `/proxy/${app.port}${direct(file)}`;
  const rows = [];
  for (const file of files) {
    const original = fs.readFileSync(path.join(engine.vscode, file.name));
    const row = { file: file.label, size: file.size, servers: {} };
    say(`an app on a port, ${file.label}`);
    for (const server of servers) {
      const { status, body } = await get(server.address, url(file));
      if (status !== 200 || !body.equals(original)) throw new Error(`${server.name} does not serve the app (${status})`);
      row.servers[server.name] = { runs: [] };
    }
    for (let i = 0; i < RUNS; i++) for (const server of servers) row.servers[server.name].runs.push(await load(server, url(file), 'identity'));
    for (const figures of Object.values(row.servers)) {
      figures.rate = round(median(figures.runs.map((one) => one.rate)), 1);
      figures.cpuUs = round(median(figures.runs.map((one) => one.cpuUs)), 2);
      figures.ofNginx = round(median(figures.runs.map((one, i) => one.rate / row.servers.nginx.runs[i].rate)), 3);
    }
    rows.push(row);
  }
  const [small] = files;
  const ways = [
    { name: 'app, direct', address: app.address },
    { name: 'hoody-code', address: daemon.address },
    { name: 'nginx', address: nginx.address },
  ];
  const trips = await measure(ways, (address) => httpProbe(address, address === app.address ? direct(small) : url(small)));
  await nginx.end();
  await app.end();
  return { files: rows, ways: trips };
}
