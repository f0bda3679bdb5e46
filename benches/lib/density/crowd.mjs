// N instances of one host: opened, left half by closing and half by vanishing, looked at when they rest, and come back to.

import { setTimeout as sleep } from 'node:timers/promises';
import { median, quantile, round } from '../numbers.mjs';
import { comeBack, openEditor } from './client.mjs';
import { treeCpu } from '../processes.mjs';
import { nameOf, openBrowser, pairsFor, visit } from './studio.mjs';
import { availableMb, cpuAtRest } from './usage.mjs';

/** How many are opened at the same time. */
export const AT_ONCE = Number(process.env.DENSITY_AT_ONCE ?? 4);
/** How long somebody stays after the last recorded word was said. */
const STAY_MS = 1000;
/** CPU at rest is looked at for this long. */
export const REST_SECONDS = Number(process.env.DENSITY_REST ?? 20);
/** What a host may take, in MB, and what has to be left to the machine. */
const MOST_MB = Number(process.env.DENSITY_MOST_MB ?? 12 * 1024);
export const LEAST_LEFT_MB = 3 * 1024;
/** How many are come back to, of each kind. */
const RETURNS = 5;
/** How long after the last one has left is looked at a host that keeps everything. */
export const SETTLE_SECONDS = 10;

/** Even ones close, odd ones vanish. */
const vanishes = (number) => number % 2 === 1;

/** Opens the instance of that number, stays a moment and leaves it. Gives the ms until it was usable. */
export async function openAndLeave(host, recording, number) {
  const id = nameOf(number);
  const began = performance.now();
  const { address } = await host.prepare(id);
  let usableMs;
  const onUsable = () => (usableMs = performance.now() - began);
  const editor = await openEditor({ address, recording: recording.steps, pairs: pairsFor(recording, host, id), onUsable });
  await sleep(STAY_MS);
  const broken = editor.broken();
  if (vanishes(number)) editor.vanish();
  else await editor.close();
  if (broken) throw new Error('a websocket was closed while the editor was open');
  return usableMs;
}

/** Why no more instances may be opened now; nothing while they may. */
function bound(privateMb, deadline) {
  if (privateMb > MOST_MB * 0.95) return `it takes ${round(privateMb / 1024, 1)} GB`;
  if (availableMb() < LEAST_LEFT_MB) return `${round(availableMb() / 1024, 1)} GB are left on the machine`;
  if (performance.now() > deadline) return 'its time is up';
  return undefined;
}

/** Opens from instance `from` up to `to`; what it came to, and why it stopped when it did. */
async function open(host, recording, from, to, deadline) {
  const [firsts, failures] = [[], []];
  let next = from;
  let why;
  let peakMb = 0;
  let done = false;
  const worker = async () => {
    while (next < to && !why) {
      const number = next++;
      try {
        firsts.push(await openAndLeave(host, recording, number));
      } catch (error) {
        failures.push(`${nameOf(number)}: ${error.message.split('\n')[0]}`);
        if (failures.length > 10) why = 'too many failed';
      }
    }
  };
  const watch = async () => {
    while (!done) {
      const { privateMb } = host.usage();
      peakMb = Math.max(peakMb, privateMb);
      if (next < to) why ??= bound(privateMb, deadline);
      await sleep(2000, undefined, { ref: false });
    }
  };
  void watch();
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  done = true;
  return { reached: next, why, failures, peakMb, firsts };
}

/** Waits until nothing of a host with an idle policy runs, or for a while where nothing would change. Gives the seconds it took. */
async function rest(host) {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const { stopAfter } = host.policy;
  if (stopAfter === undefined) {
    await sleep(SETTLE_SECONDS * 1000);
    return seconds();
  }
  while ((await host.running()) > 0 && seconds() < stopAfter * 3 + 60) await sleep(500);
  return seconds();
}

/** The way back to some of those that were closed and some that vanished, one after the other. */
async function returns(host, recording, count) {
  const figures = { closed: [], vanished: [], failures: [] };
  for (const [kind, wanted] of [['closed', false], ['vanished', true]]) {
    const numbers = Array.from({ length: count }, (_, i) => i).filter((number) => vanishes(number) === wanted);
    for (const number of numbers.slice(-RETURNS)) {
      const id = nameOf(number);
      try {
        const { address } = await host.prepare(id);
        figures[kind].push(await comeBack({ address, recording: recording.steps, pairs: pairsFor(recording, host, id) }));
      } catch (error) {
        figures.failures.push(`${id}: ${error.message.split('\n')[0]}`);
      }
    }
  }
  const all = [...figures.closed, ...figures.vanished].map((one) => one.usableMs);
  const middle = (list) => (list.length > 0 ? round(median(list.map((one) => one.usableMs))) : undefined);
  return {
    medianMs: all.length > 0 ? round(median(all)) : undefined,
    worstMs: all.length > 0 ? round(quantile(all, 1)) : undefined,
    closedMs: middle(figures.closed),
    vanishedMs: middle(figures.vanished),
    failures: figures.failures,
  };
}

async function disk(host, count) {
  const sizes = [];
  for (let number = 0; number < count; number += Math.max(1, Math.floor(count / 10))) sizes.push(await host.disk(nameOf(number)));
  return round(median(sizes), 1);
}

/** One real browser: opens an instance, leaves it, and comes back when it rests. Times in ms. */
async function realReturn(host, number) {
  const { address, path } = await host.prepare(nameOf(number));
  const url = `http://127.0.0.1:${address.port}${path}`;
  const context = await openBrowser();
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    const first = await visit(page, url);
    await sleep(3000);
    await page.goto('about:blank');
    await rest(host);
    const running = await host.running();
    const back = await visit(page, url);
    return { first, back, wasAtRest: host.policy.stopAfter !== undefined && running === 0 };
  } finally {
    await context.close();
  }
}

/** All `levels` of one host, as far as it gets; `minutes` is the time it may take for opening. Ends the host. */
export async function measureHost({ host, recording, levels, minutes, browser = true, say }) {
  const deadline = performance.now() + minutes * 60_000;
  const result = { policy: host.policy.config.trim(), levels: [], failures: [] };
  try {
    let opened = 0;
    for (const level of levels) {
      const began = performance.now();
      const step = await open(host, recording, opened, level, deadline);
      const openSeconds = (performance.now() - began) / 1000;
      result.failures.push(...step.failures);
      const restSeconds = await rest(host);
      const cpuSeconds = host.pids().reduce((sum, pid) => sum + treeCpu(pid), 0) / 1000;
      const { processes, kinds, privateMb, ussMb, pssMb, byKind } = host.usage();
      const cpuPercent = await cpuAtRest(host.pids(), host.root, REST_SECONDS);
      const back = step.reached > 0 ? await returns(host, recording, step.reached) : undefined;
      result.failures.push(...(back?.failures ?? []));
      const figures = {
        level, reached: step.reached, why: step.why, failed: step.failures.length,
        openSeconds: round(openSeconds), restSeconds: round(restSeconds, 1), cpuSeconds: round(cpuSeconds, 1), peakMb: round(step.peakMb),
        firstMs: step.firsts.length > 0 ? round(median(step.firsts)) : undefined,
        processes, kinds, privateMb: round(privateMb, 1), ussMb: round(ussMb, 1), pssMb: round(pssMb, 1),
        byKind: Object.fromEntries(Object.entries(byKind).map(([kind, mb]) => [kind, round(mb, 1)])),
        cpuPercent: round(cpuPercent, 2), diskMb: await disk(host, step.reached), back,
      };
      result.levels.push(figures);
      opened = step.reached;
      say(`${host.name}, ${opened} opened and left: ${processes} processes, ${round(privateMb)} MB, CPU ${figures.cpuPercent} %, back in ${back?.medianMs} ms`);
      if (step.why) break;
      // What was come back to has been left again.
      await rest(host);
    }
    if (browser) result.browser = await realReturn(host, 0).catch((error) => void result.failures.push(`browser: ${error.message.split('\n')[0]}`));
  } finally {
    await host.end();
  }
  return result;
}
