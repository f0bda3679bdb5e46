// Rows 3 and 4: what the way through a proxy adds to a request and to a websocket's round trip.

import { median, quantile, round } from './numbers.mjs';
import { onCpu } from './processes.mjs';
import { httpProbe, pingProbe } from './wire.mjs';

const BLOCK = 200;
const BLOCKS = 15;

/**
 * `ways`: name and address of each way to the same engine (the first is the direct one), or to a peer; with the `pid` of who answers,
 * what a trip costs that one of processor time as well: it says what the machine's mood hides.
 */
export async function measure(ways, open) {
  const probes = [];
  for (const { name, address, pid } of ways) probes.push({ name, pid, probe: await open(address), times: [], cpu: [] });
  try {
    // The first block warms connections and compilers up and is not counted.
    for (let block = 0; block <= BLOCKS; block++) {
      for (const { pid, probe, times, cpu } of probes) {
        const before = pid && onCpu(pid);
        const trips = await probe.trips(BLOCK);
        if (block === 0) continue;
        times.push(...trips);
        if (pid) cpu.push((onCpu(pid) - before) / BLOCK);
      }
    }
  } finally {
    for (const { probe } of probes) probe.end();
  }
  return Object.fromEntries(
    probes.map(({ name, times, cpu }) => [
      name,
      { median: round(median(times), 1), p99: round(quantile(times, 0.99), 1), count: times.length, ...(cpu.length > 0 && { cpuUs: round(median(cpu), 1) }) },
    ]),
  );
}

/** A request that the engine answers from memory: its version. */
export const measureHttp = (engine, ways) => measure(ways, (address) => httpProbe(address, `${engine.base}/version`));

export const measureWebsocket = (engine, ways) => measure(ways, (address) => pingProbe(address, engine.base));
