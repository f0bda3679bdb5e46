// Settings of node and V8 for low memory, each on an engine of its own that differs in nothing else.

import fs from 'node:fs';
import path from 'node:path';
import { engineEnvironment, warmEngine } from './variant.mjs';
import { measureHost } from './crowd.mjs';
import { keepAll, startOurs } from './hosts.mjs';
import { makeRecording } from './studio.mjs';

const COUNT = Number(process.env.DENSITY_SETTINGS_LEVEL ?? 20);

/** What is tried: flags before all others (forked processes get them too), and variables. `alone`: those that
 * forked processes do not get after all. `cache: false`: no compile cache. */
const VARIANTS = [
  { name: 'as it is' },
  { name: 'no compile cache', cache: false },
  { name: '--optimize-for-size', flags: ['--optimize-for-size'] },
  { name: '--optimize-for-size, server alone', flags: ['--optimize-for-size'], alone: ['--optimize-for-size'] },
  { name: '--max-old-space-size=192', flags: ['--max-old-space-size=192'] },
  { name: '--v8-pool-size=1', flags: ['--v8-pool-size=1'] },
  { name: '--single-threaded-gc', flags: ['--single-threaded-gc'] },
  { name: 'MALLOC_TRIM_THRESHOLD_=64 k', env: { MALLOC_TRIM_THRESHOLD_: '65536' } },
  { name: '--lite-mode', flags: ['--lite-mode'] },
];

export async function measureSettings({ engine, say }) {
  const only = process.env.DENSITY_VARIANTS?.split(';');
  const { recording } = await makeRecording(() => startOurs(keepAll()), say);
  const results = [];
  for (const variant of VARIANTS.filter(({ name }) => !only || only.includes(name))) {
    const dir = engineEnvironment(engine, variant);
    if (variant.cache !== false) await warmEngine(engine, dir);
    const files = fs.existsSync(path.join(dir, 'compile-cache')) ? fs.readdirSync(path.join(dir, 'compile-cache')).length : 0;
    if (variant.cache !== false && files === 0) throw new Error(`${variant.name}: no compile cache was made`);
    const host = await startOurs(keepAll(), `\n[engine]\npath = ${JSON.stringify(dir)}\n`);
    say(variant.name);
    const { levels, failures } = await measureHost({ host, recording, levels: [COUNT], minutes: 10, browser: false, say });
    for (const failure of failures) say(`${variant.name}: ${failure}`);
    results.push({ name: variant.name, ...levels[0] });
  }
  return results;
}
