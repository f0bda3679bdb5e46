// What runs below an editor, told apart: a language server is the engine's, a program that is debugged is the user's.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { link } from './link.mjs';
import { scene, until } from './support.mjs';
import { quickOpen } from './workbench.mjs';

const config = '[instances]\nstop_after = "3s"\n';

const status = async (daemon, id) => (await fetch(`${daemon.url}i/${id}/api/v1/code/status`)).json();
const stopped = (daemon, id) => until(`${id} is stopped`, async () => (await status(daemon, id)).state === 'stopped', 60_000);

/** Processes of an instance whose command line has `text` in it. */
const processes = (daemon, id, text) => daemon.instance(id).pids().filter((pid) => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
  } catch {
    return false; // It has ended meanwhile.
  }
});

/** Opens a file that has a language server, waits for that, closes the page. */
async function read(daemon, id, project, visit) {
  const page = await visit(`${daemon.url}i/${id}/?folder=${project}`);
  await quickOpen(page, 'src/main.js');
  await until('the language server runs', () => processes(daemon, id, 'tsserver.js').length > 0, 60_000);
  const { usage } = await status(daemon, id);
  assert.equal(usage.user_processes, 0, JSON.stringify(usage));
  await leave(page);
}

async function leave(page) {
  page.watch.leave();
  await page.context().close();
}

test('a language server keeps no editor, and a program that is debugged does', scene({ config }, async ({ daemon, project, visit }, t) => {
  const program = path.join(project, 'src/watch.cjs');
  const begun = `${program}.runs`;
  fs.writeFileSync(program, `require('node:fs').writeFileSync(${JSON.stringify(begun)}, '');\nsetInterval(() => {}, 1000);\n`);
  fs.mkdirSync(path.join(project, '.vscode'));
  const configurations = [{ type: 'node', request: 'launch', name: 'Watch', program, console: 'internalConsole' }];
  fs.writeFileSync(path.join(project, '.vscode/launch.json'), JSON.stringify({ version: '0.2.0', configurations }));

  // Its network goes: of a page that is closed VS Code tries to end the program, and sometimes is ended before it has.
  const network = await link(t, daemon.port);
  const page = await visit(`${network.url}i/debugger/?folder=${project}`);
  // By its key: another command begins with the same words. A workbench that has just come up may not have bound it yet.
  await until('the program runs', async () => {
    await page.keyboard.press('F5');
    await until('it has begun', () => fs.existsSync(begun), 10_000);
    return true;
  }, 60_000);
  const { usage, generation } = await status(daemon, 'debugger');
  assert.deepEqual(usage.programs, ['node'], JSON.stringify(usage));
  page.watch.leave();
  network.cut();
  await read(daemon, 'reader', project, visit);
  await stopped(daemon, 'reader');
  const kept = await status(daemon, 'debugger');
  assert.deepEqual([kept.state, kept.generation, kept.clients, kept.usage?.programs], ['running', generation, 0, ['node']], JSON.stringify(kept));
  // The debugger's own helpers, which have a session of their own, go with the program.
  for (const pid of processes(daemon, 'debugger', 'watch.cjs')) process.kill(pid);
  await stopped(daemon, 'debugger');
  await leave(page);
}));
