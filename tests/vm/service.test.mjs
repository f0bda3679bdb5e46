// The daemon as systemd sees it: crash loops, the watchdog, reloads, the line of `systemctl status`, the journal, and how exposed the units are.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host, Vm } from './host.mjs';

/** The most that `systemd-analyze security` may say of a unit (10 is naked); the units without a figure are only shown. */
const EXPOSURE = {
  'hoody-code.service': 1.5,
  'hoody-code-broker.service': 1.5,
  'hoody-code-instance@alice.service': 2.0,
  'hoody-code-network.service': undefined,
  'hoody-code-network@alice.service': undefined,
  'hoody-code-quota@alice.service': undefined,
};

/** Holds the units of a host on which alice runs to their figures. */
async function exposure(vm, t) {
  for (const [unit, most] of Object.entries(EXPOSURE)) {
    const { stdout } = await vm.sh(`systemd-analyze security ${unit} --no-pager`, { timeout: 60_000 });
    const figure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]);
    t.diagnostic(`${vm.suite}: ${unit} ${figure}`);
    const worst = stdout.split('\n').filter((line) => line.includes('✗') && /0\.[1-9]/.test(line)).join('\n');
    if (most !== undefined) assert.ok(figure <= most, `${unit} has ${figure}, more than ${most}:\n${worst}`);
  }
}

describe('the service', { timeout: 600_000 }, () => {
  let host, vm;
  const out = async (script, options) => (await vm.sh(script, options)).stdout.trim();
  const show = (property, unit = 'hoody-code') => out(`systemctl show -P ${property} ${unit}`);
  const health = () => host.fetch('alice', '/api/v1/code/health', { deadline: 240_000 });
  const cursor = async () => (await out('journalctl --sync; journalctl -q -n1 -o cat --show-cursor | tail -n1')).replace('-- cursor: ', '');
  const name = async () => (await (await host.fetch('alice', '/manifest.json')).json()).name.split(' ')[0];

  before(async () => {
    host = await Host.boot({ config: '[page]\nname = "First"' });
    vm = host.vm;
    await host.open('alice');
  });
  after(() => host?.end());

  /** Runs `play` with more lines in the [Service] of a unit, and takes them out again. It starts the unit anew itself. */
  const dropIn = async (unit, lines, play) => {
    const file = `/run/systemd/system/${unit}.service.d/90-test.conf`;
    await vm.write(file, `[Service]\n${lines}\n`);
    await vm.sh('systemctl daemon-reload');
    const remove = () => vm.sh(`rm -f ${file}; systemctl daemon-reload`);
    try {
      await play(remove);
    } finally {
      await remove();
    }
  };

  test('exposure of the units', (t) => exposure(vm, t));

  test('`systemctl status` says how many instances there are', async () => {
    await vm.until('systemctl show -P StatusText hoody-code | grep -q "^1 instance running"');
    assert.match(await out('systemctl status hoody-code --no-pager'), /Status: "1 instance running, \d+ of them idle, 0 starting, 0 failed"/);
    await host.open('bob');
    await vm.until('systemctl show -P StatusText hoody-code | grep -q "^2 instances running"');
    assert.deepEqual(await host.broker({ verb: 'purge', id: 'bob' }), { ok: 'done' });
  });

  for (const unit of ['hoody-code', 'hoody-code-broker']) {
    test(`${unit} crashes as it starts, again and again: its socket stays, and who waits there is served after the repair`, async () => {
      const main = await show('MainPID', 'hoody-code-instance@alice');
      let waiting;
      // Faster than in earnest: past any start limit that could end it.
      await dropIn(unit, 'ExecStart=\nExecStart=/bin/sh -c "exit 1"\nRestartSec=20ms\nRestartSteps=0', async (repair) => {
        await vm.sh(`systemctl restart ${unit}`, { check: false });
        // Browsers wait in the front's socket, the front in the broker's: with what only that can do, a start.
        waiting = unit === 'hoody-code' ? health() : host.open('dave', { deadline: 240_000 });
        waiting.catch(() => {});
        await vm.until(`test $(systemctl show -P NRestarts ${unit}) -ge 12`, { deadline: 120_000 });
        assert.equal(await out(`systemctl is-active ${unit}.socket`), 'active');
        await repair();
      });
      assert.equal((await waiting).status, 200);
      await vm.until(`systemctl is-active -q ${unit}.service`);
      assert.equal(await show('MainPID', 'hoody-code-instance@alice'), main);
      await vm.sh(`systemctl restart ${unit}`, { timeout: 60_000 });
    });
  }

  test('the watchdog bites a front that hangs', async () => {
    await dropIn('hoody-code', 'WatchdogSec=2', async () => {
      await vm.sh('systemctl restart hoody-code', { timeout: 60_000 });
      const [old, main] = [await show('MainPID'), await show('MainPID', 'hoody-code-instance@alice')];
      const from = await cursor();
      await vm.sh(`kill -STOP ${old}`);
      assert.equal((await health()).status, 200, 'who asks meanwhile is answered by the next one');
      assert.notEqual(await show('MainPID'), old);
      assert.equal(await show('NRestarts'), '1');
      const entries = await vm.journal(['-u', 'hoody-code', '_PID=1', `--after-cursor=${from}`]);
      assert.ok(entries.some((entry) => /[Ww]atchdog timeout/.test(entry.MESSAGE)), entries.map((entry) => entry.MESSAGE).join('\n'));
      assert.equal(await show('MainPID', 'hoody-code-instance@alice'), main);
    });
    await vm.sh('systemctl restart hoody-code', { timeout: 60_000 });
  });

  test('a reload takes what is new; of a broken file nothing, and it is said', async () => {
    const pid = await show('MainPID');
    assert.equal(await name(), 'First');
    await host.configure('[page]\nname = "Second"');
    await host.until('the new name', async () => (await name()) === 'Second');
    for (const broken of ['[page]\nname = ', '[page]\nnam = "Third"', '[class.default]\nmemory_max = "many"']) {
      const from = await cursor();
      await assert.rejects(host.configure(broken), /Job for hoody-code.service failed/);
      await host.until('the reason in the journal', async () => {
        const entries = await vm.journal(['-u', 'hoody-code', `--after-cursor=${from}`]);
        return entries.some((entry) => /^hoody-code: .*(config.toml|memory_max)/.test(entry.MESSAGE));
      });
      assert.equal(await name(), 'Second');
    }
    await host.configure('[page]\nname = "First"');
    await host.until('the repaired one', async () => (await name()) === 'First');
    assert.equal(await show('MainPID'), pid);
  });

  test('https, metrics and the operator\'s page are switched on under an open editor', async () => {
    const main = await show('MainPID', 'hoody-code-instance@alice');
    const hash = await out('echo boss | hoody-code password');
    await vm.sh(`install -d -m 0750 -g hoody-code /etc/hoody-code/tls && cd /etc/hoody-code/tls
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=localhost -out cert.pem -keyout key.pem 2>/dev/null
      chgrp hoody-code *.pem && chmod 0640 *.pem`);
    await host.configure(`[page]\nname = "First"\n[tls]\ncertificate = "/etc/hoody-code/tls/cert.pem"\nkey = "/etc/hoody-code/tls/key.pem"\n[dashboard]\nhashed_password = "${hash}"`);
    const sockets = ['https', 'metrics', 'dashboard'].map((kind) => `hoody-code-${kind}.socket`).join(' ');
    // This host asks nobody who he is, and is open to nobody else for that.
    await vm.write('/etc/systemd/system/hoody-code-https.socket.d/local.conf', '[Socket]\nListenStream=\nListenStream=127.0.0.1:8443\n');
    // What the documents say, and nothing else; while people go on asking.
    await vm.sh(`systemctl enable ${sockets}`);
    const waiting = Promise.all(Array.from({ length: 5 }, health));
    await vm.sh('systemctl restart hoody-code', { timeout: 60_000 });
    for (const answer of await waiting) assert.equal(answer.status, 200);
    assert.equal(await out(`systemctl is-active ${sockets}`), 'active\nactive\nactive');
    const ask = (words) => out(`curl -sk -m 20 -o /dev/null -w '%{http_code}' ${words}`);
    assert.equal(await ask('https://localhost:8443/api/v1/code/health'), '200');
    assert.equal(await ask('http://127.0.0.1:9464/metrics'), '200');
    assert.equal(await ask('http://127.0.0.1:9465/api/v1/instances'), '401');
    const login = 'curl -s -c /tmp/jar -m 20 -H "Content-Type: application/json" -d \'{"password":"boss"}\' http://127.0.0.1:9465/api/v1/code/login';
    assert.equal(JSON.parse(await out(login)).expires_in, 12 * 3600);
    const ours = async (below) => JSON.parse(await out(`curl -s -b /tmp/jar -m 20 http://127.0.0.1:9465/api/v1/instances${below}`));
    const { instances, host: seen } = await ours('');
    assert.equal(instances.find(({ id }) => id === 'alice').state, 'running');
    assert.ok(seen.load.length === 3 && seen.processors >= 1, JSON.stringify(seen));
    assert.match((await ours('/alice/logs')).lines.join('\n'), /Extension host agent/);
    assert.equal(await show('MainPID', 'hoody-code-instance@alice'), main, 'nobody\'s editor has noticed');

    // Off again, the same way; and on the way an address that would take the password in the clear.
    await vm.write('/etc/systemd/system/hoody-code-dashboard.socket.d/open.conf', '[Socket]\nListenStream=\nListenStream=9465\n');
    await vm.sh('systemctl daemon-reload; systemctl stop hoody-code-dashboard.socket; systemctl restart hoody-code', { check: false, timeout: 60_000 });
    await host.until('the reason in the journal', async () => (await vm.journal('-u hoody-code -n 50')).some(({ MESSAGE }) => /plain HTTP is for loopback/.test(MESSAGE)));
    await vm.sh(`rm -r /etc/systemd/system/hoody-code-dashboard.socket.d; rm -r /etc/systemd/system/hoody-code-https.socket.d; systemctl disable --now ${sockets}; systemctl restart hoody-code`, { timeout: 60_000 });
    assert.equal((await health()).status, 200);
    assert.equal(await out("ss -Hltn '( sport = :8443 or sport = :9464 or sport = :9465 )'"), '');
    assert.equal(await show('MainPID', 'hoody-code-instance@alice'), main);
    await host.configure('[page]\nname = "First"');
  });

  test('the journal: everything of one tenant by one field, and a request by its id', async () => {
    await host.configure('[page]\nname = "First"\n[instance.carol]\ndisk = "500M"');
    await host.open('carol');
    const answer = await host.fetch('carol', '/callback');
    await answer.text();
    const id = answer.headers.get('x-request-id');
    assert.match(id, /^[0-9a-f]{16}$/);
    const of = (entries) => [...new Set(entries.map((entry) => entry._SYSTEMD_UNIT).filter((unit) => unit?.startsWith('hoody-code')))].sort();
    const everything = ['hoody-code-broker.service', 'hoody-code-instance@carol.service', 'hoody-code-network@carol.service', 'hoody-code-quota@carol.service', 'hoody-code.service'];
    const entries = await vm.journal('HOODY_INSTANCE=carol');
    for (const unit of everything) assert.ok(of(entries).includes(unit), `${unit} is not among ${of(entries)}`);
    assert.ok(entries.every((entry) => !/alice/.test(entry.MESSAGE)));
    assert.deepEqual(of(await vm.journal('INSTANCE=carol')), everything.filter((unit) => unit.includes('@')), 'what its own units say');
    assert.ok(entries.some((entry) => entry.HOODY_VERB === 'connect'), 'each way in is recorded');
    const logs = await out('hoody code instances logs carol --lines 1000 --json');
    const told = logs.split('\n').map((line) => JSON.parse(line));
    for (const unit of everything) assert.ok(of(told).includes(unit), `instances logs: ${unit} is not among ${of(told)}`);
    const [record, ...more] = await vm.journal(`HOODY_REQUEST_ID=${id}`);
    assert.deepEqual(more, []);
    assert.deepEqual([record.HOODY_INSTANCE, record.HOODY_ROUTE, record.HOODY_STATUS], ['carol', 'engine', String(answer.status)]);
    const ids = (await vm.journal('HOODY_INSTANCE=carol MESSAGE=request')).map((entry) => entry.HOODY_REQUEST_ID);
    assert.equal(new Set(ids).size, ids.length);
    // A client's own word for it is not taken over: it could be somebody else's.
    assert.notEqual((await host.fetch('carol', '/api/v1/code/health', { headers: { 'x-request-id': id } })).headers.get('x-request-id'), id);
  });
});

describe('the service on bookworm', { skip: !Vm.fits('bookworm'), timeout: 600_000 }, () => {
  let host;
  before(async () => {
    host = await Host.boot({ suite: 'bookworm' });
    await host.open('alice');
  });
  after(() => host?.end());

  test('exposure of the units', (t) => exposure(host.vm, t));

  test('a daemon that crashes as it starts keeps its socket there as well', async () => {
    const { vm } = host;
    await vm.write('/run/systemd/system/hoody-code.service.d/90-test.conf', '[Service]\nExecStart=\nExecStart=/bin/sh -c "exit 1"\nRestartSec=20ms\n');
    await vm.sh('systemctl daemon-reload; systemctl restart hoody-code', { check: false });
    const waiting = host.fetch('alice', '/api/v1/code/health', { deadline: 240_000 });
    waiting.catch(() => {});
    await vm.until('test $(systemctl show -P NRestarts hoody-code) -ge 12', { deadline: 120_000 });
    await vm.sh('systemctl is-active hoody-code.socket; rm /run/systemd/system/hoody-code.service.d/90-test.conf; systemctl daemon-reload');
    assert.equal((await waiting).status, 200);
  });
});
