// Holds the guest to what other tests take for granted: systemd in order, and the kernel's parts that an installation uses.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Vm } from './vm.mjs';

for (const [suite, systemd] of Object.entries({ trixie: 257, bookworm: 252 })) {
  // The older one runs only where what is built here runs in it: nowhere else is its image made.
  describe(suite, { skip: !Vm.fits(suite), timeout: 600_000 }, () => {
    let vm;
    before(async () => (vm = await Vm.boot({ suite })));
    after(() => vm?.end());
    const out = async (script, options) => (await vm.sh(script, options)).stdout.trim();

    test('systemd is PID 1 and all is well', async () => {
      assert.equal(await out('cat /proc/1/comm'), 'systemd');
      assert.match(await out('systemctl --version'), new RegExp(`^systemd ${systemd} `));
      const state = await out('systemctl is-system-running || systemctl --failed --no-legend --plain');
      assert.equal(state, 'running');
    });

    test('commands: output, status, user, time limit, input', async () => {
      await vm.sh('useradd --create-home alice');
      assert.deepEqual(await vm.sh("echo 'a b'; echo c >&2; exit 3", { check: false }), { stdout: 'a b\n', stderr: 'c\n', code: 3 });
      await assert.rejects(vm.sh('false; true'), /exit status 1/);
      await assert.rejects(vm.sh('sleep 60', { timeout: 300 }), /not within 0.3 s/);
      assert.equal(await out('whoami', { as: 'alice' }), 'alice');
      await vm.write('/etc/some dir/file', "it's\n", { mode: '0640', owner: 'alice' });
      assert.equal(await vm.read('/etc/some dir/file'), "it's\n");
      assert.equal(await out('stat -c %a:%U:%G "/etc/some dir/file"'), '640:alice:alice');
    });

    test('control groups: controllers, pressure, limits', async () => {
      assert.equal(await out('stat -fc %T /sys/fs/cgroup'), 'cgroup2fs');
      const controllers = await out('cat /sys/fs/cgroup/cgroup.controllers');
      for (const wanted of ['cpu', 'io', 'memory', 'pids']) assert.ok(controllers.split(' ').includes(wanted), `no ${wanted}`);
      await vm.sh(`cat /proc/pressure/memory /proc/pressure/cpu /proc/pressure/io
        systemd-run -q --unit=held -p MemoryMax=100M -p TasksMax=20 -p IOWeight=50 -p CPUWeight=50 sleep 1000
        cd /sys/fs/cgroup/system.slice/held.service
        grep -qx 104857600 memory.max; grep -qx 20 pids.max; grep -q 50 io.weight; test -w memory.reclaim; test -e memory.zswap.max
        systemctl freeze held; grep -qx 'frozen 1' cgroup.events; systemctl thaw held; systemctl stop held`);
      await vm.sh(`systemd-run -q --unit=fat -p MemoryMax=60M -p MemorySwapMax=0 python3 -c "x = bytearray(1 << 30)"`);
      await vm.until('systemctl show -p Result --value fat | grep -qx oom-kill');
      await vm.sh('systemctl reset-failed fat');
    });

    test('memory: merging, compressed swap', async () => {
      await vm.sh(`echo 1 >/sys/kernel/mm/ksm/run; grep -qx 1 /sys/kernel/mm/ksm/run; echo 0 >/sys/kernel/mm/ksm/run
        python3 -c "import ctypes; assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0"
        echo Y >/sys/module/zswap/parameters/enabled; echo N >/sys/module/zswap/parameters/enabled
        echo 64M >/sys/block/zram0/disksize; mkswap -q /dev/zram0; swapon /dev/zram0; swapoff /dev/zram0`);
    });

    test('a unit: user, private network, private places, filtered system calls', async () => {
      assert.equal(await out('systemd-run -q --pipe --wait -p User=alice id -un'), 'alice');
      const links = await out('systemd-run -q --pipe --wait -p User=alice -p PrivateNetwork=yes ip -o link');
      assert.deepEqual(links.split('\n').map((line) => line.split(' ')[1]), ['lo:']);
      const homes = '-p TemporaryFileSystem=/home -p BindPaths=/home/alice';
      assert.equal(await out(`mkdir -p /home/bob; systemd-run -q --pipe --wait -p User=alice ${homes} ls /home`), 'alice');
      await vm.sh(`systemd-run -q --pipe --wait -p User=alice -p ProtectSystem=strict -p PrivateDevices=yes -p PrivateTmp=yes \
        -p NoNewPrivileges=yes -p RestrictNamespaces=yes -p CapabilityBoundingSet= -p SystemCallFilter=@system-service true
        ! systemd-run -q --pipe --wait -p SystemCallFilter=~@mount -p SystemCallErrorNumber=EPERM mount -t tmpfs t /mnt
        systemd-run -q --pipe --wait -p DynamicUser=yes -p StateDirectory=dyn touch /var/lib/dyn/x`);
      await vm.sh('unshare --user --map-root-user true', { as: 'alice' });
    });

    test('network: rules, an isolated bridge, a way out', async () => {
      await vm.sh(`ip link add br0 type bridge; ip address add 10.99.0.1/24 dev br0; ip link set br0 up
        for n in 1 2; do
          ip netns add n$n; ip link add v$n type veth peer name eth0 netns n$n
          ip link set v$n master br0 up; bridge link set dev v$n isolated on
          ip -n n$n link set lo up; ip -n n$n link set eth0 up; ip -n n$n address add 10.99.0.1$n/24 dev eth0
          ip -n n$n route add default via 10.99.0.1
        done
        ip link add d0 type dummy; ip link del d0
        sysctl -qw net.ipv4.ip_forward=1`);
      await vm.write('/root/rules', `table inet t {
        chain forward { type filter hook forward priority filter; policy drop
          ct state established,related accept; iifname br0 oifname vec0 accept; }
        chain input { type filter hook input priority filter; iifname br0 fib daddr type local tcp dport 22 counter drop; }
        chain nat { type nat hook postrouting priority srcnat; ip saddr 10.99.0.0/24 oifname vec0 masquerade; }
        chain into { type nat hook prerouting priority dstnat; tcp dport 8099 dnat ip to 10.99.0.11:80; }
      }\n`);
      await vm.sh('nft -f /root/rules; nft list ruleset | grep -q masquerade');
      await vm.until('ip netns exec n1 ping -qc1 -W1 10.99.0.1; ip netns exec n2 ping -qc1 -W1 10.99.0.1');
      // Both reach the host; past it, to each other, they do not get.
      await vm.sh('! ip netns exec n1 ping -qc1 -W1 10.99.0.12');
      await vm.sh('ip netns exec n1 ping -qc1 -W3 10.0.2.2'); // slirp4netns' own address: no network of the host is needed
    });

    test('quotas: a user reaches the limit', async () => {
      await vm.sh('setquota -u alice 0 10M 0 0 /');
      await assert.rejects(vm.sh('head -c 20M /dev/zero >~/big', { as: 'alice' }), /quota exceeded/);
      await vm.sh('head -c 20M /dev/zero >/root/big; rm -f /root/big ~alice/big; setquota -u alice 0 0 0 0 /');
    });

    test('the second disk: btrfs with snapshots and limits', async () => {
      await vm.sh(`mkfs.btrfs -q /dev/ubdb; mount /dev/ubdb /srv; btrfs -q subvolume create /srv/a; btrfs quota enable /srv
        btrfs qgroup limit 10M /srv/a; btrfs subvolume snapshot -r /srv/a /srv/b
        ! dd if=/dev/zero of=/srv/a/big bs=1M count=30 conv=fsync status=none; umount /srv`);
    });

    test('the engine and npm are there', async () => {
      const [engine] = (await out('ls -d /usr/lib/hoody-code/engines/*')).split('\n');
      assert.equal(await out(`stat -c %u:%g:%a ${engine}/engine.json`), '0:0:644');
      assert.match(await out('PATH=/opt/tools/bin:$PATH npm --version', { as: 'alice' }), /^\d+\.\d+\.\d+$/);
    });

    test('a staged tree is installed, serves through a forwarded port, and all of it is there after a reboot', async () => {
      const staged = fs.mkdtempSync(path.join(os.tmpdir(), 'staged-'));
      const files = {
        'lib/systemd/system/web.service': `[Service]\nUser=webby\nStateDirectory=web\nWorkingDirectory=/var/lib/web
ExecStart=/usr/bin/python3 -m http.server 8080 --bind 127.0.0.1\n[Install]\nWantedBy=multi-user.target\n`,
        'usr/lib/sysusers.d/web.conf': 'u webby - "web"\n',
        'usr/lib/tmpfiles.d/web.conf': 'd /var/lib/web 0755 webby webby -\nf /var/lib/web/hello 0644 - - - moin\n',
      };
      try {
        for (const [name, content] of Object.entries(files)) {
          fs.mkdirSync(path.dirname(path.join(staged, name)), { recursive: true });
          fs.writeFileSync(path.join(staged, name), content);
        }
        await vm.install(staged);
      } finally {
        fs.rmSync(staged, { recursive: true });
      }
      assert.equal(await out('readlink /lib'), 'usr/lib');
      await vm.sh('systemctl enable --now --quiet web');
      const port = await vm.forward('127.0.0.1:8080');
      const hello = async () => {
        await vm.until('curl -sf http://127.0.0.1:8080/');
        return (await fetch(`http://127.0.0.1:${port}/hello`)).text();
      };
      assert.equal(await hello(), 'moin');

      await vm.sh('echo kept >/root/kept');
      await vm.reboot();
      assert.equal(await vm.read('/root/kept'), 'kept\n');
      assert.equal(await hello(), 'moin');
      const started = await vm.journal('-u web _PID=1');
      assert.equal(started.filter((entry) => entry.JOB_TYPE === 'start' && entry.JOB_RESULT === 'done').length, 2);

      await vm.sh('echo synced >/root/kept; sync');
      await vm.crash();
      await vm.start();
      assert.equal(await vm.read('/root/kept'), 'synced\n');
      assert.equal(await hello(), 'moin');
      await vm.unforward(port);
      await assert.rejects(fetch(`http://127.0.0.1:${port}/hello`));
    });
  });
}
