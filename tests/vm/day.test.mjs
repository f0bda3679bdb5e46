// A developer's day inside an instance: what the sandbox must not be in the way of. And in a real browser's terminal, once.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';

import { markReady, openTerminal, ready, typeCommand } from '../browser/workbench.mjs';
import { Host } from './host.mjs';

describe('a day inside', { timeout: 600_000 }, () => {
  let host;
  before(async () => {
    // No question whether a folder is trusted: it would have the keyboard.
    host = await Host.boot({ config: '[page.settings]\n"security.workspace.trust.enabled" = false' });
    await host.probe('dora');
  });
  after(() => host?.end());
  const say = async (script, options) => (await host.inside('dora', script, { timeout: 60_000, ...options })).stdout.trim();

  test('gcc, make -j, gdb with a breakpoint and no ASLR, strace', async () => {
    assert.equal(await say(`mkdir -p ~/c && cd ~/c
      for n in 1 2 3; do printf 'int f%s(void) { return %s; }\\n' $n $n >f$n.c; done
      printf '#include <stdio.h>\\nint f1(void), f2(void), f3(void);\\nint main(void) { printf("%%d\\\\n", f1() + f2() + f3()); return 0; }\\n' >main.c
      printf 'CFLAGS = -g -O0\\nprog: main.o f1.o f2.o f3.o\\n\\t$(CC) -o $@ $^\\n' >Makefile
      make -s -j4 && for d in . /tmp /var/tmp /dev/shm; do cp prog $d/p && $d/p; done`), '6\n6\n6\n6');
    const gdb = await say(`cd ~/c && gdb -q -batch -ex 'break f2' -ex run -ex bt -ex 'info proc' -ex continue ./prog 2>&1`);
    assert.match(gdb, /Breakpoint 1, f2/);
    assert.match(gdb, /main \(\) at main.c/);
    assert.match(gdb, /exited normally/);
    // gdb switches address randomisation off with personality(2); a filter that refuses it says so.
    assert.doesNotMatch(gdb, /randomization|personality/i);
    assert.match(await say('cd ~/c && strace -f -o trace -e trace=write ./prog; cat trace'), /write\(1, "6\\n", 2\) += 2/);
    assert.match(await say(`cd ~/c && cp prog waiting && printf '#include <unistd.h>\\nint main(void) { for (;;) pause(); }\\n' >w.c && gcc -g -o w w.c
      ./w & p=$!; gdb -q -batch -p $p -ex bt 2>&1; kill $p`), /pause/);
  });

  test('git, tar with foreign owners, links, locks, watches', async () => {
    assert.equal(await say(`git init -q --initial-branch=main ~/g && cd ~/g && git config user.name D && git config user.email d@example.com
      echo a >a && git add . && git commit -q -m first && git clone -q ~/g ~/g2 && git -C ~/g2 log --format=%s`), 'first');
    await host.vm.sh(`mkdir -p /tmp/t/d; echo x >/tmp/t/d/f; chown -R 1234:4321 /tmp/t; tar -C /tmp -cf /usr/local/share/foreign.tar --numeric-owner t`);
    assert.equal(await say('tar -C ~ -xpf /usr/local/share/foreign.tar && stat -c %U ~/t/d/f && tar -C ~ -cf x.tar t && tar tf x.tar | wc -l'), 'user\n3');
    assert.equal(await say(`cd ~ && ln -s t s && ln t/d/f t/d/g && mkfifo p && flock t/d/f echo locked && chmod 000 t/d/g && stat -c %h t/d/f`), 'locked\n2');
    assert.equal(await say(`cat >w.js <<'END'
      const fs = require('fs'); const w = fs.watch('.', (kind, name) => { if (name === 'seen') { console.log('seen'); w.close(); } });
      fs.writeFileSync('seen', '');
END
      $NODE_EXEC_PATH w.js`), 'seen');
  });

  test('node: compiled code, worker threads, os.userInfo, a child, WebAssembly', async () => {
    const { stdout } = await host.inside('dora', `cat >n.js <<'END'
      const { Worker, isMainThread, parentPort } = require('worker_threads');
      if (!isMainThread) { parentPort.postMessage(21 * 2); return; }
      const os = require('os');
      function hot(n) { let s = 0; for (let i = 0; i < n; i++) s = (s + i * 3) | 0; return s; }
      %PrepareFunctionForOptimization(hot); hot(10); %OptimizeFunctionOnNextCall(hot); hot(1e6);
      const wasm = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
      const status = %GetOptimizationStatus(hot);
      new Worker(__filename).on('message', (m) => {
        const { username, homedir, shell, uid } = os.userInfo();
        console.log(JSON.stringify({ m, username, homedir, shell, own: uid === process.getuid(), wasm: String(wasm), optimized: (status & 16) !== 0,
          child: require('child_process').execSync('echo child').toString() }));
      });
END
      $NODE_EXEC_PATH --allow-natives-syntax n.js`);
    assert.deepEqual(JSON.parse(stdout), { m: 42, username: 'user', homedir: '/home/user', shell: '/bin/bash', own: true,
      wasm: '[object WebAssembly.Module]', optimized: true, child: 'child\n' });
  });

  test('npm install, python venv', async () => {
    assert.equal(await say(`export PATH=/opt/tools/bin:$PATH; mkdir -p ~/lib ~/app && cd ~/lib
      echo '{"name":"lib","version":"1.0.0","bin":{"hello":"hello.js"},"scripts":{"install":"node -e \\"require(\\\\\\"fs\\\\\\").writeFileSync(\\\\\\"built\\\\\\",\\\\\\"\\\\\\")\\""}}' >package.json
      printf '#!/usr/bin/env node\\nconsole.log("hello from lib")\\n' >hello.js
      npm pack --silent >/dev/null && cd ~/app && echo '{"name":"app","version":"1.0.0"}' >package.json
      npm install --silent --offline --no-audit --no-fund ~/lib/lib-1.0.0.tgz && npx --offline hello && test -e node_modules/lib/built`,
    { timeout: 90_000 }), 'hello from lib');
    assert.match(await say('python3 -m venv --without-pip ~/v && . ~/v/bin/activate && python3 -c "import sys; print(sys.prefix)"'), /\/v$/);
  });

  test('what is refused, plainly: sudo, other users\' rights, raw sockets', async () => {
    for (const [script, words] of [['sudo -n id', /no new privileges/], ['unshare -Ur true', /not permitted/], ['chown root x.tar', /not permitted/]]) {
      const { code, stderr } = await host.inside('dora', `cd ~; ${script}`, { check: false });
      assert.notEqual(code, 0);
      assert.match(stderr, words);
    }
    // The kernel lets nobody in a new network namespace ping before its own net.ipv4.ping_group_range says so.
    await host.inside('dora', 'ping -c1 -W2 127.0.0.1');
  });

  test('a terminal in a browser has the same sandbox', async () => {
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
    });
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
      page.setDefaultTimeout(60_000);
      await page.addInitScript(markReady);
      await page.goto(`${host.url}/i/tina/?folder=/home/user`, { waitUntil: 'commit' });
      await ready(page);
      await page.keyboard.press('Escape');
      await openTerminal(page);
      // Typed before the shell has its prompt, a line is still there when it has.
      await typeCommand(page, '(id -un; pwd; grep -E "^(Seccomp|NoNewPrivs|CapBnd):" /proc/self/status; tty; cat /proc/self/cgroup; echo $TERM_PROGRAM) >~/said 2>&1; mv ~/said ~/done');
      await host.vm.until('test -e /data/instances/tina/done', { deadline: 60_000 });
    } finally {
      await browser.close();
    }
    const said = (await host.vm.read('/data/instances/tina/done')).trim().split('\n');
    assert.deepEqual(said.slice(0, 5), ['user', '/home/user', 'NoNewPrivs:\t1', 'Seccomp:\t2', 'CapBnd:\t0000000000000000'].toSorted(
      (a, b) => said.indexOf(a) - said.indexOf(b)));
    assert.match(said[5], /^\/dev\/pts\/\d+$/);
    assert.match(said[6], /\/hoody-code-instances\.slice\/hoody-code-instance@tina\.service$/);
    assert.equal(said[7], 'vscode');
  });
});
