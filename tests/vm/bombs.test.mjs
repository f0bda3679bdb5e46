// Whoever takes too much harms nobody but himself; and whoever was ended for it is told so, and gets his editor back when he asks.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host, hog } from './host.mjs';

const CONFIG = `
[class.small]
memory_high = "infinity"
memory_max = "400M"
tasks_max = 100
disk = "64M"
[class.short]
run_time = "30s"
[instance.mallory]
class = "small"
[instance.sid]
class = "short"
`;

describe('bombs', { timeout: 600_000 }, () => {
  let host;
  before(async () => {
    host = await Host.boot({ config: CONFIG });
    for (const id of ['mallory', 'nora']) await host.probe(id);
    for (const id of ['mallory', 'nora']) await host.open(id);
  });
  after(() => host?.end());

  const events = async (id, file) => Object.fromEntries((await host.cgroup(id, file)).split('\n').map((line) => line.split(' ')));

  /** The neighbour's editor still answers, by the same process, and nobody was killed there. */
  async function neighbourIsWell(engine) {
    await host.open('nora');
    assert.equal(await host.engine('nora'), engine);
    assert.equal((await events('nora', 'memory.events')).oom_kill, '0');
    await host.inside('nora', 'head -c 1M /dev/urandom >~/x && gzip -f ~/x && echo y >/tmp/y');
  }

  test('memory: a child that takes too much is killed, the editor stays', async () => {
    const [engine, neighbour] = [await host.engine('mallory'), await host.engine('nora')];
    const { code } = await host.inside('mallory', 'python3 -c "x = bytearray(1 << 30)"', { check: false });
    assert.equal(code, 137);
    assert.ok(Number((await events('mallory', 'memory.events')).oom_kill) >= 1);
    assert.equal(await host.engine('mallory'), engine);
    await host.open('mallory');
    assert.equal((await host.status('mallory')).state, 'running');
    await neighbourIsWell(neighbour);
  });

  test('processes: a fork bomb ends at its own limit, and with its instance', async () => {
    const neighbour = await host.engine('nora');
    await host.background('mallory', 'bomb() { bomb | bomb & }; bomb; sleep 1000');
    await host.until('the limit', async () => Number((await events('mallory', 'pids.events')).max) > 100);
    assert.ok(Number(await host.cgroup('mallory', 'pids.current')) <= 100);
    await neighbourIsWell(neighbour);
    await host.vm.sh('systemctl stop hoody-code-instance@mallory.service', { timeout: 60_000 });
    const uid = (await host.vm.sh('stat -c %u /data/instances/mallory')).stdout.trim();
    assert.equal((await host.vm.sh(`ps -o pid= -u ${uid} || true`)).stdout, '');
    await comesBack('mallory', 'stopped_by_operator');
  });

  test('disk: one\'s own quota, and no way around it', async () => {
    const neighbour = await host.engine('nora');
    const { code, stderr } = await host.inside('mallory', 'head -c 200M /dev/zero >~/big', { check: false });
    assert.equal(code, 1);
    assert.match(stderr, /quota exceeded/i);
    const used = Number((await host.vm.sh('du -sm /data/instances/mallory | cut -f1')).stdout);
    assert.ok(used > 40 && used <= 65, `${used} MB`);
    await neighbourIsWell(neighbour);
    // Files that are empty take no bytes, and are not without end either.
    const many = `import errno, os
os.mkdir("many")
try:
    for n in range(30000): open(f"many/{n}", "x").close()
except OSError as e: print(n > 1000, errno.errorcode[e.errno])`;
    assert.equal((await host.inside('mallory', `cd ~; rm big; python3 -c '${many}'; rm -r many; head -c 200M /dev/zero >~/big || true`, { timeout: 90_000 })).stdout, 'True EDQUOT\n');
    // With a full disk the editor still opens, also after it was stopped.
    await host.open('mallory');
    assert.deepEqual(await host.broker({ verb: 'stop', id: 'mallory' }), { ok: 'done' });
    await host.state('mallory', 'failed');
    await host.fetch('mallory', '/api/v1/code/start', { method: 'POST' });
    await host.open('mallory');
    await host.inside('mallory', 'rm ~/big; head -c 10M /dev/zero >~/small; rm ~/small');
  });

  /** Says why it was ended, to programs and to people; the page's form brings it back. */
  async function comesBack(id, kind) {
    const status = await host.state(id, 'failed', { deadline: 120_000 });
    assert.deepEqual(status.cause, { kind });
    const machine = await host.fetch(id, '/?folder=/home/user');
    assert.equal(machine.status, 503);
    assert.equal((await machine.json()).error.code, 'instance_stopped');
    const page = await host.fetch(id, '/?folder=/home/user', { headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' } });
    assert.equal(page.status, 503);
    assert.match(page.headers.get('content-type'), /^text\/html/);
    const html = await page.text();
    const [, method, action] = /<form method="(\w+)" action="([^"]+)">/.exec(html) ?? assert.fail(html);
    assert.equal((await host.status(id)).state, 'failed', 'asking has started nothing');
    const url = new URL(action, `${host.url}/i/${id}/`);
    const post = await fetch(url, { method, redirect: 'manual', headers: { accept: 'text/html', origin: host.url } });
    assert.equal(post.status, 303, await post.text());
    assert.equal(new URL(post.headers.get('location'), url).pathname, `/i/${id}/`);
    await host.open(id);
    assert.equal((await host.status(id)).state, 'running');
  }

  test('memory: the engine itself is killed, and that is what the page says', async () => {
    const neighbour = await host.engine('nora');
    // The kernel takes whom it thinks best; that shall be the engine this time.
    await host.vm.sh(`echo 1000 >/proc/${await host.engine('mallory')}/oom_score_adj`);
    await host.background('mallory', 'exec python3 -c "x = bytearray(1 << 30)"');
    await comesBack('mallory', 'out_of_memory');
    await neighbourIsWell(neighbour);
  });

  test('time: a run that may last no longer', async () => {
    await host.open('sid');
    await comesBack('sid', 'time_limit');
  });

  test('the operator stops one', async () => {
    await host.open('olga');
    await host.vm.sh('systemctl stop hoody-code-instance@olga.service');
    await comesBack('olga', 'stopped_by_operator');
  });

  test('the host ends all of one at once, as systemd-oomd does: held, and said', async () => {
    await host.open('olga');
    await host.vm.sh('systemctl kill -s KILL --kill-whom=all hoody-code-instance@olga.service');
    await comesBack('olga', 'killed');
  });

  test('memory short for long: systemd-oomd ends the one that makes it so, and nobody else', async () => {
    const neighbour = await host.engine('nora');
    // In seconds, and with less than in earnest.
    await host.vm.write('/run/systemd/oomd.conf.d/90-test.conf', '[OOM]\nDefaultMemoryPressureDurationSec=1s\n');
    await host.vm.sh(`systemctl set-property --runtime hoody-code-instances.slice ManagedOOMMemoryPressureLimit=5%
      systemctl restart systemd-oomd`);
    await host.open('mallory');
    await host.vm.sh('systemctl set-property --runtime hoody-code-instance@mallory.service MemoryHigh=200M');
    await host.background('mallory', `exec ${hog(280)}`);
    await host.state('mallory', 'failed', { deadline: 120_000 });
    await host.vm.sh(`rm /run/systemd/oomd.conf.d/90-test.conf
      systemctl set-property --runtime hoody-code-instances.slice ManagedOOMMemoryPressureLimit=60%
      systemctl restart systemd-oomd`);
    const killed = (await host.vm.journal(['-u', 'systemd-oomd'])).map(({ MESSAGE }) => MESSAGE).filter((said) => /^Killed /.test(said));
    assert.ok(killed.length > 0 && killed.every((said) => said.includes('hoody-code-instance@mallory.service')), killed.join('\n'));
    // It tells nobody but its journal why; to others that is a SIGKILL from outside.
    await comesBack('mallory', 'killed');
    await neighbourIsWell(neighbour);
  });

  test('an engine that crashes is started by the next request', async () => {
    await host.vm.sh(`kill -SEGV ${await host.engine('olga')}`);
    const status = await host.state('olga', 'failed');
    assert.equal(status.cause.kind, 'crashed');
    await host.open('olga');
  });

  test('the broker killed in the middle of a start: who waits has the editor all the same', async () => {
    const broker = async () => (await host.vm.sh('systemctl show -P MainPID hoody-code-broker')).stdout.trim();
    // Long enough for the kill to find it there.
    await host.vm.write('/etc/systemd/system/hoody-code-instance@broken.service.d/slow.conf', '[Service]\nExecStartPre=/bin/sleep 4\n');
    await host.vm.sh('systemctl daemon-reload');
    const old = await broker();
    const asked = host.fetch('broken', '/?ew=1', { deadline: 120_000 });
    asked.catch(() => {});
    await host.vm.until('systemctl show -P ActiveState hoody-code-instance@broken | grep -qx activating');
    await host.vm.sh(`kill -9 ${old}`);
    assert.equal((await asked).status, 200);
    assert.ok(![old, '0'].includes(await broker()));
    assert.equal((await host.status('broken')).state, 'running');
  });
});
