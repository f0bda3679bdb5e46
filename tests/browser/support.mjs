// The kit of the browser tests. One test is one scene: a directory with a small project, a daemon of its own, and as many
// browser profiles as it likes, none of which is shared with another test. All the scenes of a file share one browser process.
//
//   test('a file is saved', scene(async ({ daemon, project, visit }) => {
//     const page = await visit(daemon.url + '?folder=' + project);     // waits until the editor is up
//     ...
//   }));
//
// A scene fails, too, when a page saw an error that is ours (see watch.mjs), when the daemon does not end properly, or when it
// leaves a process behind. Pictures of a failed scene's pages and its daemon's log are in tests/browser/output.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

import { Daemon } from './daemon.mjs';
import { watch } from './watch.mjs';
import { markReady, ready } from './workbench.mjs';

export { engine, until } from './daemon.mjs';

const output = path.join(path.dirname(fileURLToPath(import.meta.url)), 'output');

/**
 * Defaults of every scene: no question whether a folder is trusted, a file is saved when somebody saves it, and no page of welcome comes
 * late and takes another tab's place.
 */
const SETTINGS = { 'security.workspace.trust.enabled': false, 'files.autoSave': 'off', 'workbench.startupEditor': 'none' };

const LAUNCH = {
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
};

let browser;
after(async () => (await browser)?.close());

/** The file's browser, started when the first scene needs it. */
function sharedBrowser() {
  browser ??= chromium.launch(LAUNCH);
  return browser;
}

/**
 * Makes a test function of `play`. Options: `config` (TOML), `settings` (an object, for `[page.settings]`; `bare: true` leaves
 * the kit's own ones out), `args` and `engine` for the daemon; `start: false` when the scene calls `start(options)` itself.
 */
export function scene(options, play) {
  if (typeof options === 'function') [options, play] = [{}, options];
  return async (t) => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hoody-browser-'));
    const [daemons, contexts, watches] = [[], [], []];
    const stage = {
      directory,
      project: makeProject(path.join(directory, 'project')),
      /** Starts a daemon; several of one scene need an own `name` each. */
      async start({ name = '.', config = '', settings = {}, bare = false, ...rest } = {}) {
        const defaults = Object.entries(bare ? settings : { ...SETTINGS, ...settings });
        const lines = defaults.map(([key, value]) => `${JSON.stringify(key)} = ${JSON.stringify(value)}`);
        const text = [config, '[page.settings]', ...lines, ''].join('\n');
        const daemon = await Daemon.start(path.join(directory, name), { config: text, ...rest });
        daemons.push(daemon);
        return daemon;
      },
      /**
       * A new browser profile with one blank page; `page.watch` has what went wrong in it. It is like a private window, unless it
       * is `lasting`: private windows, and Debian's Chromium without the preference below, give pages in other sites' pages no
       * storage at all.
       */
      async profile({ lasting = false, ...contextOptions } = {}) {
        const options = { viewport: { width: 1280, height: 800 }, ...contextOptions };
        const kept = path.join(directory, `profile-${contexts.length}`, 'Default');
        if (lasting) {
          fs.mkdirSync(kept, { recursive: true });
          fs.writeFileSync(path.join(kept, 'Preferences'), JSON.stringify({ profile: { cookie_controls_mode: 0, block_third_party_cookies: false } }));
        }
        const context = lasting
          ? await chromium.launchPersistentContext(path.dirname(kept), { ...LAUNCH, ...options })
          : await (await sharedBrowser()).newContext(options);
        contexts.push(context);
        await context.addInitScript(markReady);
        const page = context.pages()[0] ?? (await context.newPage());
        page.setDefaultTimeout(30_000);
        page.watch = watch(page);
        watches.push(page.watch);
        return page;
      },
      /** Opens `url` in a new profile (or in `page`) and waits until the editor is up. */
      async visit(url, { page, ...contextOptions } = {}) {
        page ??= await stage.profile(contextOptions);
        page.watch.leave();
        await page.goto(url, { waitUntil: 'commit' });
        await ready(page);
        return page;
      },
      /** Reloads `page` and waits until the editor is up. */
      async reload(page) {
        page.watch.leave();
        await page.reload({ waitUntil: 'commit' });
        await ready(page);
      },
    };
    try {
      if (options.start !== false) stage.daemon = await stage.start(options);
      await play(stage, t);
      for (const watch of watches) watch.check();
    } catch (error) {
      await keepEvidence(t.name, contexts, daemons, watches);
      throw error;
    } finally {
      for (const context of contexts) await context.close();
      const stopped = await Promise.allSettled(daemons.map((daemon) => daemon.stop()));
      fs.rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
      for (const result of stopped) assert.equal(result.status, 'fulfilled', result.reason?.message);
    }
  };
}

/** A small real project: a git repository with a commit and a few files. */
export function makeProject(dir) {
  const files = {
    'README.md': '# Harbour\n\nCounts the ships in a harbour.\n',
    'package.json': '{\n  "name": "harbour",\n  "version": "1.0.0",\n  "type": "module",\n  "scripts": { "test": "node --test" }\n}\n',
    'src/harbour.js': 'export function arrive(ships, name) {\n  return [...ships, name];\n}\n',
    'src/main.js': "import { arrive } from './harbour.js';\n\nconsole.log(arrive([], 'Pinta'));\n",
    'notes.txt': 'one\n',
  };
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    fs.writeFileSync(path.join(dir, name), content);
  }
  const git = (...words) =>
    execFileSync('git', ['-C', dir, '-c', 'user.name=Test', '-c', 'user.email=test@example.com', '-c', 'commit.gpgsign=false', ...words], { stdio: 'ignore' });
  git('init', '--quiet', '--initial-branch=main');
  git('add', '.');
  git('commit', '--quiet', '--no-verify', '--message=First ships');
  return dir;
}

async function keepEvidence(name, contexts, daemons, watches) {
  const stem = path.join(output, name.replace(/[^\w-]+/g, '-').slice(0, 80));
  fs.mkdirSync(output, { recursive: true });
  const pages = contexts.flatMap((context) => context.pages());
  for (const [index, page] of pages.entries()) await page.screenshot({ path: `${stem}-${index}.png`, timeout: 10_000 }).catch(() => {});
  const logs = daemons.map((daemon) => daemon.output);
  const seen = watches.map((watch) => `--- ${watch.page.url()}\n${watch.all.join('\n')}`);
  fs.writeFileSync(`${stem}.log`, [...logs, ...seen].join('\n'));
}

/** Keeps a picture to look at, when HOODY_CODE_PICTURES names a directory. */
export async function picture(page, name) {
  const dir = process.env.HOODY_CODE_PICTURES;
  if (dir) await page.screenshot({ path: path.join(dir, `${name}.png`) });
}
