// Row 1: requests per second on static files, by wrk.

import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { get } from './wire.mjs';
import { median, round } from './numbers.mjs';
import { run, treeCpu, watchOthers } from './processes.mjs';

/** What Chromium sends to loopback and over TLS (row 2 looks at what it really sends). */
export const BROWSER = 'gzip, deflate, br, zstd';
export const CONNECTIONS = 16;
export const SECONDS = 5;
export const RUNS = 3;
/** A run in which others had more of the machine than this is repeated, so often and no more. */
const OTHERS = 0.05;
const TRIES = 2;

/** The files of the workbench itself that are nearest to 40 kB and to 1.6 MB; only such as have all compressed forms. */
export function pickFiles(engine) {
  const { files } = JSON.parse(fs.readFileSync(path.join(engine.dir, 'static/manifest.json'), 'utf8'));
  const candidates = Object.entries(files).filter(
    ([name, file]) => name.startsWith('out/') && !file.content_type.startsWith('text/html') && file.variants?.length === 3,
  );
  if (candidates.length === 0) throw new Error('the engine has no precompressed files');
  return [['40 kB', 40e3], ['1.6 MB', 1.6e6]].map(([label, size]) => {
    const distance = ([, file]) => Math.abs(file.size - size);
    const [name, file] = candidates.reduce((best, next) => (distance(next) < distance(best) ? next : best));
    return { label, name, size: file.size };
  });
}

const decoders = {
  br: zlib.brotliDecompressSync,
  gzip: zlib.gunzipSync,
  zstd: zlib.zstdDecompressSync,
};

/** One answer looked at before any is counted: a fast error page would win every race. */
async function check(server, url, accept, original) {
  const headers = accept === 'identity' ? {} : { 'Accept-Encoding': accept };
  const { status, headers: answered, body } = await get(server.address, url, { headers, limit: 30 });
  const encoding = answered['content-encoding'] ?? 'identity';
  const plain = encoding === 'identity' ? body : decoders[encoding](body);
  if (status !== 200 || !plain.equals(original)) throw new Error(`${server.name} does not serve ${url} (${status}, ${plain.length} bytes)`);
  return { encoding, bytes: body.length };
}

/** The least disturbed of a few tries, usually the first. */
export async function load(server, url, accept) {
  let best;
  for (let i = 0; i < TRIES && !(best?.others <= OTHERS); i++) {
    const one = await loadOnce(server, url, accept);
    if (!best || one.others < best.others) best = one;
  }
  return best;
}

async function loadOnce(server, url, accept) {
  const others = watchOthers();
  const cpu = treeCpu(server.pid);
  const args = ['-t2', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--timeout', '10s'];
  if (accept !== 'identity') args.push('-H', `Accept-Encoding: ${accept}`);
  const text = await run('wrk', [...args, `http://127.0.0.1:${server.address.port}${url}`], { limit: SECONDS + 25 });
  const share = others();
  const spent = treeCpu(server.pid) - cpu;
  const [, count] = text.match(/(\d+) requests in/);
  const [, rate] = text.match(/Requests\/sec: +([\d.]+)/);
  if (/Non-2xx|Socket errors: connect [1-9]/.test(text)) throw new Error(`${server.name}: wrk saw errors on ${url}`);
  return { rate: Number(rate), cpuUs: (spent * 1000) / Math.max(1, Number(count)), others: round(share, 3) };
}

/** @returns one entry per file and encoding, with the servers' figures side by side. */
export async function measureStatic({ engine, files, servers, say }) {
  const rows = [];
  for (const accept of ['identity', BROWSER]) {
    for (const file of files) {
      const url = `${engine.base}/static/${file.name}`;
      const original = fs.readFileSync(path.join(engine.vscode, file.name));
      // Compression on the fly is the same server when nobody asks for it.
      const asked = servers.filter((server) => accept !== 'identity' || !server.onlyCompressed);
      const row = { file: file.label, name: file.name, size: file.size, accept, servers: {} };
      say(`${file.label}, ${accept === 'identity' ? 'identity' : 'as a browser asks'}`);
      for (const server of asked) row.servers[server.name] = { ...(await check(server, url, accept, original)), runs: [] };
      for (let i = 0; i < RUNS; i++) for (const server of asked) row.servers[server.name].runs.push(await load(server, url, accept));
      for (const figures of Object.values(row.servers)) {
        figures.rate = round(median(figures.runs.map((one) => one.rate)), 1);
        figures.cpuUs = round(median(figures.runs.map((one) => one.cpuUs)), 2);
      }
      // Round by round, so that what disturbs a round disturbs both sides of its ratio.
      const nginx = row.servers.nginx?.runs;
      for (const figures of nginx ? Object.values(row.servers) : []) {
        figures.ofNginx = round(median(figures.runs.map((one, i) => one.rate / nginx[i].rate)), 3);
      }
      rows.push(row);
    }
  }
  return rows;
}
