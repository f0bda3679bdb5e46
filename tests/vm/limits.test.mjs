// What a class, or one instance, may use: as the kernel has it in the control group's files and in /proc, and while it runs. And what an
// operator puts into an instance: folders, another base system, devices.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host } from './host.mjs';

const MB = 2 ** 20;

const config = ({ memory = '350M', extra = '' } = {}) => `
[class.small]
memory_high = "300M"
memory_max = "${memory}"
swap_max = "64M"
cpu_weight = 50
cpu_quota = "150%"
io_weight = 20
tasks_max = 200
open_files = 2048
${extra}
[class.other]
root_directory = "/srv/base"
[class.image]
root_image = "/srv/base.img"
[instance.ivan]
class = "image"
[instance.sam]
class = "small"
tasks_max = 300
[instance.mia]
mounts = ["/srv/course:/mnt/course", "/srv/in:/mnt/in:rw"]
devices = ["/dev/fuse"]
[instance.rita]
class = "other"
`;

describe('limits', { timeout: 600_000 }, () => {
  let host;
  before(async () => {
    host = await Host.boot({ config: config() });
    // Another base: the host's own again, with something else in one place.
    await host.vm.sh(`mkdir -p /srv/course /srv/in /srv/other /srv/base; echo lesson >/srv/course/one; chmod 1777 /srv/in
      mount --bind / /srv/base; mount -t tmpfs t /srv/base/opt; echo other >/srv/base/opt/which`);
  });
  after(() => host?.end());
  const files = ['memory.high', 'memory.max', 'memory.swap.max', 'cpu.weight', 'cpu.max', 'io.weight', 'pids.max'];
  const limits = async (id) => {
    const texts = [];
    for (const file of files) texts.push(await host.cgroup(id, file));
    return Object.fromEntries(files.map((file, index) => [file, texts[index].replace(/^default /, '')]));
  };
  const openFiles = async (pid) => (await host.vm.sh(`awk '/^Max open files/ { print $4, $5 }' /proc/${pid}/limits`)).stdout.trim();

  test('of the ordinary class', async () => {
    await host.open('otto');
    assert.deepEqual(await limits('otto'), {
      'memory.high': String(3072 * MB), 'memory.max': String(4096 * MB), 'memory.swap.max': 'max', 'cpu.weight': '100',
      'cpu.max': 'max 100000', 'io.weight': '100', 'pids.max': '4096',
    });
    for (const pid of [await host.pid('otto'), await host.engine('otto')]) assert.equal(await openFiles(pid), '65536 65536');
  });

  test('of all together: the host keeps a part for itself', async () => {
    const slice = '/sys/fs/cgroup/hoody.slice/hoody-code.slice/hoody-code-instances.slice';
    const { stdout } = await host.vm.sh(`cat ${slice}/memory.high ${slice}/memory.max ${slice}/pids.max; awk '/^MemTotal/ { print $2 * 1024 }' /proc/meminfo; cat /proc/sys/kernel/pid_max`);
    const [high, max, pids, memory, pidMax] = stdout.trim().split('\n').map(Number);
    assert.ok(Math.abs(high / memory - 0.85) < 0.02 && Math.abs(max / memory - 0.9) < 0.02, stdout);
    assert.ok(pids > 0 && pids <= 0.8 * pidMax, stdout);
    // Terminals are the host's: as many as the kernel can have.
    assert.equal((await host.vm.read('/proc/sys/kernel/pty/max')).trim(), '1048576');
  });

  const small = { 'memory.high': String(300 * MB), 'memory.max': String(350 * MB), 'memory.swap.max': String(64 * MB), 'cpu.weight': '50',
    'cpu.max': '150000 100000', 'io.weight': '20', 'pids.max': '300' };

  test('of a class, with the instance\'s own on top', async () => {
    await host.probe('sam');
    await host.open('sam');
    assert.deepEqual(await limits('sam'), small);
    assert.equal(await openFiles(await host.engine('sam')), '2048 2048');
    assert.equal((await host.inside('sam', 'ulimit -Sn; ulimit -Hn')).stdout, '2048\n2048\n');
    // The agent reads them there; so may whoever wants to know why a build is slow.
    assert.equal((await host.inside('sam', 'cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.max')).stdout.trim(), small['memory.max']);
  });

  test('scratch space is full before the memory is', async () => {
    for (const dir of ['/tmp', '/var/tmp', '/dev/shm']) {
      const { stderr, code } = await host.inside('sam', `head -c 200M /dev/zero >${dir}/x || { rm ${dir}/x; exit 1; }`, { check: false });
      assert.equal(code, 1);
      assert.match(stderr, /No space left/);
    }
    assert.match(await host.cgroup('sam', 'memory.events'), /^oom_kill 0$/m);
  });

  test('a changed limit holds for what runs, the others stay', async () => {
    const [engine, others] = [await host.engine('sam'), await limits('otto')];
    await host.configure(config({ memory: '400M' }).replace('cpu_quota = "150%"', 'cpu_quota = "infinity"').replace('= 300', '= 310'));
    const wanted = { ...small, 'memory.max': String(400 * MB), 'cpu.max': 'max 100000', 'pids.max': '310' };
    await host.until('new limits', async () => (await host.cgroup('sam', 'pids.max')) === '310');
    assert.deepEqual(await limits('sam'), wanted);
    assert.deepEqual(await limits('otto'), others);
    assert.equal(await host.engine('sam'), engine);
    // A file that cannot be used changes nothing.
    await assert.rejects(host.configure('nonsense'), /Job for hoody-code.service failed/);
    assert.deepEqual(await limits('sam'), wanted);
    await host.configure(config());
    await host.until('old limits', async () => (await host.cgroup('sam', 'pids.max')) === '300');
  });

  test('folders of the operator\'s, and devices', async () => {
    await host.vm.sh('mknod -m 666 /dev/unlisted c 1 11'); // the kernel's log
    await host.probe('mia');
    await host.open('mia');
    assert.equal((await host.inside('mia', 'cat /mnt/course/one; ls /srv; echo x >/mnt/in/made; stat -c %U /mnt/in/made')).stdout, 'lesson\nuser\n');
    assert.equal((await host.inside('mia', 'echo x >/mnt/course/two', { check: false })).code, 1);
    assert.equal(await host.vm.read('/srv/in/made'), 'x\n');
    await host.inside('mia', 'exec 3<>/dev/fuse; echo x >/dev/null; head -c1 /dev/urandom >/dev/null; [ -w /dev/tty ] || true');
    const { code, stderr } = await host.inside('mia', 'echo x >/dev/unlisted', { check: false });
    assert.notEqual(code, 0, 'a device that nobody has listed, whatever its mode');
    assert.match(stderr, /not permitted/);
  });

  test('another base system', async () => {
    await host.probe('rita');
    await host.open('rita');
    assert.equal((await host.inside('rita', 'cat /opt/which; id -un; ls /home /data /srv')).stdout, 'other\nuser\n/data:\n\n/home:\nuser\n\n/srv:\n');
    assert.equal((await host.inside('rita', 'touch /usr/x || touch /opt/x', { check: false })).code, 1);
    // What is not for tenants in the host's own is not for them in a copy of it.
    assert.equal((await host.inside('rita', 'ls /etc/ssh /etc/hoody-code /var/log /var/lib/hoody-code 2>/dev/null; cat /etc/subuid', { check: false })).stdout.replace(/^.*:$|^\n?/gm, ''), '');
  });

  test('another base system in an image', async () => {
    // Read-only: what is mounted somewhere needs a directory there already.
    await host.vm.sh(`mkdir /srv/image && cd /srv/image && mkdir -p data dev etc home media mnt opt proc root run srv sys tmp usr var/tmp
      cp -a /bin /sbin /lib* . && cp -a /etc/. etc && echo image >opt/which && mount --bind /usr usr
      mke2fs -q -t ext4 -O ^has_journal -d . /srv/base.img 1600M && umount usr`, { timeout: 60_000 });
    await host.probe('ivan');
    await host.open('ivan');
    assert.equal((await host.inside('ivan', 'cat /opt/which; id -un; ls /home /data /srv')).stdout, 'image\nuser\n/data:\n\n/home:\nuser\n\n/srv:\n');
    assert.equal((await host.inside('ivan', 'touch /usr/x || touch /opt/x', { check: false })).code, 1);
  });
});
