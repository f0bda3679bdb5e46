// From the figures of density.mjs to what is printed, and the targets.

import { show, table } from '../numbers.mjs';

const gb = (mb) => (mb >= 1024 ? `${show(mb / 1024, 1)} GB` : `${show(mb, mb < 10 ? 1 : 0)} MB`);

const levelAt = (host, level) => host?.levels.find((one) => one.level === level);

/** Each target with what was measured. */
export function targets({ hosts, tables, sockets }) {
  const found = [];
  const add = (what, limit, measured, passed) => found.push({ what, limit, measured, passed });
  const ours = hosts['hoody-code'];
  const peer = hosts['code-server'];
  const most = levelAt(ours, 200);
  if (most) {
    add('instances opened and left on this machine', '200', `${most.reached}${most.failed ? `, ${most.failed} failed` : ''}`, most.reached >= 200 && most.failed === 0);
    if (most.reached >= 200) add('CPU at rest of all 200', '< 1 % of a core', `${show(most.cpuPercent, 2)} %`, most.cpuPercent < 1);
  }
  const sixty = levelAt(ours, 60);
  const theirs = peer?.levels.at(-1);
  if (sixty?.reached === 60 && theirs?.reached > 0) {
    // Where it did not get to 60, what it had got to by then is taken for 60 times its share: the memory was all it lacked.
    const peerMb = theirs.reached >= 60 ? levelAt(peer, 60).privateMb : (theirs.privateMb / theirs.reached) * 60;
    const share = peerMb / sixty.privateMb;
    const how = theirs.reached >= 60 ? '' : ` (its ${theirs.reached} × ${show(60 / theirs.reached, 2)})`;
    add('60 opened and left, private memory against code-server', '≤ 1/50', `1/${show(share, 0)}: ${gb(sixty.privateMb)} to ${gb(peerMb)}${how}`, share >= 50);
  }
  const last = ours?.levels.at(-1);
  if (last?.back?.worstMs) add('back in an editor that was left (page and connection), the slowest', '< 1,000 ms', `${show(last.back.worstMs)} ms`, last.back.worstMs < 1000);
  if (ours?.browser) add('back in a real browser, workbench visible', '< 1,000 ms', `${show(ours.browser.back.visible)} ms`, ours.browser.back.visible < 1000);
  if (tables) {
    const [one, many] = tables.sizes.map(String);
    for (const [what, by] of Object.entries(tables.latency)) {
      const ratio = by[many].cpuUs / by[one].cpuUs;
      add(`${what}: CPU with ${show(Number(many))} instances against 1`, 'flat (≤ 1.10 ×)', `${show(ratio, 2)} ×`, ratio <= 1.1);
    }
  }
  if (sockets) add(`front with ${sockets.known} instances and ${show(sockets.alive)} websockets`, '≤ 40 MB', `${show(sockets.during.rssMb, 1)} MB`, sockets.during.rssMb <= 40 && sockets.alive === sockets.sockets);
  return found;
}

function crowdTable(hosts) {
  const rows = [['', 'processes', 'private', 'PSS', 'CPU at rest', 'disk each', 'back, median', 'closed', 'vanished', 'slowest', 'most while opening']];
  for (const [name, { levels }] of Object.entries(hosts)) {
    for (const one of levels) {
      const ms = (value) => (value === undefined ? '–' : `${show(value)} ms`);
      const count = one.reached === one.level ? `${one.level}` : `${one.reached} of ${one.level}`;
      rows.push([`${name}, ${count}`, show(one.processes), gb(one.privateMb), gb(one.pssMb), `${show(one.cpuPercent, 2)} %`, `${show(one.diskMb, 1)} MB`,
        ms(one.back?.medianMs), ms(one.back?.closedMs), ms(one.back?.vanishedMs), ms(one.back?.worstMs), gb(one.peakMb)]);
    }
  }
  const lines = ['opened and left, half closed and half vanished; CPU in percent of one core', table(rows)];
  for (const [name, { levels, policy }] of Object.entries(hosts)) {
    const last = levels.at(-1);
    if (!last) continue;
    if (name === 'hoody-code') lines.push(`  hoody-code's idle policy: ${policy ? `[instances] ${policy.replace(/\n/g, ', ')}` : 'this build has none'}`);
    if (last.why) lines.push(`  ${name} was stopped at ${last.reached}: ${last.why}`);
    lines.push(`  ${name} at ${last.reached}: ${Object.entries(last.kinds).map(([kind, count]) => `${count} ${kind} (${gb(last.byKind[kind])})`).join(', ')}`);
  }
  return lines;
}

function browserTable(hosts) {
  const rows = [['', 'first: visible', 'ready', 'back: visible', 'ready', 'at rest before']];
  for (const [name, { browser }] of Object.entries(hosts)) {
    if (!browser) continue;
    const ms = (value) => `${show(value)} ms`;
    rows.push([name, ms(browser.first.visible), ms(browser.first.ready), ms(browser.back.visible), ms(browser.back.ready), browser.wasAtRest ? 'stopped' : 'running']);
  }
  return rows.length > 1 && ['in a real browser: first visit, and back after it was left', table(rows)];
}

/** Of each host: together, and of one instance. */
function keptTable(kept) {
  const rows = [['', 'processes', 'private', 'PSS', 'CPU', 'of one: processes', 'private', 'PSS', 'CPU']];
  const lines = [];
  for (const [name, one] of Object.entries(kept)) {
    const each = (value) => value / Math.max(1, one.jobs);
    rows.push([`${name}, ${one.jobs}`, show(one.processes), gb(one.privateMb), gb(one.pssMb), `${show(one.cpuPercent, 2)} %`,
      show(each(one.processes), 1), gb(each(one.privateMb)), gb(each(one.pssMb)), `${show(each(one.cpuPercent), 3)} %`]);
    lines.push(`  ${name}: ${Object.entries(one.kinds).map(([kind, count]) => `${count} ${kind} (${gb(one.byKind[kind])})`).join(', ')}`);
    if (one.policy) lines.push(`  ${name}'s idle policy: [instances] ${one.policy.replace(/\n/g, ', ')}; trimmed after ${show(one.restSeconds)} s`);
  }
  return ['left with a job of the user\'s in each, half closed and half vanished; CPU in percent of one core', table(rows), ...lines];
}

function checkTable(checks) {
  const rows = [['', 'browser', 'client', 'of it', 'the same processes', 'requests, messages said']];
  for (const [name, { browser, client, ratio, same, requests, messages }] of Object.entries(checks)) {
    rows.push([name, gb(browser.privateMb), gb(client.privateMb), `${show(ratio * 100)} %`, same ? 'yes' : 'no', `${requests}, ${messages.join(' + ')}`]);
    for (const kind of Object.keys(browser.kinds)) {
      rows.push([`  ${browser.kinds[kind]} ${kind}`, gb(browser.byKind[kind]), client.kinds[kind] ? gb(client.byKind[kind]) : '–', '', '', '']);
    }
  }
  return ['one editor open: a real browser, and the client that says what it was heard to say (private memory)', table(rows)];
}

function frontTables({ tables, sockets }) {
  const lines = [];
  if (tables) {
    const [one, many] = tables.sizes;
    const rows = [['', `${one} instance`, `${show(many)} instances`]];
    for (const [what, by] of Object.entries(tables.latency)) {
      for (const [which, title] of [['median', what], ['p99', '  p99'], ['cpuUs', '  CPU of the front']]) rows.push([title, `${show(by[one][which], 1)} µs`, `${show(by[many][which], 1)} µs`]);
    }
    rows.push(['front, resident', ...tables.memory.map((one) => `${show(one.rssMb, 1)} MB`)]);
    rows.push(['  of that its own', ...tables.memory.map((one) => `${show(one.anonMb, 1)} MB`)]);
    rows.push(['front, CPU at rest', ...tables.cpu.map((one) => `${show(one, 2)} %`)]);
    lines.push('routing and tables: instances that the front knows, all at rest', table(rows));
  }
  if (sockets) {
    const rows = [['', 'before', 'all open', '20 s later', 'all gone']];
    const states = [sockets.before, sockets.opened, sockets.during, sockets.after];
    for (const [title, key] of [['resident', 'rssMb'], ['  of that its own', 'anonMb'], ['  of that files', 'fileMb']]) rows.push([title, ...states.map((one) => `${show(one[key], 1)} MB`)]);
    if (lines.length > 0) lines.push('');
    lines.push(`the front with ${sockets.known} instances, ${sockets.engines} of them running, and ${show(sockets.alive)} of ${show(sockets.sockets)} websockets that say every 5 s that they live`, table(rows));
    lines.push(`  ${show(sockets.perSocketKb, 1)} kB of its own per websocket, CPU ${show(sockets.cpuPercent, 2)} % of a core`);
  }
  return lines;
}

function settingsTable(variants) {
  const kinds = [...new Set(variants.flatMap((one) => Object.keys(one.byKind)))].filter((kind) => kind !== 'hoody-code');
  const rows = [['', ...kinds, 'together', 'CPU s per opening']];
  for (const one of variants) {
    const each = kinds.map((kind) => (one.kinds[kind] ? `${show(one.byKind[kind] / one.kinds[kind], 1)} MB` : '–'));
    rows.push([one.name, ...each, gb(one.privateMb), show(one.cpuSeconds / one.reached, 2)]);
  }
  return [`engine settings: private memory per process, ${variants[0]?.level} instances opened and left, none stopped`, table(rows)];
}

function targetTable(all) {
  const rows = [['', 'target', 'measured', '']];
  for (const { what, limit, measured, passed } of all) rows.push([what, limit, measured, passed ? 'met' : 'NOT MET']);
  return ['targets', table(rows)];
}

/** Everything, as text. */
export function report(result) {
  const { machine: m, engine, hosts, kept, checks, problems, others } = result;
  const blocks = [
    [`${result.began.slice(0, 10)}; ${m.cores} cores (${m.cpu}), ${m.memoryGb} GB, ${m.system}; VS Code ${engine.version}, node ${m.node}; others used ${show(others * 100)} % of the machine; ${show(result.minutes, 1)} minutes`],
    Object.keys(checks).length > 0 && checkTable(checks),
    Object.keys(hosts).length > 0 && crowdTable(hosts),
    Object.keys(kept).length > 0 && keptTable(kept),
    browserTable(hosts),
    (result.tables || result.sockets) && frontTables(result),
    result.settings && settingsTable(result.settings),
    result.targets.length > 0 && targetTable(result.targets),
    problems.length > 0 && ['what went wrong', ...problems.map((problem) => `  ${problem}`)],
  ];
  return `\n${blocks.filter(Boolean).map((lines) => lines.join('\n')).join('\n\n')}\n`;
}
