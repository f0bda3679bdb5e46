// Two services on one host, as docs/fleet.md sets a second one up: own user, configuration, sockets, state; one broker, which holds each to its
// own instances.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { blocks } from './documents.mjs';
import { Host, Vm } from './host.mjs';

/** A configuration as the documents have it; the tests ask for no password. */
const lab = (memory) => `[server]\nauth = "none"\n[page]\nname = "Laboratory"\n[class.default]\nmemory_max = "${memory}"\n`;

for (const suite of ['trixie', 'bookworm']) {
  describe(`a second service, ${suite}`, { skip: !Vm.fits(suite), timeout: 600_000 }, () => {
    let host, vm, port;
    const out = async (script, options) => (await vm.sh(script, options)).stdout.trim();
    const show = (property, unit) => out(`systemctl show -P ${property} ${unit}`);
    const second = (id, below) => fetch(`http://127.0.0.1:${port}/i/${id}${below}`, { redirect: 'manual', signal: AbortSignal.timeout(90_000) });
    const listed = async (socket = '') => JSON.parse(await out(`hoody-code instances list --json ${socket}`)).map(({ id, state }) => `${id} ${state}`);
    const LAB = '--socket /run/hoody-code/lab/control.sock';
    const open = (id) => host.until(`${id} opens`, async () => (await second(id, '/?folder=/home/user')).status === 200, { deadline: 90_000 });

    before(async () => {
      host = await Host.boot({ suite, config: '[page]\nname = "Main"' });
      vm = host.vm;
      await host.open('acme-web-code-1');
      // The documents' own files and lines.
      const [heading, fleet] = ['A second service on a host', 'fleet.md'];
      for (const text of [...blocks(heading, 'toml', fleet), ...blocks(heading, 'ini', fleet)]) await vm.write(/^# (\S+)$/m.exec(text)[1], text);
      await vm.sh(blocks(heading, 'sh', fleet)[0], { timeout: 60_000 });
      assert.equal(await out('systemctl is-enabled hoody-code@lab hoody-code@lab.socket hoody-code-control@lab.socket'), 'enabled\nenabled\nenabled');
      assert.equal(await out('stat -c %a:%U /var/lib/hoody-code-lab/auth/password'), '600:hoody-code-lab');
      await vm.write('/etc/hoody-code/lab/config.toml', lab('1G'), { mode: '0640', group: 'hoody-code-lab' });
      await vm.sh('systemctl restart hoody-code@lab', { timeout: 60_000 });
      port = await vm.forward('127.0.0.1:8090');
    });
    after(() => host?.end());

    test('each serves its own, and says no to what is the other\'s', async () => {
      await open('acme-web-code-2');
      await open('lab-1');
      assert.deepEqual(await listed(), ['acme-web-code-1 running']);
      assert.deepEqual(await listed(LAB), ['acme-web-code-2 running', 'lab-1 running']);
      assert.match((await (await second('lab-1', '/manifest.json')).json()).name, /^Laboratory/);
      assert.match((await (await host.fetch('acme-web-code-1', '/manifest.json')).json()).name, /^Main/);
      const running = () => out("systemctl list-units --no-legend --plain 'hoody-code-instance@*' | cut -d' ' -f1 | sort");
      const before = await running();
      for (const answer of [await host.fetch('lab-1', '/?folder=/home/user'), await second('acme-web-code-1', '/?folder=/home/user'), await second('nobodys', '/?folder=/home/user')]) {
        assert.ok(answer.status >= 500, `${answer.url}: ${answer.status}`);
      }
      assert.equal(await running(), before);
      for (const words of ['stop lab-1', 'start lab-1', 'restart lab-1', 'remove lab-1 --purge', `remove acme-web-code-1 --purge ${LAB}`]) {
        assert.notEqual((await vm.sh(`hoody-code instances ${words}`, { check: false, timeout: 60_000 })).code, 0, words);
      }
      assert.equal(await running(), before);
      assert.equal((await second('lab-1', '/?folder=/home/user')).status, 200);
    });

    test('the broker holds both to it, whatever they say', async () => {
      // By the unit, its processes are in that group; here, its user is for once.
      await vm.sh('usermod --append --groups hoody-code-broker hoody-code-lab');
      for (const [as, id] of [['hoody-code', 'lab-1'], ['hoody-code-lab', 'acme-web-code-1']]) {
        for (const verb of ['start', 'stop', 'connect', 'show', 'freeze', 'remove', 'purge']) {
          const { refused } = await host.broker({ verb, id }, { as });
          assert.equal(refused?.code, 'configuration', `${as} ${verb} ${id}`);
        }
      }
      assert.equal((await host.broker({ verb: 'show', id: 'lab-1' }, { as: 'hoody-code-lab' })).ok.unit.state, 'active');
      await assert.rejects(host.broker({ verb: 'list', after: null }, { as: 'nobody' }), /Permission denied/);
    });

    test('its configuration counts for its instances, and the host\'s for the others', async () => {
      assert.equal(await host.cgroup('lab-1', 'memory.max'), String(2 ** 30));
      assert.equal(await host.cgroup('acme-web-code-1', 'memory.max'), String(4 * 2 ** 30));
      await vm.write('/etc/hoody-code/lab/config.toml', lab('512M'), { mode: '0640', group: 'hoody-code-lab' });
      await vm.sh('systemctl reload hoody-code');
      assert.equal(await host.cgroup('lab-1', 'memory.max'), String(2 ** 30), 'the other one\'s reload changes nothing');
      await vm.sh('systemctl reload hoody-code@lab');
      await host.until('the new limit', async () => (await host.cgroup('lab-1', 'memory.max')) === String(2 ** 29));
      assert.equal(await host.cgroup('acme-web-code-1', 'memory.max'), String(4 * 2 ** 30));
    });

    test('a mistake in the host\'s configuration changes nobody\'s rights', async () => {
      const refused = async (verb, id, as) => (await host.broker({ verb, id }, { as })).refused?.message ?? '';
      await vm.sh("cp -a /etc/hoody-code/config.toml /run/right; printf 'a mistake' >> /etc/hoody-code/config.toml");
      try {
        assert.equal((await host.broker({ verb: 'show', id: 'lab-1' }, { as: 'hoody-code-lab' })).ok.unit.state, 'active');
        assert.match(await refused('purge', 'lab-1', 'hoody-code'), /lab/);
        await vm.sh('systemctl restart hoody-code-broker', { timeout: 60_000 });
        // It knows of no other service now, and takes nothing away on a guess.
        assert.match(await refused('purge', 'acme-web-code-1', 'hoody-code'), /config\.toml/);
        assert.match(await refused('purge', 'lab-1', 'hoody-code'), /config\.toml/);
      } finally {
        await vm.sh('cp -a /run/right /etc/hoody-code/config.toml');
      }
      assert.equal((await host.broker({ verb: 'show', id: 'lab-1' }, { as: 'hoody-code-lab' })).ok.unit.state, 'active');
    });

    test('it sees nothing of the first one\'s', async () => {
      const pid = await show('MainPID', 'hoody-code@lab');
      assert.equal(await out(`ls /proc/${pid}/root/etc/hoody-code`), 'lab');
      const mine = (file) => vm.sh(`nsenter --mount --target ${pid} setpriv --reuid hoody-code-lab --regid hoody-code-lab --init-groups cat ${file}`, { check: false });
      assert.equal((await mine('/etc/hoody-code/lab/config.toml')).code, 0);
      for (const file of ['/etc/hoody-code/config.toml', '/var/lib/hoody-code/state/idle.json']) assert.notEqual((await mine(file)).code, 0, file);
      const { stdout } = await vm.sh('systemd-analyze security hoody-code@lab.service --no-pager', { timeout: 60_000 });
      assert.ok(Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]) <= 1.5, stdout);
    });

    test('it has HTTPS, metrics and an operator\'s page of its own', async () => {
      await vm.sh(`install -d -m 0750 -g hoody-code-lab /etc/hoody-code/lab/tls && cd /etc/hoody-code/lab/tls
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=localhost -out cert.pem -keyout key.pem 2>/dev/null
        chgrp hoody-code-lab *.pem && chmod 0640 *.pem`);
      const tls = '[tls]\ncertificate = "/etc/hoody-code/lab/tls/cert.pem"\nkey = "/etc/hoody-code/lab/tls/key.pem"\n';
      const dashboard = `[dashboard]\nhashed_password = "${await out('echo boss | hoody-code password')}"\n`;
      await vm.write('/etc/hoody-code/lab/config.toml', `${lab('512M')}${tls}${dashboard}`, { mode: '0640', group: 'hoody-code-lab' });
      await vm.write('/etc/systemd/system/hoody-code-metrics@lab.socket.d/address.conf', '[Socket]\nListenStream=127.0.0.1:9474\n');
      const before = [await host.pid('lab-1'), await show('MainPID', 'hoody-code')];
      const sockets = ['https', 'metrics', 'dashboard'].map((kind) => `hoody-code-${kind}@lab.socket`).join(' ');
      await vm.sh(`systemctl enable ${sockets} && systemctl restart hoody-code@lab`, { timeout: 60_000 });
      assert.equal(await out(`systemctl is-active ${sockets}`), 'active\nactive\nactive');
      assert.match(await out('stat -c %a:%U /run/hoody-code/lab/{https,metrics,dashboard}.sock'), /^(600:root\n?){3}$/);
      const ask = (socket, url) => out(`curl -sk -m 20 -o /dev/null -w '%{http_code}' --unix-socket /run/hoody-code/lab/${socket}.sock ${url}`);
      assert.equal(await ask('https', 'https://localhost/api/v1/code/health'), '200');
      assert.equal(await ask('metrics', 'http://localhost/metrics'), '200');
      assert.equal(await ask('dashboard', 'http://localhost/api/v1/instances'), '401');
      assert.match(await out('curl -s -m 20 http://127.0.0.1:9474/metrics'), /^hoody_code_/m);
      // Off again; nobody's editor has noticed, nor the other service.
      await vm.sh(`rm -r /etc/systemd/system/hoody-code-metrics@lab.socket.d; systemctl disable --now ${sockets}; systemctl restart hoody-code@lab`, { timeout: 60_000 });
      assert.equal(await out('ls /run/hoody-code/lab'), 'control.sock\nhttp.sock');
      assert.deepEqual([await host.pid('lab-1'), await show('MainPID', 'hoody-code')], before);
    });

    test('either is restarted, or killed, and takes its own over again', async () => {
      const pids = async () => [await host.pid('lab-1'), await host.pid('acme-web-code-2'), await host.pid('acme-web-code-1')];
      const before = await pids();
      await vm.sh('systemctl restart hoody-code-broker hoody-code hoody-code@lab', { timeout: 90_000 });
      await vm.sh('systemctl kill -s KILL hoody-code@lab; systemctl kill -s KILL hoody-code');
      await open('lab-1');
      await host.open('acme-web-code-1');
      assert.deepEqual(await listed(), ['acme-web-code-1 running']);
      assert.deepEqual(await listed(LAB), ['acme-web-code-2 running', 'lab-1 running']);
      assert.deepEqual(await pids(), before);
      assert.equal(await out(`hoody-code instances stop lab-1 ${LAB}`, { timeout: 60_000 }), 'lab-1 stopped');
      assert.equal((await second('lab-1', '/?folder=/home/user')).status, 503, 'held by its own operator');
      await vm.sh('systemctl stop hoody-code@lab.socket hoody-code@lab', { timeout: 60_000 });
      assert.equal(await host.pid('acme-web-code-2'), before[1], 'its editors go on without it');
    });
  });
}
