// From package to running host: installed offline on a fresh machine, used, configured, upgraded under an open editor, removed,
// installed again, purged. And the scriptlets of the .rpm on the same machine, for want of one that has rpm. The same on each
// system, from a test file of its own, so that none takes too long.
//
// HOODY_CODE_PACKAGES names a directory with packages; without it they are made here, from the same programs that other tests use.
// With those of an earlier build it is an upgrade from that one; what the older programs say in other words fails then.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Host, Vm } from './host.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const binaries = path.resolve(process.env.HOODY_CODE_BINARIES || path.join(root, 'target/release'));
const PASSWORD = '/var/lib/hoody-code/auth/password';
const SOCKETS = ['hoody-code.socket', 'hoody-code-control.socket', 'hoody-code-broker.socket'];

/** Runs packaging/package.sh and resolves to the files it has made. */
function make(kind, directory, ...words) {
  const script = path.join(root, 'packaging/package.sh');
  const output = execFileSync(script, [kind, '--binaries', binaries, '--out', directory, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  return output.trim().split('\n');
}

/** The tests, on a guest of that suite. */
export function operatorsDay(suite) {
  describe(`packages on ${suite}`, { timeout: 1_200_000, skip: Vm.fits(suite) ? false : `programs built here do not run on ${suite}` }, () => {
    const cookies = {};
    let vm, host, scratch, debs, upgrade, rpm, engineRpm;
    const out = async (script, options) => (await vm.sh(script, options)).stdout.trim();
    const show = (property, unit) => out(`systemctl show -P ${property} ${unit}`);
    // The configuration is changed here, and nobody is there to answer questions about it.
    const dpkg = (words) => out(`cd /root/packages && dpkg --force-unsafe-io --force-confold ${words} </dev/null 2>&1`, { timeout: 300_000 });
    const engineOf = (name) => debs.find((file) => path.basename(file).startsWith(`${name}_`));
    const names = () => [path.basename(engineOf('hoody-code')), path.basename(engineOf('hoody-code-engine'))];

    const signIn = async (id = 'alice') => {
      const body = JSON.stringify({ password: (await vm.read(PASSWORD)).trim() });
      const answer = await host.fetch(id, '/api/v1/code/login', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
      assert.equal(answer.status, 200, await answer.text());
      cookies[id] = answer.headers.getSetCookie().map((one) => one.split(';')[0]).join('; ');
    };
    const as = (below, id = 'alice') => host.fetch(id, below, { headers: { Cookie: cookies[id] } });
    /** Opens the editor; resolves to its page. */
    const open = (id) => host.until('the editor opens', async () => {
      const answer = await as('/?folder=/home/user', id);
      const page = await answer.text();
      return answer.status === 200 && page;
    }, { deadline: 90_000 });
    const title = async () => (await (await as('/manifest.json')).json()).name;
    const cursor = async () => (await out('journalctl --sync; journalctl -q -n1 -o cat --show-cursor | tail -n1')).replace('-- cursor: ', '');
    const serving = async () => {
      for (const unit of SOCKETS) assert.equal(await out(`systemctl is-enabled ${unit}; systemctl is-active ${unit}`), 'enabled\nactive', unit);
      const health = await host.fetch('alice', '/api/v1/code/health');
      assert.equal(health.status, 200, await health.text());
    };

    before(() => {
      scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'hoody-packages-'));
      const given = process.env.HOODY_CODE_PACKAGES;
      const there = (pattern) => fs.readdirSync(given).filter((name) => pattern.test(name)).map((name) => path.join(given, name));
      debs = given ? there(/\.deb$/) : make('deb', scratch, '--level', '0');
      [rpm] = given ? there(/^hoody-code-\d.*\.rpm$/) : make('rpm', scratch, '--level', '1', '--engine', 'none');
      [engineRpm] = given ? there(/^hoody-code-engine-\d.*\.rpm$/) : [];
      [upgrade] = make('deb', path.join(scratch, 'upgrade'), '--level', '0', '--engine', 'none', '--suffix', '+1');
      assert.equal(debs.length, 2, debs.join());
    });
    after(() => fs.rmSync(scratch, { recursive: true, force: true }));

    before(async () => {
      host = new Host();
      vm = host.vm = await Vm.boot({ suite, name: `packages on ${suite}` });
      // What other tests have from a disk comes from the package here.
      await vm.sh('umount /usr/lib/hoody-code/engines && rmdir -p --ignore-fail-on-non-empty /usr/lib/hoody-code/engines');
      await vm.put([...debs, upgrade], '/root/packages');
      host.port = await vm.forward('127.0.0.1:8080');
      host.url = `http://127.0.0.1:${host.port}`;
    });
    after(() => host?.end());

    test('two files are installed, offline, and it serves; the operator is told where the password is', async () => {
      const said = await dpkg(`-i ${names().join(' ')}`);
      assert.match(said, /serving http:\/\/127\.0\.0\.1:8080\/ - the password is in \/var\/lib\/hoody-code\/auth\/password/);
      await serving();
      assert.equal(await out(`stat -c %a:%U ${PASSWORD}`), '600:hoody-code');
      assert.ok(JSON.stringify(await vm.journal('-u hoody-code')).includes(PASSWORD));
      assert.equal(await out('stat -c %a:%U:%G /etc/hoody-code /etc/hoody-code/conf.d /etc/hoody-code/config.toml'), '750:root:hoody-code\n750:root:hoody-code\n640:root:hoody-code');
      assert.equal(await out('hoody-code config check && hoody code --version'), `/etc/hoody-code/config.toml: can be used\nhoody-code ${await out("dpkg-query -W -f '${Version}' hoody-code")}`);
      assert.equal(await out('dpkg --verify hoody-code hoody-code-engine | grep -v /usr/share/doc/ | grep -v /usr/share/man/ || true'), '');
    });

    test('the first request starts an editor', async () => {
      assert.equal((await host.fetch('alice', '/?ew=1', { headers: { Accept: 'text/html' } })).status, 303, 'to the login');
      await signIn();
      await open();
      assert.ok(await host.engine('alice'));
      await vm.sh('echo of alice >/data/instances/alice/kept');
    });

    test('a mistake in the configuration: the reload fails and says why, what was in force stays', async () => {
      const [from, name, pid] = [await cursor(), await title(), await show('MainPID', 'hoody-code')];
      await vm.write('/etc/hoody-code/conf.d/10-page.toml', '[page]\nnam = "Acme"\n', { mode: '0640', group: 'hoody-code' });
      assert.notEqual((await vm.sh('systemctl reload hoody-code', { check: false })).code, 0);
      const entries = (await vm.journal(['-u', 'hoody-code', `--after-cursor=${from}`])).map((entry) => entry.MESSAGE).join('\n');
      assert.match(entries, /conf\.d\/10-page\.toml.*line 2[^]*unknown field `nam`[^]*did you mean `name`\?/);
      assert.deepEqual([await title(), await show('MainPID', 'hoody-code')], [name, pid]);
    });

    test('without the mistake it is taken, and the journal says what has changed', async () => {
      const from = await cursor();
      await vm.write('/etc/hoody-code/conf.d/10-page.toml', '[page]\nname = "Acme"\n[limits]\nconnections = 100\n[class.default]\nopen_files = 4096\n', { mode: '0640', group: 'hoody-code' });
      await vm.sh('systemctl reload hoody-code');
      await host.until('the new name', async () => (await title()).startsWith('Acme'));
      const entries = (await vm.journal(['-u', 'hoody-code', `--after-cursor=${from}`])).map((entry) => entry.MESSAGE).join('\n');
      assert.match(entries, /configuration reloaded, changed: class\.default\.open_files, limits\.connections, page\.name/);
      assert.match(entries, /\[limits\] connections changed: takes effect at the next start/);
      assert.match(entries, /class\.default\.open_files: instances that run take it up when they are started again/);
    });

    test('an upgrade replaces front and broker; the editor, the session and the configuration go on', async () => {
      const running = async () => [await host.engine('alice'), await host.pid('alice')];
      const daemons = async () => [await show('MainPID', 'hoody-code'), await show('MainPID', 'hoody-code-broker')];
      await vm.sh('echo "# ours" >>/etc/hoody-code/config.toml');
      const [before, old] = [await running(), await daemons()];
      await dpkg(`-i ${path.basename(upgrade)}`);
      assert.match(await out("dpkg-query -W -f '${Version}' hoody-code"), /\+1$/);
      await serving();
      const now = await daemons();
      assert.ok(now.every((pid, index) => pid !== '0' && pid !== old[index]), `${old} became ${now}`);
      assert.deepEqual(await running(), before);
      await open();
      assert.deepEqual(await running(), before, 'the same editor answers');
      assert.match(await title(), /^Acme/);
      assert.match(await vm.read('/etc/hoody-code/config.toml'), /# ours/);
      await dpkg(`-i ${names()[0]}`);
      await serving();
      assert.deepEqual(await running(), before, 'downgraded under it as well');
    });

    test('the engine alone is upgraded: the front is restarted for it by the trigger', async () => {
      const old = await show('MainPID', 'hoody-code');
      await vm.sh('dpkg-trigger --no-await /usr/lib/hoody-code/engines && dpkg --configure --pending', { timeout: 60_000 });
      assert.notEqual(await show('MainPID', 'hoody-code'), old);
      await serving();
    });

    test('a new engine is for editors that start from then on; the old one is there until its last editor has ended', { skip: suite !== 'trixie' && 'once is enough' }, async () => {
      const engines = '/usr/lib/hoody-code/engines';
      const asset = (commit, id) => as(`/stable-${commit}/static/out/vs/code/browser/workbench/workbench.js`, id).then((answer) => answer.arrayBuffer().then(() => answer.status));
      const [old, commit] = [await out(`ls ${engines}`), JSON.parse(await vm.read(`${engines}/${await out(`ls ${engines}`)}/engine.json`)).product.commit];
      const [other, pid] = ['e'.repeat(40), await host.engine('alice')];
      // The same files under another commit, from somewhere else: packing half a gigabyte takes a guest too long.
      await vm.sh(`cp -al ${engines}/${old} /opt/other && cd /opt/other
        for file in engine.json vscode/product.json vscode/out/server-main.js; do sed s/${commit}/${other}/g $file >/tmp/new && rm $file && cp /tmp/new $file; done
        sed -i 's/"created": "20/"created": "21/' engine.json
        mkdir -p /root/new/usr/lib/hoody-code && cd /root/new && cp /usr/lib/hoody-code/engine-upgrade usr/lib/hoody-code/
        mkdir -p .${engines}/other && ln -s /opt/other/* .${engines}/other/ && cd .${engines}/other && rm engine.json node && cp /opt/other/engine.json . && ln /opt/other/node . && cd /root/new
        dpkg-deb -e /root/packages/${names()[1]} DEBIAN && rm DEBIAN/md5sums && sed -i 's/^Version: .*/&+1/' DEBIAN/control && dpkg-deb -Znone -b . /root/packages/other.deb`, { timeout: 120_000 });
      await dpkg('-i other.deb');
      await serving();
      assert.equal(await host.engine('alice'), pid);
      assert.equal(await out(`ls ${engines}/${old}/vscode/out/server-main.js ${engines}/${old}/retired | wc -l`), '2');
      assert.ok((await open()).includes(`stable-${commit}`), 'alice has the page of the old one');
      assert.equal(await asset(commit), 200);
      await signIn('bob');
      assert.ok((await open('bob')).includes(`stable-${other}`), 'bob has the page of the new one');
      assert.equal(await asset(other, 'bob'), 200);
      await vm.sh('hoody-code instances stop alice', { timeout: 60_000 });
      assert.equal(await asset(commit), 404, 'a page that was left open wakes nobody');
      await vm.sh('hoody-code instances start alice', { timeout: 60_000 });
      assert.ok((await open()).includes(`stable-${other}`), 'alice has the new one as well');
      await dpkg('-i other.deb');
      assert.equal(await out(`ls ${engines}`), 'other', 'the old one has gone with the next upgrade');
      // And back: what runs from the newer one goes on.
      await dpkg(`-i ${names()[1]}`);
      assert.equal(await out(`ls ${engines}`), `${old}\nother`);
      assert.ok((await open()).includes(`stable-${other}`));
      await vm.sh('hoody-code instances restart alice', { timeout: 60_000 });
      assert.ok((await open()).includes(`stable-${commit}`), 'what starts has the one that is installed');
    });

    test('removed: nothing of it runs; configuration, state and files stay', async () => {
      await dpkg('-r hoody-code');
      assert.equal(await out('ss -Hltn sport = :8080'), '');
      assert.equal(await out("systemctl list-units --all --no-legend 'hoody-code*' | grep -Ev 'masked|not-found' || true"), '');
      assert.equal(await out('pgrep -f [s]erver-main.js || true; ip -br link show dev hoody0 2>/dev/null || true'), '');
      assert.equal(await out(`cat /data/instances/alice/kept; ls ${PASSWORD} /etc/hoody-code/conf.d`), `of alice\n${PASSWORD}\n\n/etc/hoody-code/conf.d:\n10-page.toml`);
    });

    test('installed again: the same password, the same files, the same user', async () => {
      const uid = await out('stat -c %u /data/instances/alice');
      await dpkg(`-i ${names()[0]}`);
      await serving();
      await signIn();
      await open();
      assert.match(await title(), /^Acme/);
      assert.equal(await out('stat -c %u /data/instances/alice; cat /data/instances/alice/kept'), `${uid}\nof alice`);
    });

    test('purged: configuration and state go, people\'s files stay, and it says where; nothing asks', async () => {
      const uid = await out('stat -c %u /data/instances/alice');
      const said = await dpkg('--purge hoody-code');
      assert.match(said, /people's files stay in \/data\/instances/);
      assert.equal(await out('ls -d /etc/hoody-code /var/lib/hoody-code/auth /run/hoody-code* /etc/systemd/system/*/hoody-code* /etc/systemd/system/hoody-code* 2>/dev/null || true'), '');
      assert.equal(await out('cat /data/instances/alice/kept; ls /var/lib/hoody-code-broker/accounts/alice'), 'of alice\n/var/lib/hoody-code-broker/accounts/alice');
      await dpkg(`-i ${names()[0]}`);
      await serving();
      await signIn();
      await open();
      assert.equal(await out('stat -c %u /data/instances/alice'), uid, 'whose they are is known still');
      assert.doesNotMatch(await title(), /^Acme/);
    });

    test('the scriptlets of the .rpm do what those of the .deb do', { skip: suite !== 'trixie' && 'once is enough' }, async () => {
      await dpkg('--purge hoody-code');
      const unpacked = path.join(scratch, 'rpm');
      fs.mkdirSync(unpacked);
      execFileSync('bash', ['-c', 'rpm2cpio "$1" | cpio -idm --quiet', 'bash', rpm], { cwd: unpacked });
      const scriptlet = (name, count, file = rpm) => {
        const text = execFileSync('rpm', ['-qp', '--qf', `%{${name}}`, file], { encoding: 'utf8' });
        return out(`sh -eu -s -- ${count} <<'END'\n${text}\nEND`, { timeout: 90_000 });
      };
      await vm.put(['usr', 'etc'].map((name) => path.join(unpacked, name)), '/');
      assert.match(await scriptlet('POSTIN', 1), /the password is in/);
      await serving();
      await signIn();
      await open();
      const [engine, front] = [await host.engine('alice'), await show('MainPID', 'hoody-code')];
      await scriptlet('POSTIN', 2);
      await serving();
      assert.notEqual(await show('MainPID', 'hoody-code'), front);
      assert.equal(await host.engine('alice'), engine);
      if (engineRpm) {
        // An upgrade of the engine under an open editor, in rpm's order: before the new files, the old ones go, after all.
        const engines = '/usr/lib/hoody-code/engines';
        const id = (await out(`readlink /proc/${engine}/exe`)).split('/').at(-2);
        await scriptlet('PREIN', 2, engineRpm);
        await vm.sh(`rm -rf ${engines}/${id}`);
        await scriptlet('POSTTRANS', 2, engineRpm);
        assert.equal(await out(`ls ${engines}/${id}/retired`), `${engines}/${id}/retired`);
        assert.equal(await host.engine('alice'), engine);
        await open();
        await scriptlet('PREUN', 1, engineRpm);
        assert.equal(await out(`ls ${engines}/${id}/engine.json`), `${engines}/${id}/engine.json`, 'an upgrade removes nothing that is in use');
        await scriptlet('PREUN', 0, engineRpm);
        assert.equal(await out(`ls ${engines}`), '', 'nothing is left that the package has kept');
      }
      await scriptlet('PREUN', 0);
      assert.equal(await out('ss -Hltn sport = :8080; pgrep -f [s]erver-main.js || true'), '');
      assert.match(await scriptlet('POSTUN', 0), /people's files stay in \/data\/instances/);
      await dpkg('--purge hoody-code-engine');
      assert.equal(await out('ls /usr/lib/hoody-code 2>/dev/null || true'), '');
    });
  });
}
