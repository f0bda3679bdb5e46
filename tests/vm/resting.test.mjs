// An instance that stays for its user's job, on a real host: it has less of the processors, stands still where its class says so, and is
// back for whoever comes. Equal memory is merged where that was asked for, and a host short of memory gives it to who needs it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host, hog } from './host.mjs';

const CONFIG = `
[instances]
stop_after = "10s"
[class.cold]
freeze = true
[class.alike]
ksm = true
[instance.carol]
class = "cold"
[instance.eve]
class = "alike"
`;

const SLICE = '/sys/fs/cgroup/hoody.slice/hoody-code.slice/hoody-code-instances.slice';

describe('resting', { timeout: 600_000 }, () => {
  let host;
  const weight = async (id) => Number(await host.cgroup(id, 'cpu.weight'));
  const still = async (id) => /^frozen 1$/m.test(await host.cgroup(id, 'cgroup.events'));
  const operator = async (line) => (await host.vm.sh(`hoody-code ${line}`)).stdout;
  const job = (id) => host.inside(id, 'cd /tmp; echo hello >page; setsid -f python3 -m http.server 8000 >/dev/null 2>&1');

  before(async () => {
    host = await Host.boot({ config: CONFIG });
  });
  after(() => host?.end());

  test('what nobody uses has a tenth of its weight, also after a reload, and all of it with the next request', async () => {
    await host.probe('bob');
    await host.open('bob');
    assert.equal(await weight('bob'), 100);
    await host.until('bob has less', async () => (await weight('bob')) === 10, { deadline: 90_000 });
    assert.equal((await host.status('bob')).frozen, false);
    await host.configure(CONFIG.replace('[class.cold]', '[class.default]\ncpu_weight = 200\n[class.cold]'));
    await host.until('the new weight counts', async () => (await weight('bob')) === 20, { deadline: 30_000 });
    await host.open('bob');
    await host.until('bob has its own', async () => (await weight('bob')) === 200, { deadline: 30_000 });
    await host.configure(CONFIG);
    await host.until('bob has less again', async () => (await weight('bob')) === 10, { deadline: 90_000 });
    // A front that does not know of it.
    await host.vm.sh('systemctl restart hoody-code');
    await host.open('bob');
    await host.until('bob has its own again', async () => (await weight('bob')) === 100, { deadline: 30_000 });
    await host.vm.sh('hoody-code instances stop bob');
  });

  test('what stands still is shown, asked nothing, and answers the next request to its port', async () => {
    await host.probe('carol');
    await host.open('carol');
    await job('carol');
    const before = (await host.status('carol')).usage;
    await host.until('carol stands still', () => still('carol'), { deadline: 90_000 });
    const began = Date.now();
    const { state, frozen, usage } = await host.status('carol');
    assert.deepEqual([state, frozen], ['running', true]);
    assert.ok(usage.user_processes >= 2 && usage.memory > 0 && usage.cpu_usec >= before.cpu_usec, JSON.stringify(usage));
    assert.match(await operator('instances list'), /^carol +frozen /m);
    assert.match(await operator('instances show carol'), /frozen  true/);
    assert.match(await operator('health'), /status  ok/);
    assert.match((await host.vm.sh('curl -sS --unix-socket /run/hoody-code/control.sock http://localhost/metrics')).stdout, /^hoody_code_instances_frozen 1$/m);
    assert.ok(Date.now() - began < 20_000, 'nobody waits for an agent that cannot answer');
    assert.equal(await still('carol'), true, 'looking is no use of it');
    const page = await host.fetch('carol', '/proxy/8000/page');
    assert.deepEqual([page.status, await page.text()], [200, 'hello\n']);
    assert.equal(await still('carol'), false);
    await host.until('carol has its own', async () => (await weight('carol')) === 100, { deadline: 30_000 });
  });

  test('a front that finds it so has it go on with the next request', async () => {
    await host.until('carol stands still', () => still('carol'), { deadline: 90_000 });
    await host.vm.sh('systemctl restart hoody-code');
    const found = await host.status('carol');
    assert.deepEqual([found.state, found.frozen, found.usage.user_processes], ['running', true, 1]);
    assert.ok(found.usage.memory > 0 && found.usage.processes > 2, JSON.stringify(found));
    // Many at once, of both kinds.
    const answers = await Promise.all([host.open('carol'), ...Array.from({ length: 6 }, () => host.fetch('carol', '/proxy/8000/page'))]);
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal((await host.status('carol')).generation, 1);
  });

  test('what stands still can be stopped', async () => {
    await host.until('carol stands still', () => still('carol'), { deadline: 90_000 });
    const began = Date.now();
    await host.vm.sh('hoody-code instances stop carol');
    assert.ok(Date.now() - began < 15_000);
    assert.equal((await host.vm.sh('systemctl is-active hoody-code-instance@carol || true')).stdout.trim(), 'inactive');
    await host.vm.sh('hoody-code instances start carol');
    await host.until('carol stands still', () => still('carol'), { deadline: 90_000 });
    // By an operator who goes past us: systemd itself stops nothing that stands still.
    await host.vm.sh('systemctl thaw hoody-code-instance@carol && systemctl stop hoody-code-instance@carol', { timeout: 60_000 });
    await host.state('carol', 'failed', { deadline: 30_000 });
    assert.equal((await host.status('carol')).frozen, false);
  });

  test('a class that does not freeze any more lets it go on', async () => {
    await host.vm.sh('hoody-code instances start carol');
    await host.until('carol stands still', () => still('carol'), { deadline: 90_000 });
    await host.configure(CONFIG.replace('freeze = true', 'freeze = false'));
    await host.until('carol goes on', async () => !(await still('carol')), { deadline: 30_000 });
    await host.vm.sh('hoody-code instances stop carol');
    await host.configure(CONFIG);
  });

  test('equal memory is merged where its class says so, and what that saves is shown', async () => {
    // Looking is no use: nobody is to be stopped meanwhile.
    await host.configure(CONFIG.replace('stop_after = "10s"', 'stop_after = "1h"'));
    await host.vm.sh('echo 2000 >/sys/kernel/mm/ksm/pages_to_scan; echo 1 >/sys/kernel/mm/ksm/run');
    await host.open('alice');
    await host.open('eve');
    const look = async () => {
      await host.fetch('eve', '/api/v1/code/status').then((response) => response.text());
      const { usage } = await host.status('eve');
      return usage?.ksm_profit !== undefined && usage.ksm_profit !== 0 && usage;
    };
    const usage = await host.until('something was merged', look, { deadline: 60_000 }).catch(() => undefined);
    const engine = await host.engine('eve');
    const stat = (await host.vm.sh(`cat /proc/${engine}/ksm_stat`)).stdout;
    assert.match(stat, /ksm_merge_any: yes/);
    assert.match((await host.vm.sh(`cat /proc/${await host.engine('alice')}/ksm_stat`)).stdout, /ksm_merge_any: no/);
    assert.equal((await host.status('alice')).usage.ksm_profit, undefined);
    assert.ok(usage, stat);
    assert.match((await host.vm.sh('curl -sS --unix-socket /run/hoody-code/control.sock http://localhost/metrics')).stdout, /^hoody_code_ksm_profit_bytes -?\d+$/m);
    await host.vm.sh('echo 0 >/sys/kernel/mm/ksm/run');
  });

  test('a host short of memory: the front sees it from its sandbox, the unused go early, and the new wait', async () => {
    await host.configure(CONFIG.replace('stop_after = "10s"', 'stop_after = "1h"\nmemory_pressure = "20%"'));
    const { stdout } = await host.vm.sh(`pid=$(systemctl show -P MainPID hoody-code)
      exec nsenter -m -t $pid setpriv --reuid=hoody-code --regid=hoody-code --clear-groups cat /sys/fs/cgroup/memory.pressure ${SLICE}/memory.pressure`);
    assert.equal(stdout.match(/^some avg10=/gm).length, 2, stdout);
    // The host's own last resort would end what makes it short.
    await host.vm.sh('systemctl set-property --runtime hoody-code-instances.slice ManagedOOMMemoryPressure=auto ManagedOOMSwap=auto');
    await host.open('alice');
    // More than it may have without being slowed down, again and again, among the instances.
    const greedy = hog(160);
    await host.vm.sh(`systemd-run --quiet --unit=hog --slice=hoody-code-instances.slice -p MemoryHigh=64M ${greedy}`);
    const pressure = async () => Number(/^some avg10=([\d.]+)/m.exec((await host.vm.sh(`cat ${SLICE}/memory.pressure`)).stdout)[1]);
    await host.until('memory is short', async () => (await pressure()) > 30, { deadline: 60_000 });
    // For that one alone, because of its own limit: nobody else waits, or has to go.
    const whole = async () => Number(/^some avg10=([\d.]+)/m.exec((await host.vm.sh('cat /sys/fs/cgroup/memory.pressure')).stdout)[1]);
    await host.until('the kernel counts it for the whole host all the same', async () => (await whole()) > 30, { deadline: 60_000 });
    const frank = host.open('frank', { deadline: 120_000 });
    frank.catch(() => {});
    // Whoever waits for memory does so for half a minute.
    await host.until('frank does not wait for memory', async () => {
      const { state, stage } = await host.status('frank');
      return state === 'running' || (state === 'starting' && stage !== 'queued');
    }, { deadline: 25_000 });
    await frank;
    assert.equal((await host.status('alice')).state, 'running');
    await host.vm.sh('systemctl stop hog');
    // The same because of what all instances may have together.
    const current = Number((await host.vm.sh(`cat ${SLICE}/memory.current`)).stdout);
    await host.vm.sh(`systemctl set-property --runtime hoody-code-instances.slice MemoryHigh=${current + (64 << 20)}
      systemd-run --quiet --unit=hog --slice=hoody-code-instances.slice ${greedy}`);
    const isFull = async () => Number((await host.vm.sh(`cat ${SLICE}/memory.current`)).stdout) > current + (48 << 20);
    await host.until('memory is short for all', async () => (await isFull()) && (await pressure()) > 30, { deadline: 60_000 });
    const metrics = (await host.vm.sh('curl -sS --unix-socket /run/hoody-code/control.sock http://localhost/metrics')).stdout;
    assert.match(metrics, /^hoody_code_host_pressure_ratio\{resource="memory",kind="some"\} 0\.[1-9]/m);
    const opening = host.open('dave', { deadline: 120_000 });
    await host.until('dave waits', async () => (await host.status('dave')).stage === 'queued', { deadline: 25_000 });
    await host.state('alice', 'stopped', { deadline: 120_000 });
    const said = await host.vm.journal(['-u', 'hoody-code', 'HOODY_INSTANCE=alice']);
    assert.ok(said.some(({ MESSAGE }) => /unused, stopping it/.test(MESSAGE)));
    // Which waited half a minute at most: the shortage is not of its making.
    assert.equal((await opening).status, 200);
    await host.vm.sh('systemctl stop hog');
  });
});
