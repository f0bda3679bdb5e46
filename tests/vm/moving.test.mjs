// What the documents say an operator types, to move an instance, to back up and to restore, and to look at a host: these very lines.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { blocks } from './documents.mjs';
import { Host } from './host.mjs';

const ID = 'acme-web-code-1';

describe('moving and backup', { timeout: 600_000 }, () => {
  let host;
  before(async () => {
    host = await Host.boot();
    await host.open(ID);
    await host.open('other');
    await host.vm.sh(`systemctl stop hoody-code-instance@${ID}; cd /data/instances/${ID}
      echo precious >file; ln -s /etc/shadow link; mkdir shut; echo x >shut/x; chmod 0400 shut/x; chmod 0500 shut
      chown -R --no-dereference --reference . .`);
    // As the page asks for it: 32 bytes.
    await host.vm.sh(`head -c 32 /dev/urandom >/var/lib/hoody-code/state/${ID}/mint-key
      cd /var/lib/hoody-code/state/${ID}; chown hoody-code: mint-key; chmod 600 mint-key`);
  });
  after(() => host?.end());
  const out = async (script, options) => (await host.vm.sh(script, options)).stdout.trim();
  const uid = (id = ID) => out(`stat -c %u /data/instances/${id}`);
  const kept = () => out(`cd /data/instances/${ID}; cat file shut/x; readlink link; stat -c '%a %n' shut shut/x file
    sha256sum /var/lib/hoody-code/state/${ID}/{last-opened.json,mint-key}; stat -c '%U %a' /var/lib/hoody-code/state/${ID}/mint-key`);
  /** Everything in the home is the instance's. */
  const owned = async () => assert.equal(await out(`find /data/instances/${ID} ! -uid ${await uid()}`), '');

  test('moved to a host where its user has another number', async () => {
    const [pack, unpack, remove] = blocks('Moving an instance');
    const [before, held] = [await kept(), await uid()];
    await host.vm.sh(pack, { timeout: 120_000 });
    assert.equal((await host.status(ID)).cause?.kind, 'stopped_by_operator');
    await host.vm.sh(remove, { timeout: 120_000 });
    assert.equal(await out(`rm -rf /var/lib/hoody-code/state/${ID}; ls /data/instances`), 'other');
    // The number is somebody else's here.
    await host.vm.sh(`echo '{"uid":${held}}' >/var/lib/hoody-code-broker/accounts/newcomer`);
    await host.vm.sh(unpack, { timeout: 120_000 });
    assert.notEqual(await uid(), held);
    assert.equal(await kept(), before);
    await owned();
    await host.open(ID);
    assert.equal((await host.status(ID)).state, 'running');
    await host.vm.sh('rm /var/lib/hoody-code-broker/accounts/newcomer');
  });

  test('a whole host is restored', async () => {
    const [save, restore] = blocks('Backup and restore');
    const [before, held] = [await kept(), await uid()];
    await host.vm.sh(save, { timeout: 120_000 });
    // A fresh host, on which the front's user has another number.
    await host.vm.sh(`systemctl stop hoody-code.socket hoody-code-control.socket hoody-code-broker.socket hoody-code hoody-code-broker 'hoody-code-instance@*'
      rm -rf /data/instances/* /var/lib/hoody-code /var/lib/hoody-code-broker /etc/hoody-code/* /run/userdb/* /run/hoody-code-broker/*
      groupmod -g 970 hoody-code; usermod -u 970 hoody-code`, { timeout: 60_000 });
    await host.vm.sh(restore, { timeout: 120_000 });
    assert.equal(await uid(), held);
    await host.open(ID);
    assert.equal(await kept(), before);
    assert.equal(await out(`getent passwd hc-${ID} | cut -d: -f3`), held);
    assert.equal(await out('stat -c %U /var/lib/hoody-code/state'), 'hoody-code');
  });

  test('who is whose is found again by the homes; a number in use is given to nobody', async () => {
    const [held, other] = [await uid(), await uid('other')];
    await host.vm.sh(`systemctl stop hoody-code hoody-code-broker 'hoody-code-instance@*'
      rm -rf /var/lib/hoody-code-broker/accounts /run/userdb/*`, { timeout: 60_000 });
    await host.open('third');
    assert.ok(![held, other].includes(await uid('third')), await uid('third'));
    await host.open(ID);
    assert.deepEqual([await uid(), await uid('other')], [held, other]);
    await owned();
    // A home whose number is another's by now is no instance's.
    await host.vm.sh(`mkdir -m 700 /data/instances/copied; touch /data/instances/copied/x; chown -R ${held} /data/instances/copied`);
    const { stderr, code } = await host.vm.sh('hoody-code instances start copied', { check: false });
    assert.equal(code, 75, stderr);
    assert.match(await out('journalctl --sync; journalctl -q --no-pager -u hoody-code-broker HOODY_INSTANCE=copied + INSTANCE=copied + _SYSTEMD_UNIT=hoody-code-broker.service'), /belongs to user \d+, not to user \d+/);
  });

  test('what other documents say to look at', async () => {
    await host.open('alice');
    const typed = [...blocks('To look at', '', 'host.md'), ...blocks(undefined, 'sh', 'troubleshooting.md')].join('')
      .split('\n').map((line) => line.split(/ {3}| #/)[0].trim())
      // From the operator's own machine.
      .filter((line) => line && !line.startsWith('ssh '));
    assert.ok(typed.length >= 9, typed.join('\n'));
    for (const line of typed) {
      // It would go on for ever.
      const script = line.startsWith('systemd-cgtop') ? `${line} --batch --iterations=1` : line;
      const { stdout } = await host.vm.sh(`${script} | cat; exit "\${PIPESTATUS[0]}"`, { timeout: 60_000 });
      assert.notEqual(stdout.trim(), '', line);
    }
    const { headers } = await host.fetch('alice', '/api/v1/code/status');
    const record = await host.vm.journal(`HOODY_REQUEST_ID=${headers.get('x-request-id')}`);
    assert.deepEqual(record.map((entry) => entry.HOODY_INSTANCE), ['alice']);
    assert.match(await out('getent passwd hc-alice'), /\/data\/instances\/alice/);
  });

  test('drained, a reboot changes nothing', async () => {
    await host.vm.sh('hoody-code drain --idle 0s --wait', { timeout: 60_000 });
    assert.equal(await out("systemctl list-units --no-legend 'hoody-code-instance@*' | wc -l"), '0');
    await host.vm.reboot();
    await host.vm.sh('systemctl start hoody-code-broker.socket hoody-code-control.socket hoody-code.socket');
    const refused = await host.fetch(ID, '/?ew=true');
    assert.deepEqual([refused.status, (await refused.json()).error.code], [503, 'draining']);
    assert.match(await out('systemctl status hoody-code | cat'), /Status: "being drained: 0 instances running/);
    await host.vm.sh('hoody-code drain --off');
    await host.open(ID);
  });
});
