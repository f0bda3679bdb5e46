// What an instance costs that nobody uses and a job of its user's keeps: opened, left half by closing and half by vanishing, with a job in each.

import { setTimeout as sleep } from 'node:timers/promises';
import { environment, start } from '../processes.mjs';
import { round } from '../numbers.mjs';
import { AT_ONCE, LEAST_LEFT_MB, openAndLeave, REST_SECONDS, SETTLE_SECONDS } from './crowd.mjs';
import { nameOf } from './studio.mjs';
import { availableMb, cpuAtRest } from './usage.mjs';

/** How many of them. */
const COUNT = Number(process.env.DENSITY_KEPT ?? 20);
/** The processes that are there for a page, and go some time after it. */
const FOR_PAGES = ['extension host', 'file watcher'];
/** A file watcher goes after ten times the time of the policy. */
const PATIENCE = 12;

/** Starts what somebody would have started in a terminal and detached: in the instance's environment, and a session of its own. */
function startJob(server) {
  start('/bin/sh', ['-c', 'while sleep 5; do :; done'], { stdio: 'ignore', env: environment(server) });
}

/** Waits until nothing is there for pages any more, or for a while where nothing would change. Gives the seconds it took. */
async function trimmed(host) {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const { stopAfter } = host.policy;
  if (stopAfter === undefined) await sleep(SETTLE_SECONDS * 1000);
  else while (FOR_PAGES.some((kind) => host.usage().kinds[kind]) && seconds() < stopAfter * PATIENCE + 60) await sleep(1000);
  // Whoever is to be stopped has been looked at twice by then.
  if (stopAfter !== undefined) await sleep(Math.max(0, stopAfter * 3 - seconds()) * 1000);
  return seconds();
}

/** Figures of one host. Ends it. */
export async function measureKept({ host, recording, say }) {
  const failures = [];
  try {
    let [next, jobs] = [0, 0];
    const worker = async () => {
      while (next < COUNT && availableMb() > LEAST_LEFT_MB) {
        const number = next++;
        const id = nameOf(number);
        try {
          await openAndLeave(host, recording, number);
          startJob(host.server(id));
          jobs++;
        } catch (error) {
          failures.push(`${id}: ${error.message.split('\n')[0]}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (next < COUNT) failures.push(`memory was short at ${next}`);
    const restSeconds = await trimmed(host);
    const { processes, kinds, privateMb, pssMb, byKind } = host.usage();
    const cpuPercent = await cpuAtRest(host.pids(), host.root, REST_SECONDS);
    const running = await host.running();
    if (running !== jobs) failures.push(`${running} of ${jobs} with a job are running`);
    say(`${host.name}, ${jobs} kept for a job: ${processes} processes, ${round(privateMb)} MB, CPU ${round(cpuPercent, 2)} %`);
    return {
      policy: host.policy.config.trim(), jobs, restSeconds: round(restSeconds), processes, kinds, failures,
      privateMb: round(privateMb, 1), pssMb: round(pssMb, 1), cpuPercent: round(cpuPercent, 2),
      byKind: Object.fromEntries(Object.entries(byKind).map(([kind, mb]) => [kind, round(mb, 1)])),
    };
  } finally {
    await host.end();
  }
}
