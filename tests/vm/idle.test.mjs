// What nobody uses, on a real host: the unit is gone, what somebody runs keeps it, and the tenant's own agent is who tells.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host } from './host.mjs';

describe('idle', { timeout: 600_000 }, () => {
  let host;
  const unit = async (id) => (await host.vm.sh(`systemctl is-active hoody-code-instance@${id} || true`)).stdout.trim();

  before(async () => {
    // A guest without KVM is slow: longer than an instance needs to be opened.
    host = await Host.boot({ config: '[instances]\nstop_after = "10s"' });
  });
  after(() => host?.end());

  test('an unused instance is stopped, and is back with the next request', async () => {
    await host.open('alice');
    const { usage, generation } = await host.status('alice');
    assert.ok(usage.processes >= 2, 'the agent and the engine');
    assert.deepEqual([usage.user_processes, usage.programs, generation], [0, [], 1]);
    const anon = Number(/^anon (\d+)/m.exec(await host.cgroup('alice', 'memory.stat'))[1]);
    assert.ok(usage.memory > anon / 2 && usage.memory < anon * 2, `${usage.memory} is far from the kernel's ${anon}`);
    assert.ok(usage.cpu_usec > 0);
    await host.state('alice', 'stopped', { deadline: 60_000 });
    assert.equal(await unit('alice'), 'inactive');
    await host.open('alice');
    assert.equal((await host.status('alice')).generation, 2);
  });

  test('a job keeps it, through a restart of the front, and its memory is pushed out', async () => {
    await host.probe('bob');
    await host.open('bob');
    await host.inside('bob', 'setsid -f sleep 1000 >/dev/null 2>&1');
    await host.open('alice');
    await host.state('alice', 'stopped', { deadline: 60_000 });
    await host.vm.sh('systemctl restart hoody-code');
    // It has been unused for longer than it takes, and is asked again by a front that knows nothing of the first time.
    await host.until('bob is left alone', async () => / reclaim$/m.test((await host.vm.sh('journalctl -q --no-pager -u hoody-code-broker')).stdout), { deadline: 60_000 });
    const { state, usage } = await host.status('bob');
    // What runs our scripts there is, for the agent, a detached job as well.
    assert.deepEqual([state, usage.user_processes, usage.programs.sort()], ['running', 2, ['python3', 'sleep']]);
    assert.equal(await unit('bob'), 'active');
    // The agent walks through the home as the tenant.
    const { disk } = await host.until('its files are counted', async () => { const status = await host.status('bob'); return status.disk && status; });
    const used = 1024 * Number((await host.vm.sh('du -skx /data/instances/bob')).stdout.split('\t')[0]);
    assert.ok(disk.complete && disk.bytes > 16_384 && disk.bytes < used * 2, `${JSON.stringify(disk)}, ${used} by now`);
    await host.inside('bob', 'setsid -f bash -c "sleep 5; pkill -x sleep; pkill -f hoody-probe" >/dev/null 2>&1');
    await host.state('bob', 'stopped', { deadline: 90_000 });
    assert.equal(await unit('bob'), 'inactive');
    assert.ok((await host.status('bob')).disk.bytes >= disk.bytes, 'what was counted last');
  });
});
