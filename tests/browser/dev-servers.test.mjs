// The dev servers that people use, started in the editor's own terminal and seen through both forms of URL.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { freePort, npmProject, python } from './apps.mjs';
import { picture, scene, until } from './support.mjs';
import { openTerminal, typeCommand } from './workbench.mjs';

/** Opens the editor on `project` with a terminal; gives what is needed to start servers there and to look at them. */
async function workshop({ daemon, visit, profile }, project) {
  // The names below it are this machine, too, so that both forms can be tried.
  const base = daemon.url.replace('127.0.0.1', 'localhost');
  const editor = await visit(`${base}?folder=${project}`);
  await openTerminal(editor);
  return {
    editor,
    type: (line) => typeCommand(editor, line),
    pathForm: (form, port) => `${base}${form}/${port}/`,
    hostForm: (port) => `http://${port}--default.localhost:${daemon.port}/`,
    /** Opens `url`, where nothing may listen yet: the page that waits gives way to the app. */
    async see(url, heading) {
      const page = await profile();
      page.watch.expect(/answer 502|status of 502/);
      // What an app has no icon for is its own affair.
      page.watch.expect(/favicon\.ico/);
      await page.goto(url);
      await page.locator('h1', { hasText: heading }).waitFor({ timeout: 60_000 });
      page.watch.forget();
      return page;
    },
  };
}

/** Clicks, has `line` typed in the editor's terminal, and expects the new text with the click still counted: no reload. */
async function hotReload(page, shop, line, text) {
  const button = page.getByRole('button');
  // Before its script has run nothing counts clicks, or some are counted later.
  await until('a click counts', async () => {
    await button.click();
    return /clicked [1-9]/.test(await button.textContent());
  });
  const clicked = await button.textContent();
  await shop.type(line);
  await page.locator('h1', { hasText: text }).waitFor();
  assert.equal(await button.textContent(), clicked, 'the state outlives the edit');
}

test('vite with React, and an edit that shows at once', scene(async (stage) => {
  const project = await npmProject('vite', path.join(stage.directory, 'vite'));
  const shop = await workshop(stage, project);
  const [below, own] = [await freePort(), await freePort()];
  const vite = `${process.execPath} node_modules/vite/bin/vite.js --strictPort`;
  await shop.type(`${vite} --port ${below} --base /absproxy/${below}/ </dev/null >below.log 2>&1 & ${vite} --port ${own} </dev/null >own.log 2>&1 &`);
  for (const [url, from, to] of [
    [shop.pathForm('absproxy', below), 'Hello', 'Bonjour'],
    [shop.hostForm(own), 'Bonjour', 'Ahoj'],
  ]) {
    const page = await shop.see(url, `${from} from Vite`);
    await hotReload(page, shop, `sed -i s/${from}/${to}/ src/App.jsx`, `${to} from Vite`);
    await picture(page, `vite-${to}`);
  }
}));

test('Next.js in dev mode, and an edit that shows at once', scene(async (stage) => {
  const project = await npmProject('next', path.join(stage.directory, 'next'));
  const shop = await workshop(stage, project);
  const [below, own] = [await freePort(), await freePort()];
  const next = `NEXT_TELEMETRY_DISABLED=1 ${process.execPath} node_modules/next/dist/bin/next dev`;
  await shop.type(`BASE=/absproxy/${below} DIST=.below ${next} -p ${below} </dev/null >below.log 2>&1 &`);
  const page = await shop.see(shop.pathForm('absproxy', below), 'Hello from Next');
  assert.equal(page.url(), shop.pathForm('absproxy', below).slice(0, -1), 'it takes the slash off itself');
  await hotReload(page, shop, 'sed -i s/Hello/Bonjour/ app/page.js', 'Bonjour from Next');
  await picture(page, 'next');
  // One server of it after the other: each takes all the processor that it gets.
  await page.close();
  await shop.type(`kill %1; ${next} -p ${own} </dev/null >own.log 2>&1 &`);
  const other = await shop.see(shop.hostForm(own), 'Bonjour from Next');
  await hotReload(other, shop, 'sed -i s/Bonjour/Ahoj/ app/page.js', 'Ahoj from Next');
}));

test("webpack's dev server, and an edit that shows at once", scene(async (stage) => {
  const project = await npmProject('webpack', path.join(stage.directory, 'webpack'));
  const shop = await workshop(stage, project);
  const [below, own] = [await freePort(), await freePort()];
  const webpack = `${process.execPath} node_modules/webpack/bin/webpack.js serve`;
  await shop.type(`BASE=/absproxy/${below}/ ${webpack} --port ${below} </dev/null >below.log 2>&1 & ${webpack} --port ${own} </dev/null >own.log 2>&1 &`);
  for (const [url, from, to] of [
    [shop.pathForm('absproxy', below), 'Hello', 'Bonjour'],
    [shop.hostForm(own), 'Bonjour', 'Ahoj'],
  ]) {
    const page = await shop.see(url, `${from} from webpack`);
    await hotReload(page, shop, `sed -i s/${from}/${to}/ src/words.js`, `${to} from webpack`);
  }
}));

test('FastAPI with a websocket', scene(async (stage) => {
  const bin = await python();
  fs.copyFileSync(new URL('apps/python/chat.py', import.meta.url), path.join(stage.project, 'chat.py'));
  const shop = await workshop(stage, stage.project);
  const port = await freePort();
  await shop.type(`${bin}/uvicorn chat:app --port ${port} </dev/null >chat.log 2>&1 &`);
  for (const url of [shop.pathForm('proxy', port), shop.hostForm(port)]) {
    const page = await shop.see(url, 'Hello from FastAPI');
    await page.locator('#said', { hasText: 'ahoy to you' }).waitFor();
    // It redirects to a whole URL of its own.
    await page.goto(`${url}ships`);
    assert.deepEqual([page.url(), await page.textContent('body')], [`${url}ships/`, '["Pinta"]']);
  }
}));

test('Rails takes a form from its own page, and knows its name', scene(async (stage) => {
  const ships = path.join(stage.directory, 'rails');
  fs.cpSync(new URL('apps/rails', import.meta.url), ships, { recursive: true });
  const shop = await workshop(stage, ships);
  const port = await freePort();
  await shop.type(`puma --port ${port} config.ru </dev/null >rails.log 2>&1 &`);
  const page = await shop.see(shop.hostForm(port), 'Hello from Rails');
  await page.getByRole('textbox').fill('Pinta');
  await page.getByRole('button').click();
  await page.locator('p', { hasText: 'Pinta' }).waitFor();
  assert.equal(page.url(), shop.hostForm(port), 'it redirects to a whole URL of its own');
}));

test('JupyterLab runs a cell', scene(async (stage) => {
  const bin = await python();
  const notebook = { nbformat: 4, nbformat_minor: 5, metadata: { kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' } },
    cells: [{ cell_type: 'code', id: 'a', metadata: {}, execution_count: null, outputs: [], source: 'print(6 * 7, "ships")' }] };
  fs.writeFileSync(path.join(stage.project, 'ships.ipynb'), JSON.stringify(notebook));
  const shop = await workshop(stage, stage.project);
  const [below, own] = [await freePort(), await freePort()];
  const lab = `${bin}/jupyter-lab --no-browser --allow-root --IdentityProvider.token=tok`;
  await shop.type(`${lab} --port ${below} --ServerApp.base_url=/absproxy/${below}/ </dev/null >below.log 2>&1 & ${lab} --port ${own} --ServerApp.allow_remote_access=True </dev/null >own.log 2>&1 &`);
  for (const url of [shop.pathForm('absproxy', below), shop.hostForm(own)]) {
    const page = await stage.profile();
    // Until it is up; and what it asks of itself and finds missing is its own affair.
    page.watch.expect(/answer (502|404|403)|status of (502|404|403)/);
    page.watch.expect(/jupyter|lab\/|api\//i);
    await page.goto(`${url}lab/tree/ships.ipynb?token=tok`);
    const cell = page.locator('.jp-Notebook .jp-CodeCell').first();
    await cell.waitFor({ timeout: 60_000 });
    await page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').waitFor({ timeout: 60_000 });
    // A notebook that has just come up may not have bound the key yet, or not know the kernel that is there, and ask for one.
    const kernel = page.locator('.jp-Dialog button.jp-mod-accept');
    await until('the cell has run', async () => {
      if (await kernel.isVisible()) await kernel.click();
      await cell.locator('.cm-content').click({ timeout: 5_000 });
      await page.keyboard.press('Control+Enter');
      await cell.locator('.jp-OutputArea-output', { hasText: '42 ships' }).waitFor({ timeout: 3_000 });
      return true;
    }, 60_000);
    await picture(page, `jupyter-${new URL(url).hostname}`);
  }
}));
