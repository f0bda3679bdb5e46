// Makes docs/screens/dashboard-*.png: the operator's page over real editors. By hand: node tests/browser/dashboard-screens.mjs

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import { Daemon, until } from './daemon.mjs';
import { PHONE, SMALL_PHONE } from './devices.mjs';
import { SETTINGS, makePrompt, makeTides } from './tides.mjs';
import { markReady, openTerminal, ready, typeCommand } from './workbench.mjs';

const target = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../docs/screens');
fs.mkdirSync(target, { recursive: true });

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hoody-screens-'));
const project = makeTides(directory);
fs.writeFileSync(path.join(directory, 'operator'), 'boss', { mode: 0o600 });
const dashboard = `[dashboard]\nlisten = "127.0.0.1:0"\npassword_file = "${path.join(directory, 'operator')}"\n`;
const daemon = await Daemon.start(directory, { config: dashboard + SETTINGS });
makePrompt(daemon);
const url = await until('where it is', () => /dashboard: (http:\S+)/.exec(daemon.output)?.[1]);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });

/** An editor with something to do now and then. */
async function work(id, command) {
  const page = await (await browser.newContext({ viewport: { width: 1000, height: 700 } })).newPage();
  await page.addInitScript(markReady);
  await page.goto(`${daemon.url}i/${id}/?folder=${project}`);
  await ready(page);
  await openTerminal(page);
  await typeCommand(page, command);
  return page;
}

/** The page, signed in, that looks more often than it would: so that a picture is there within a minute. */
async function open(device) {
  const page = await (await browser.newContext(device)).newPage();
  await page.addInitScript(() => {
    const wait = globalThis.setTimeout;
    globalThis.setTimeout = (what, time) => wait(what, time === 2000 ? 300 : time);
  });
  await page.goto(url);
  await page.getByLabel('Password').fill('boss');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('article').first().waitFor();
  return page;
}

const keep = (page, name) => page.screenshot({ path: path.join(target, `${name}.png`) });
const of = (page, id) => page.locator('article', { has: page.getByText(id, { exact: true }) });

try {
  const start = (id) => fetch(`${daemon.url}i/${id}/?ew=1`);
  for (const id of ['acme-api-code-1', 'harbour-code-1', 'lessons-code-1', 'lessons-code-2']) await start(id);
  const desk = await open({ viewport: { width: 1280, height: 720 }, colorScheme: 'light' });
  const dark = await open({ ...SMALL_PHONE, colorScheme: 'dark' });
  const phone = await open({ ...PHONE, colorScheme: 'light' });
  for (const page of [desk, dark, phone]) page.on('dialog', (dialog) => dialog.accept());
  const busy = 'while true; do node -e "for (let end = Date.now() + 700; Date.now() < end;);"; sleep 4; done';
  await work('acme-web-code-1', busy);
  await of(desk, 'lessons-code-2').getByRole('button', { name: 'Stop' }).click();
  await work('acme-web-code-2', 'node src/main.js');
  await until('the lines are long', async () => {
    const line = await of(phone, 'acme-web-code-1').locator('.line').nth(1).getAttribute('d');
    return line?.split('L').length > 60;
  }, 180_000);
  await of(desk, 'acme-web-code-1').getByRole('button', { name: 'Logs' }).click();
  await of(desk, 'acme-web-code-1').locator('pre').getByText('connection established').first().waitFor();
  await keep(desk, 'dashboard-1280x720');
  await keep(phone, 'dashboard-390x844');
  await of(dark, 'acme-web-code-1').getByRole('button', { name: 'Logs' }).click();
  await of(dark, 'acme-web-code-1').locator('pre').getByText('connection established').first().waitFor();
  await dark.evaluate(() => scrollTo(0, 0));
  await keep(dark, 'dashboard-360x780-dark');
} finally {
  await browser.close();
  await daemon.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}
console.log(target);
