// Rows 3 and 4: what the way through a proxy adds to a request and to a websocket's round trip.

import { median, quantile, round } from './numbers.mjs';
import { httpProbe, pingProbe } from './wire.mjs';

const BLOCK = 200;
const BLOCKS = 15;

/** `ways`: name and address of each way to the same engine (the first is the direct one), or to a peer. */
export async function measure(ways, open) {
  const probes = [];
  for (const { name, address } of ways) probes.push({ name, probe: await open(address), times: [] });
  try {
    // The first block warms connections and compilers up and is not counted.
    for (let block = 0; block <= BLOCKS; block++) {
      for (const { probe, times } of probes) {
        const trips = await probe.trips(BLOCK);
        if (block > 0) times.push(...trips);
      }
    }
  } finally {
    for (const { probe } of probes) probe.end();
  }
  return Object.fromEntries(
    probes.map(({ name, times }) => [name, { median: round(median(times), 1), p99: round(quantile(times, 0.99), 1), count: times.length }]),
  );
}

/** A request that the engine answers from memory: its version. */
export const measureHttp = (engine, ways) => measure(ways, (address) => httpProbe(address, `${engine.base}/version`));

export const measureWebsocket = (engine, ways) => measure(ways, (address) => pingProbe(address, engine.base));
