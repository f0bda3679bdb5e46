// How many editors fit on a machine: ours and code-server in one run. `make bench-density` sets everything up and calls this.
//
//   density.mjs [PART…]     front, ours and peer, or some of: front ours peer kept settings
//
// DENSITY_LEVELS=1,20,60,200 are the numbers of instances, DENSITY_MINUTES=25 is the time for all of it. Prints tables and leaves
// output/density.json beside this file. What is measured and how: README.md.

import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { installCodeServer } from './lib/code-server.mjs';
import { engineOf, startDaemon } from './lib/daemon.mjs';
import { measureHost } from './lib/density/crowd.mjs';
import { measureSockets, measureTables } from './lib/density/front.mjs';
import { idlePolicy, startOurs, startPeer } from './lib/density/hosts.mjs';
import { report, targets } from './lib/density/report.mjs';
import { measureKept } from './lib/density/kept.mjs';
import { measureSettings } from './lib/density/settings.mjs';
import { makeRecording } from './lib/density/studio.mjs';
import { round } from './lib/numbers.mjs';
import { cleanUp, cleanUpAlways, watchOthers } from './lib/processes.mjs';
import { machine } from './lib/report.mjs';
import { pickFiles } from './lib/static-files.mjs';

const PARTS = ['front', 'ours', 'peer', 'kept', 'settings'];
const asked = process.argv.slice(2);
const unknown = asked.filter((part) => !PARTS.includes(part));
if (unknown.length > 0) {
  console.error(`density: no part ${unknown.join(', ')} (there are ${PARTS.join(', ')})`);
  process.exit(64);
}
// Measured when asked for: the settings are for whoever develops the engine's command, and what is kept is waited for for minutes.
const wanted = (part) => (asked.length === 0 ? part !== 'settings' && part !== 'kept' : asked.includes(part));
const levels = (process.env.DENSITY_LEVELS ?? '1,20,60,200').split(',').map(Number);
const minutes = Number(process.env.DENSITY_MINUTES ?? 25);
const say = (text) => console.error(`density: ${text}`);
const began = performance.now();
const result = { began: new Date().toISOString(), machine: machine(), levels, problems: [], checks: {}, hosts: {}, kept: {} };
/** Minutes until the given share of all the time is used up. */
const minutesTo = (share) => Math.max(1, minutes * share - (performance.now() - began) / 60_000);

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

/** Records at hosts of its own, and says so when the client is not like the browser. */
async function recorded(name, start) {
  const made = await attempt(`${name}, recording`, () => makeRecording(start, (text) => say(`${name}: ${text}`)));
  if (!made) return undefined;
  result.checks[name] = made.check;
  if (!made.check.agrees) result.problems.push(`${name}: the client is not like the browser (see its table)`);
  return made.recording;
}

/** What is asked for of one host; `part` is its crowd, which may take `time` minutes. */
async function measure(name, part, start, time) {
  const recording = (wanted(part) || wanted('kept')) && (await recorded(name, start));
  if (!recording) return;
  const take = (what, where, look) => attempt(what, async () => {
    const figures = await look(await start());
    where[name] = figures;
    result.problems.push(...figures.failures.map((failure) => `${what}, ${failure}`));
  });
  if (wanted(part)) await take(name, result.hosts, (host) => measureHost({ host, recording, levels, minutes: time, say }));
  if (wanted('kept')) await take(`${name}, kept`, result.kept, (host) => measureKept({ host, recording, say }));
}

async function main() {
  cleanUpAlways();
  const others = watchOthers();
  const daemon = await startDaemon('ours');
  const engine = await engineOf(daemon);
  await daemon.end();
  result.engine = { id: engine.id, version: engine.product.version };
  const policy = idlePolicy();
  if (policy.stopAfter === undefined) say('this build stops nothing that is left');
  if (wanted('front')) {
    const [{ name: file }] = pickFiles(engine);
    say('routing and tables');
    result.tables = await attempt('routing and tables', () => measureTables({ engine, policy, file }));
    say('websockets');
    result.sockets = await attempt('websockets', () => measureSockets(engine));
  }
  await measure('hoody-code', 'ours', () => startOurs(policy), minutesTo(wanted('peer') ? 0.65 : 0.9));
  if (wanted('peer') || wanted('kept')) {
    const entry = await attempt('code-server', () => installCodeServer(engine, say));
    if (entry) await measure('code-server', 'peer', async () => startPeer(engine, entry), minutesTo(0.9));
  }
  if (wanted('settings')) result.settings = await attempt('settings', () => measureSettings({ engine, say }));
  result.others = round(others(), 3);
  result.minutes = round((performance.now() - began) / 60_000, 1);
  result.targets = targets(result);
  const output = fileURLToPath(new URL('output/', import.meta.url));
  fs.mkdirSync(output, { recursive: true });
  fs.writeFileSync(`${output}density.json`, `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(report(result));
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
