// What the broker does to an instance that runs, or is to be gone: by packets, as the front sends them.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host } from './host.mjs';

// Three ids: one is used again as soon as it is free, and not before.
const CONFIG = `
[accounts]
uids = "2000300000-2000300003"
`;

describe('freeze, reclaim, remove, purge', { timeout: 600_000 }, () => {
  let host;
  before(async () => {
    host = await Host.boot({ config: CONFIG });
    await host.probe('paula'); // uses the first id for a moment
    await host.open('paula');
  });
  after(() => host?.end());
  const out = async (script, options) => (await host.vm.sh(script, options)).stdout.trim();
  const done = { ok: 'done' };
  const uid = (id) => out(`stat -c %u /data/instances/${id}`);

  test('frozen, none of it runs; thawed, it goes on', async () => {
    await host.background('paula', 'while :; do echo tick >>ticks; done');
    const size = () => out('stat -c %s /data/instances/paula/ticks 2>/dev/null || echo 0').then(Number);
    await host.until('ticks', async () => (await size()) > 0);
    assert.deepEqual(await host.broker({ verb: 'freeze', id: 'paula' }), done);
    assert.match(await host.cgroup('paula', 'cgroup.events'), /^frozen 1$/m);
    const before = await size();
    assert.equal((await host.broker({ verb: 'show', id: 'paula' })).ok.unit.frozen, true);
    await host.vm.sh('python3 -c "sum(range(2000000))"'); // time in which it could have written a lot
    assert.equal(await size(), before);
    assert.deepEqual(await host.broker({ verb: 'thaw', id: 'paula' }), done);
    await host.until('more ticks', async () => (await size()) > before);
    assert.equal((await host.broker({ verb: 'show', id: 'paula' })).ok.unit.frozen, false);
    await host.inside('paula', 'pkill -f "[w]hile :; do echo tick"; rm ticks');
  });

  test('memory is reclaimed, the editor goes on', async () => {
    // Pages of files that nobody needs at the moment.
    await host.inside('paula', 'head -c 64M /dev/urandom >~/pages && sync ~/pages');
    const cached = async () => Number(/^file (\d+)$/m.exec(await host.cgroup('paula', 'memory.stat'))[1]);
    const before = await cached();
    assert.ok(before > 60e6, String(before));
    const engine = await host.engine('paula');
    assert.deepEqual(await host.broker({ verb: 'reclaim', id: 'paula', bytes: 48 << 20 }), done);
    assert.ok((await cached()) < before - (40 << 20), `${before} → ${await cached()}`);
    await host.open('paula');
    assert.equal(await host.engine('paula'), engine);
    await host.inside('paula', 'rm ~/pages');
  });

  test('what is frozen can be stopped', async () => {
    await host.broker({ verb: 'freeze', id: 'paula' });
    assert.deepEqual(await host.broker({ verb: 'stop', id: 'paula' }), done);
    assert.equal(await out(`ps -o pid= -u ${await uid('paula')} || true`), '');
    await host.state('paula', 'failed');
    await host.fetch('paula', '/api/v1/code/start', { method: 'POST' });
    await host.open('paula');
  });

  test('removed: it does not run, its files and its id stay', async () => {
    const before = await uid('paula');
    await host.inside('paula', 'echo kept >~/kept; echo gone >/tmp/gone');
    assert.deepEqual(await host.broker({ verb: 'remove', id: 'paula' }), done);
    assert.equal(await out(`ps -o pid= -u ${before} || true`), '');
    assert.equal(await out('ls /run/hoody-code-broker/agents /run/hoody-code-broker/etc /run/hoody-code-broker/runs | grep paula || true'), '');
    assert.equal(await out('cat /data/instances/paula/kept; stat -c %u /data/instances/paula; getent passwd hc-paula | cut -d: -f3'), `kept\n${before}\n${before}`);
    await host.fetch('paula', '/api/v1/code/start', { method: 'POST' });
    await host.open('paula');
    assert.equal((await host.inside('paula', 'cat ~/kept; ls /tmp')).stdout, 'kept\n');
  });

  test('purged: all files of it are gone, and only those; its id is free', async () => {
    const own = await uid('paula');
    await host.vm.sh('mkdir -m 777 /srv/others; echo x >/srv/others/x; chmod 666 /srv/others/x');
    await host.open('quentin');
    const other = await uid('quentin');
    assert.notEqual(other, own);
    await host.vm.sh(`echo x >/data/instances/quentin/x; chown ${other} /data/instances/quentin/x`);
    await host.inside('paula', `mkdir -p ~/shut/in/there ~/deep && echo x >~/shut/in/there/x && chmod 000 ~/shut/in/there/x ~/shut/in/there ~/shut/in && chmod 000 ~/shut
      ln -s /srv/others ~/link; ln -s /data/instances/quentin ~/neighbour; ln -s / ~/deep/root; ln -s .. ~/deep/up; mkfifo ~/pipe
      python3 -c '
import os
os.chdir("deep")
for _ in range(1500): os.mkdir("n" * 100); os.chdir("n" * 100)
open("x", "w")'
      mkdir -p "$HOME/$(printf 'a\\nb\\377')"; touch ~/-rf; chmod 000 ~`);
    assert.deepEqual(await host.broker({ verb: 'purge', id: 'paula' }, { timeout: 60_000 }), done);
    assert.equal(await out('ls /data/instances'), 'quentin');
    assert.equal(await out('cat /data/instances/quentin/x /srv/others/x; ls /usr/bin/env'), 'x\nx\n/usr/bin/env');
    assert.equal(await out(`getent passwd ${own} hc-paula || true; ls /run/userdb | grep -e paula -e ${own} || true`), '');
    assert.equal(await out('ls /var/lib/hoody-code-broker/accounts'), 'quentin');
    assert.deepEqual(await host.broker({ verb: 'show', id: 'paula' }).then((reply) => reply.refused.code), 'not_found');
    assert.deepEqual(await host.broker({ verb: 'purge', id: 'paula' }).then((reply) => reply.refused.code), 'not_found');
    assert.equal((await host.broker({ verb: 'show', id: 'quentin' })).ok.unit.state, 'active');
  });

  test('an id is not used again while files of it exist', async () => {
    const held = await uid('quentin');
    // Something that its own user cannot delete, as an operator may leave it.
    await host.vm.sh('install -d /data/instances/quentin/held; echo x >/data/instances/quentin/held/x; chattr +i /data/instances/quentin/held/x');
    const { ok } = await host.broker({ verb: 'purge', id: 'quentin' });
    assert.match(ok.left, /quentin/);
    assert.equal(await out('cat /data/instances/quentin/held/x; ls /var/lib/hoody-code-broker/accounts; getent passwd hc-quentin | cut -d: -f3'), `x\nquentin\n${held}`);
    // All of the range but that one is given away; there is no fourth.
    const uids = [];
    for (const id of ['r', 's', 't']) {
      await host.broker({ verb: 'start', id }).then((reply) => assert.deepEqual(reply, done));
      uids.push(await uid(id));
    }
    assert.equal(new Set([...uids, held]).size, 4);
    assert.equal((await host.broker({ verb: 'start', id: 'u' })).refused !== undefined, true);
    await host.vm.sh('chattr -i /data/instances/quentin/held/x; chown -R hc-quentin /data/instances/quentin/held');
    assert.deepEqual(await host.broker({ verb: 'purge', id: 'quentin' }), done);
    await host.broker({ verb: 'start', id: 'u' }).then((reply) => assert.deepEqual(reply, done));
    assert.equal(await uid('u'), held);
  });
});
