'use strict';
// Written by hoody-code. Node loads this first (--require), in the editor's server and in the processes it forks with the
// same arguments. It switches on V8's compile cache without NODE_COMPILE_CACHE, which every node program in a user's terminal
// would inherit. Nothing here may make a start fail.
try {
  const fs = require('node:fs');
  const path = require('node:path');
  const { enableCompileCache, flushCompileCache } = require('node:module');
  const { isMainThread } = require('node:worker_threads');

  // Read by the C library long ago; users' programs shall not inherit it.
  delete process.env.MALLOC_ARENA_MAX;
  // Good for a server that waits, not for extension hosts, which are forked with these flags.
  process.execArgv = process.execArgv.filter((flag) => !/^--(max-semi-space-size|optimize-for-size)/.test(flag));

  const shared = path.join(__dirname, '..', 'compile-cache');
  if (process.env.HOODY_CODE_WARM === '1') {
    enableCompileCache({ directory: shared, portable: true });
    if (isMainThread) fill();
  } else if (hasOwn(shared)) {
    enableCompileCache({ directory: shared, portable: true });
  } else {
    personal();
  }

  // Node keeps one cache per user id, so the engine's own serves only those who run as whoever added the engine (or have a
  // link there under their id).
  function hasOwn(directory) {
    const [start, end] = [`${process.version}-`, `-${process.getuid()}`];
    return fs.readdirSync(directory).some((name) => name.startsWith(start) && name.endsWith(end));
  }

  // Everybody else has one in the instance's own directory, filled by its first start.
  function personal() {
    const at = process.argv.indexOf('--server-data-dir');
    // VS Code keeps VSCODE_* variables from terminals, not from the extension hosts that shall have this one.
    if (at > 0 && process.argv[at + 1]) process.env.VSCODE_HOODY_COMPILE_CACHE = path.join(process.argv[at + 1], 'compile-cache');
    const directory = process.env.VSCODE_HOODY_COMPILE_CACHE;
    if (!directory) return;
    enableCompileCache({ directory });
    // Written at a clean exit only, and a server is killed. Late enough to be in nobody's way, and what has run by then is in it.
    if (isMainThread) setTimeout(flushCompileCache, 15000).unref();
  }

  // Adding an engine: wait to be told that the page was served, then run the entry points that a server forks as well.
  function fill() {
    if (process.send) {
      setTimeout(() => { flushCompileCache(); process.exit(0); }, 2000);
      return;
    }
    process.once('SIGUSR2', () => {
      flushCompileCache();
      const { fork } = require('node:child_process');
      const out = path.join(__dirname, '..', 'vscode', 'out');
      const script = path.join(out, 'bootstrap-fork.js');
      // Without its messages the extension host ends while it loads, and less of it gets into the cache.
      const language = { userLocale: 'en', osLocale: 'en', resolvedLanguage: 'en', locale: 'en', availableLanguages: {} };
      const nls = JSON.stringify({ ...language, defaultMessagesFile: path.join(out, 'nls.messages.json') });
      const entries = {
        extensionHost: 'vs/workbench/api/node/extensionHostProcess',
        ptyHost: 'vs/platform/terminal/node/ptyHostMain',
        fileWatcher: 'vs/platform/files/node/watcher/watcherMain',
      };
      let running = 0;
      for (const [type, entry] of Object.entries(entries)) {
        const env = {
          ...process.env,
          VSCODE_ESM_ENTRYPOINT: entry,
          VSCODE_NLS_CONFIG: nls,
          VSCODE_EXTHOST_WILL_SEND_SOCKET: 'true',
          VSCODE_HANDLES_UNCAUGHT_ERRORS: 'true',
        };
        running += 1;
        // 'exit' does not come when the fork itself fails, 'close' does in both cases.
        fork(script, [`--type=${type}`], { env, silent: true }).on('error', () => {}).on('close', () => {
          running -= 1;
          if (running === 0) process.exit(0);
        });
      }
    });
  }
} catch {
  // A slower start.
}
