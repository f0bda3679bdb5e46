// From figures to what is printed, and the targets.

import os from 'node:os';
import { show, table } from './numbers.mjs';
import { CONNECTIONS, RUNS, SECONDS } from './static-files.mjs';

/** The machine in general terms: enough to understand the figures, nothing that names it. */
export function machine() {
  const cpus = os.cpus();
  return { cores: cpus.length, cpu: cpus[0]?.model.trim(), memoryGb: Math.round(os.totalmem() / 2 ** 30), system: `${os.type()} ${os.release().split('-')[0]}`, node: process.version };
}

const mega = (bytes) => show(bytes / 1e6, 2);

/** Each target with what was measured; a row that could not be measured is not passed. */
export function targets(rows) {
  const found = [];
  const add = (what, limit, value, unit, passed) => found.push({ what, limit, value, unit, passed: Boolean(passed) });
  for (const { file, accept, servers } of rows.static?.files ?? []) {
    if (!servers.nginx) continue;
    const ratio = servers['hoody-code'].ofNginx;
    const how = accept === 'identity' ? 'identity' : 'compressed';
    add(`${file}, ${how}: requests per second against nginx`, '≥ 1.00', ratio, '×', ratio >= 1);
  }
  for (const { file, servers } of rows.proxied?.files ?? []) {
    const ratio = servers['hoody-code'].ofNginx;
    add(`an app on a port, ${file}: requests per second against nginx`, '≥ 1.00', ratio, '×', ratio >= 1);
  }
  const first = rows.load?.servers['hoody-code']?.first;
  if (first) {
    const total = first.httpBytes + first.websocketBytes;
    add("first page load, the page's own requests", '≤ 4.20', first.browserHttpBytes / 1e6, 'MB', first.browserHttpBytes <= 4.2e6);
    add('first page load, workers and frames too', '≤ 4.20', first.httpBytes / 1e6, 'MB', first.httpBytes <= 4.2e6);
    add('first page load, websockets too', '≤ 4.20', total / 1e6, 'MB', total <= 4.2e6);
  }
  const { 'hoody-code': ours, 'bare engine': bare } = rows.start?.ways ?? {};
  if (ours && bare) add('cold start against the bare engine', '≤ 1.10', ours.complete / bare.complete, '×', ours.complete / bare.complete <= 1.1);
  for (const [row, what] of [['latency', 'request'], ['websocket', 'websocket round trip']]) {
    const ways = rows[row]?.ways;
    if (!ways) continue;
    const added = ways['hoody-code'].median - ways['engine, direct'].median;
    add(`added latency of a ${what}`, '≤ 100', added, 'µs', added <= 100);
  }
  return found;
}

function staticTables({ files }) {
  const lines = [`requests per second on static files: wrk, ${CONNECTIONS} connections, 2 threads, median of ${RUNS} × ${SECONDS} s`];
  const rows = [['', 'req/s', 'of nginx', 'bytes sent', 'coding', 'server CPU µs/req']];
  for (const { file, size, accept, servers } of files) {
    rows.push([`${file} (${show(size)} bytes), ${accept === 'identity' ? 'identity' : 'as a browser asks'}`, '', '', '', '', '']);
    for (const [name, { rate, ofNginx, cpuUs, bytes, encoding }] of Object.entries(servers)) {
      const ratio = ofNginx === undefined ? '–' : `${show(ofNginx, 2)}×`;
      rows.push([`  ${name}`, show(rate), ratio, show(bytes), encoding, show(cpuUs, rate < 1000 ? 0 : 1)]);
    }
  }
  return [...lines, table(rows)];
}

function loadTable({ acceptEncoding, servers }) {
  const rows = [['', 'page MB', 'all HTTP MB', 'websockets MB', 'together MB', 'ready ms', 'server CPU ms', 'daemon alone ms']];
  for (const [name, { first, second }] of Object.entries(servers)) {
    for (const [which, one] of [['first', first], ['again', second]]) {
      // code-server's own part cannot be told from the editor's: it is one process.
      const alone = name === 'hoody-code' ? show(one.daemonCpuMs) : '–';
      const bytes = [one.browserHttpBytes, one.httpBytes, one.websocketBytes, one.httpBytes + one.websocketBytes];
      rows.push([`${name}, ${which}`, ...bytes.map(mega), show(one.readyMs), show(one.cpuMs), alone]);
    }
  }
  return [`page load in Chromium, bytes on the wire towards the browser; it sends "accept-encoding: ${acceptEncoding}"; median of 3`, table(rows)];
}

function latencyTable(title, { ways }) {
  const direct = ways['engine, direct'].median;
  const rows = [['', 'median µs', 'p99 µs', 'added µs', 'round trips']];
  for (const [name, { median, p99, count }] of Object.entries(ways)) {
    // code-server runs the engine inside itself: there is nothing it could be compared with.
    const added = name === 'engine, direct' || name === 'code-server' ? '–' : show(median - direct, 1);
    rows.push([name, show(median, 1), show(p99, 1), added, show(count)]);
  }
  return [title, table(rows)];
}

function proxiedTables({ files, ways }) {
  const rows = [['', 'req/s', 'of nginx', 'MB/s', 'server CPU µs/req']];
  for (const { file, size, servers } of files) {
    rows.push([file, '', '', '', '']);
    for (const [name, { rate, ofNginx, cpuUs }] of Object.entries(servers)) {
      rows.push([`  ${name}`, show(rate), ofNginx === undefined ? '–' : `${show(ofNginx, 2)}×`, show((rate * size) / 1e6), show(cpuUs, 1)]);
    }
  }
  const trips = [['', 'median µs', 'p99 µs', 'added µs', 'round trips']];
  const direct = ways['app, direct'].median;
  for (const [name, { median, p99, count }] of Object.entries(ways)) {
    trips.push([name, show(median, 1), show(p99, 1), name === 'app, direct' ? '–' : show(median - direct, 1), show(count)]);
  }
  return [`an app on a port, at /proxy/PORT/ against nginx's proxy_pass: wrk, ${CONNECTIONS} connections, 2 threads, median of ${RUNS} × ${SECONDS} s`,
    table(rows), 'the same, one request of 40 kB after the other, kept alive', table(trips)];
}

function startTable({ ways }) {
  const bare = ways['bare engine'];
  const rows = [['', 'socket connects ms', 'page complete ms', 'of bare engine']];
  for (const [name, { connected, complete }] of Object.entries(ways)) rows.push([name, show(connected, 1), show(complete, 1), `${show(complete / bare.complete, 2)}×`]);
  return [`cold start, from nothing running to a complete page; median of ${bare.runs.length}`, table(rows)];
}

function targetTable(all) {
  const rows = [['', 'target', 'measured', '']];
  for (const { what, limit, value, unit, passed } of all) rows.push([what, `${limit} ${unit}`, `${show(value, unit === 'µs' ? 1 : 2)} ${unit}`, passed ? 'pass' : 'SHORT']);
  return ['targets', table(rows)];
}

/** Everything, as text. */
export function report({ machine: m, engine, rows, targets: all, problems }) {
  const blocks = [
    [`${m.cores} cores (${m.cpu}), ${m.memoryGb} GB, ${m.system}; VS Code ${engine.version}, node ${m.node}; others used of the machine: ${Object.entries(rows).map(([name, { others }]) => `${show(others * 100)} % during ${name}`).join(', ')}`],
    rows.static && staticTables(rows.static),
    rows.load && loadTable(rows.load),
    rows.latency && latencyTable('one request after the other, kept alive: GET of the engine\'s version', rows.latency),
    rows.websocket && latencyTable('websocket round trip: ping and pong of 16 bytes', rows.websocket),
    rows.proxied && proxiedTables(rows.proxied),
    rows.start && startTable(rows.start),
    targetTable(all),
    problems.length > 0 && ['not measured', ...problems.map((problem) => `  ${problem}`)],
  ];
  return `\n${blocks.filter(Boolean).map((lines) => lines.join('\n')).join('\n\n')}\n`;
}
