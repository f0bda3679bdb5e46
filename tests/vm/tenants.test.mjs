// Two instances on one host: each has its own user, home, places and network, and nothing of the other. What is held up here is
// what the kernel says (/proc, control groups, an attempt), never what a unit file does.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Host, Vm } from './host.mjs';

const UIDS = [2_000_300_000, 2_000_399_999];

const CONFIG = `
[class.small]
memory_high = "infinity"
memory_max = "400M"
cpu_quota = "150%"
tasks_max = 200
open_files = 2048
disk = "64M"
[instance.dave]
class = "small"
`;

/** Listeners and other things of bob's that alice looks for; it ends when its standard input does. */
const THINGS = `
import ctypes, os, socket, time
def listen(family, address):
    s = socket.socket(family); s.bind(address); s.listen(); return s
kept = [listen(socket.AF_INET, ("127.0.0.1", 7777)), listen(socket.AF_INET, ("0.0.0.0", 7778)),
    listen(socket.AF_UNIX, "\\0of-bob"), listen(socket.AF_UNIX, "/tmp/of-bob.sock")]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.shmget(0x0b0b, 4096, 0o1666) >= 0 and libc.msgget(0x0b0b, 0o1666) >= 0 and libc.semget(0x0b0b, 1, 0o1666) >= 0
assert libc.mq_open(b"/of-bob", os.O_CREAT | os.O_RDWR, 0o666, None) >= 0
for place in ("/tmp/of-bob", "/var/tmp/of-bob", "/dev/shm/of-bob", "/run/user/of-bob", "/home/user/of-bob"):
    open(place, "w").write("secret"); os.chmod(place, 0o666)
os.chmod("/home/user", 0o777)
terminal = os.openpty()
open("/home/user/ready", "w")
time.sleep(100000)
`;

/** Prints a line for each thing of a neighbour's or the host's that it gets at. */
const LOOK = `
import ctypes, glob, os, socket, subprocess, sys
bob_pid, bob_uid, bob_ip = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def leak(what, found):
    if found: print(what, repr(found)[:300])
def connects(family, address):
    s = socket.socket(family); s.settimeout(1.5)
    try: s.connect(address); return True
    except OSError: return False
def readable(path):
    try: return os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(200)
    except OSError: return None
def out(*words):
    try: return subprocess.run(words, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError: return ""
libc = ctypes.CDLL(None)
mine = os.getuid()

leak("homes", [n for n in os.listdir("/home") if n != "user"] + (readable("/root") or []))
leak("data", [p for p, _, f in os.walk("/data") for n in f])
leak("path", readable("/data/instances/bob") or readable("/data/instances/bob/of-bob"))
for place in ("/tmp", "/var/tmp", "/dev/shm", "/run/user", "/home/user", "/dev/mqueue"):
    leak(place, [n for n in os.listdir(place) if "bob" in n or "systemd-private" in n])
leak("run", [n for n in os.listdir("/run") if n not in ("systemd", "user")])
leak("run/systemd", [os.path.join(p, n) for p, _, f in os.walk("/run/systemd") for n in f])
leak("processes", [p for p in os.listdir("/proc") if p.isdigit() and p != "self" and os.stat("/proc/" + p).st_uid != mine])
leak("bob's process", os.path.exists(f"/proc/{bob_pid}"))
for file in ("environ", "cmdline", "cwd", "root/home/user/of-bob", "mem", "fd"):
    leak("bob's " + file, readable(f"/proc/{bob_pid}/{file}"))
leak("trace", libc.ptrace(16, bob_pid, 0, 0) == 0)
leak("signal", libc.kill(bob_pid, 0) == 0)
# Other terminals can be seen there: a number, an owner, when it was last used. Not what is in them.
terminals = glob.glob("/dev/pts/[0-9]*")
print("no terminal of bob's" if not terminals else "", end="")
for path in terminals:
    for how in (os.O_RDONLY, os.O_WRONLY):
        try: os.close(os.open(path, how | os.O_NOCTTY | os.O_NONBLOCK)); leak("terminal", path)
        except PermissionError: pass
leak("loopback", connects(socket.AF_INET, ("127.0.0.1", 7777)))
for port in (7777, 7778): leak("bridge", connects(socket.AF_INET, (bob_ip, port)))
leak("ping", subprocess.run(["ping", "-c1", "-W1", bob_ip], capture_output=True).returncode == 0)
leak("abstract", connects(socket.AF_UNIX, "\\0of-bob"))
leak("abstract sockets", [l for l in open("/proc/net/unix") if "@" in l and "vscode" not in l])
for bus in ("/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/journal/socket", "/run/systemd/notify",
        "/run/hoody-code/broker.sock", "/run/hoody-code/control.sock", "/run/hoody-code-broker/agents/bob.sock",
        "/run/systemd/userdb/io.systemd.DynamicUser"):
    leak(bus, connects(socket.AF_UNIX, bus))
for name in ("hc-bob", "hc-alice", str(bob_uid), "hoody-code", "hoody-code-admin"):
    leak("name", out("getent", "passwd", name) + out("getent", "group", name))
leak("users", [l for l in out("getent", "passwd").splitlines() if l.split(":")[0] not in ("root", "user", "nobody")])
leak("control groups", [p for p, d, f in os.walk("/sys/fs/cgroup") for n in d + f if "bob" in n])
leak("control groups'", [l for p in glob.glob("/proc/[0-9]*/cgroup") for l in open(p) if "bob" in l])
leak("mounts", [l for l in open("/proc/self/mountinfo") if "bob" in l])
for kind in ("shm", "msg", "sem"):
    leak(kind, [l for l in open("/proc/sysvipc/" + kind).read().splitlines()[1:] if "2827" in l])
leak("shmget", libc.shmget(0x0b0b, 4096, 0) >= 0)
leak("mq_open", libc.mq_open(b"/of-bob", os.O_RDWR) >= 0)
for path in ("/etc/hoody-code", "/etc/hoody-code/config.toml", "/var/lib/hoody-code", "/var/lib/hoody-code-broker",
        "/var/lib/hoody-code-broker/accounts", "/etc/ssh", "/etc/shadow", "/etc/userdb", "/var/log", "/var/log/journal",
        "/run/log/journal", "/run/userdb", "/etc/subuid", "/etc/systemd", "/var/lib/systemd", "/proc/kmsg", "/proc/kcore", "/dev/kmsg", "/dev/mem",
        "/dev/ubda", "/dev/ubdb", "/dev/fuse", "/proc/1/environ", "/sys/fs/bpf", "/sys/kernel/debug"):
    leak(path, readable(path))
leak("etc", [os.path.join(p, n) for p, d, f in os.walk("/etc") for n in d + f if "bob" in n])
leak("journal", out("journalctl", "-q", "-n5", "--no-pager"))
leak("dmesg", out("dmesg"))
leak("user manager", out("systemctl", "--user", "list-units", "--no-legend"))
leak("system manager", out("systemctl", "list-units", "--no-legend"))
`;

/** Directories that the tenant can write to, but for where it shall. */
const WRITABLE = `find / \\( -path /proc -o -path /home/user -o -path /tmp -o -path /var/tmp -o -path /dev/shm -o -path /dev/mqueue -o -path /run/user \\) \\
  -prune -o -type d -writable -print 2>/dev/null || true`;

for (const suite of ['trixie', 'bookworm']) {
  describe(suite, { skip: !Vm.fits(suite), timeout: 600_000 }, () => {
    let host;
    before(async () => (host = await Host.boot({ suite, config: CONFIG })));
    after(() => host?.end());
    const out = async (script, options) => (await host.vm.sh(script, options)).stdout.trim();
    const running = () => out(`systemctl list-units --no-legend --plain --state=active 'hoody-code*.service' | awk '{print $1}'`);

    test('nothing runs until a request comes; then all of it comes up', async () => {
      assert.equal(await running(), '');
      const { body } = await host.open('carol');
      assert.match(body, /vscode|workbench/i);
      assert.deepEqual((await running()).split('\n'),
        ['hoody-code-broker.service', 'hoody-code-instance@carol.service', 'hoody-code-network.service', 'hoody-code.service']);
      assert.match(await out('systemctl list-units --no-legend --plain hoody-code-instance@carol.service'),
        /hoody-code instance carol \(class default, engine code-server-/);
    });

    test('an id of its own, with a name, and a home that is its own', async () => {
      const uids = new Set();
      for (const id of ['alice', 'bob']) {
        await host.probe(id);
        await host.open(id);
        const status = await out(`cat /proc/${await host.pid(id)}/status /proc/${await host.engine(id)}/status`);
        const [uid, ...more] = new Set(status.match(/^[UG]id:.*$/gm).flatMap((line) => line.split('\t').slice(1)));
        assert.deepEqual(more, [], 'user and group, real and effective, agent and engine: all one number');
        assert.ok(uid >= UIDS[0] && uid <= UIDS[1], uid);
        assert.deepEqual(new Set(status.match(/^Groups:.*$/gm).map((line) => line.trim())).size, 1);
        uids.add(uid);
        assert.equal(await out(`getent passwd ${uid} | cut -d: -f1,3,4,6`), `hc-${id}:${uid}:${uid}:/data/instances/${id}`);
        assert.equal(await out(`getent passwd hc-${id} | cut -d: -f3; getent group hc-${id} | cut -d: -f3; getent group ${uid} | cut -d: -f1`),
          `${uid}\n${uid}\nhc-${id}`);
        assert.equal(await out(`ps -o user:32= -p ${await host.engine(id)}`), `hc-${id}`);
        assert.equal(await out(`stat -c '%a %u %g %F' /data/instances/${id}`), `700 ${uid} ${uid} directory`);
        const { stdout } = await host.inside(id, 'echo here >~/mine-$(id -u); ls ~; id -un; pwd; echo ~; getent passwd "$(id -u)"');
        assert.equal(stdout, `mine-${uid}\nuser\n/home/user\n/home/user\nuser:x:${uid}:${uid}:${id}:/home/user:/bin/bash\n`);
        assert.equal(await out(`cat /data/instances/${id}/mine-*`), 'here');
      }
      assert.equal(uids.size, 2);
      assert.equal(await out('stat -c "%a %U" /data/instances'), '711 root');
    });

    test('neither sees anything of the other, nor of the host', async () => {
      await host.background('bob', `exec python3 -c '${THINGS}'`);
      await host.vm.until('test -e /data/instances/bob/ready').catch(async (error) => {
        error.message += await out('cat /data/instances/bob/background.log');
        throw error;
      });
      const address = (await host.inside('bob', "ip -4 -o addr show eth0 | awk '{print $4}' | cut -d/ -f1")).stdout.trim();
      const pid = await host.engine('bob');
      const uid = await out(`stat -c %u /data/instances/bob`);
      // Bob himself has it all: what alice finds or not is no accident.
      await host.inside('bob', `python3 -c 'import socket
for a in ("127.0.0.1", 7777), ("${address}", 7778): socket.create_connection(a)
socket.socket(socket.AF_UNIX).connect("\\0of-bob")'; test -e /dev/shm/of-bob; ipcs -m | grep -q 0x00000b0b; test -e /proc/${pid}/fd`);
      const { stdout } = await host.inside('alice', `cat >look.py <<'END'\n${LOOK}\nEND\npython3 look.py ${pid} ${uid} ${address}`, { timeout: 60_000 });
      assert.equal(stdout, '');
    });

    test('networks, mounts and IPC are of one instance each, and none is the host\'s', async () => {
      const [alice, bob] = [await host.engine('alice'), await host.engine('bob')];
      for (const kind of ['net', 'mnt', 'ipc']) {
        const spaces = (await out(`for pid in 1 ${alice} ${bob}; do readlink /proc/$pid/ns/${kind}; done`)).split('\n');
        assert.equal(new Set(spaces).size, 3, spaces.join());
      }
    });

    test('the base system is the host\'s, read-only; there is nothing to write to but its own', async () => {
      assert.equal((await host.inside('alice', WRITABLE)).stdout, '');
      const { stdout } = await host.inside('alice', `for f in /usr/bin/x /etc/x /opt/x /var/lib/x /usr/bin/ls /etc/passwd /sys/kernel/uevent_helper \\
        /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/fs/cgroup/x $(find /sys/fs/cgroup -name memory.max | head -1); do
          if (: >>$f) 2>/dev/null; then echo $f; fi; done`);
      assert.equal(stdout, '');
      await host.inside('alice', 'for d in /tmp /var/tmp /dev/shm /run/user ~; do echo x >$d/mine; rm $d/mine; done');
    });

    test('rights: none, none to be had, and a filter', async () => {
      for (const pid of [await host.pid('alice'), await host.engine('alice')]) {
        const status = await out(`cat /proc/${pid}/status`);
        for (const line of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(status, new RegExp(`^${line}:\\t0{16}$`, 'm'));
        assert.match(status, /^NoNewPrivs:\t1$/m);
        assert.match(status, /^Seccomp:\t2$/m);
      }
      const refused = async (script) => {
        const { code, stdout, stderr } = await host.inside('alice', script, { check: false });
        assert.notEqual(code, 0, `${script}: ${stdout}`);
        return stdout + stderr;
      };
      assert.match(await refused('sudo -n true'), /no new privileges/);
      await refused('su -c id root </dev/null');
      for (const space of ['user', 'net', 'mount', 'pid', 'ipc', 'uts', 'cgroup']) assert.match(await refused(`unshare --${space} true`), /not permitted/);
      await refused('mount -t tmpfs t /tmp');
      await refused('cp /bin/true x && chmod u+s x');
      await refused('nsenter -t 1 -m true');
      await refused(`python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'`);
      await refused(`python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'`);
      await refused(`python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'`); // vsock: the hypervisor
      const ring = 'import ctypes, sys; l = ctypes.CDLL(None, use_errno=True); sys.exit(l.syscall(425, 1, bytes(120)) < 0 and ctypes.get_errno())';
      assert.equal((await host.inside('alice', `python3 -c '${ring}'`, { check: false })).code, 1, 'io_uring: EPERM, whatever the kernel has');
      await refused('hostname other');
      await refused('date -s 2001-01-01');
    });

    test('the broker is not for tenants', async () => {
      const uid = await out('stat -c %u /data/instances/alice');
      await assert.rejects(host.broker({ verb: 'list', after: null }, { as: 'nobody' }), /Permission denied/);
      await assert.rejects(host.vm.sh(`setpriv --reuid=${uid} --regid=${uid} --clear-groups python3 -c '
import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("/run/hoody-code/broker.sock")'`), /Permission denied/);
    });

    // The other files hold the newer systemd to each of these at length.
    test('limits, ends, and the end of all', { skip: suite === 'trixie' }, async () => {
      await host.probe('dave');
      await host.open('dave');
      const limits = Promise.all(['memory.max', 'memory.high', 'cpu.max', 'pids.max'].map((file) => host.cgroup('dave', file)));
      assert.deepEqual(await limits, [String(400 * 2 ** 20), 'max', '150000 100000', '200']);
      assert.equal((await host.inside('dave', 'ulimit -n; python3 -c "x = bytearray(1 << 30)" || echo $?')).stdout, '2048\n137\n');
      for (const [file, words] of [['~/x', /quota exceeded/i], ['/tmp/x', /No space left/]]) {
        assert.match((await host.inside('dave', `head -c 300M /dev/zero >${file}; rm ${file}`, { check: false })).stderr, words);
      }
      await host.configure(CONFIG.replace('tasks_max = 200', 'tasks_max = 210'));
      await host.until('a new limit', async () => (await host.cgroup('dave', 'pids.max')) === '210');

      assert.deepEqual(await host.broker({ verb: 'freeze', id: 'dave' }), { ok: 'done' });
      assert.match(await host.cgroup('dave', 'cgroup.events'), /^frozen 1$/m);
      assert.deepEqual(await host.broker({ verb: 'thaw', id: 'dave' }), { ok: 'done' });
      await host.vm.sh(`echo 1000 >/proc/${await host.engine('dave')}/oom_score_adj`);
      await host.background('dave', 'exec python3 -c "x = bytearray(1 << 30)"');
      assert.deepEqual((await host.state('dave', 'failed', { deadline: 120_000 })).cause, { kind: 'out_of_memory' });
      await host.fetch('dave', '/api/v1/code/start', { method: 'POST' });
      await host.open('dave');
      await host.vm.sh('systemctl stop hoody-code-instance@dave.service');
      assert.deepEqual((await host.state('dave', 'failed', { deadline: 120_000 })).cause, { kind: 'stopped_by_operator' });
      assert.deepEqual(await host.broker({ verb: 'purge', id: 'dave' }), { ok: 'done' });
      assert.equal(await out('ls -d /data/instances/dave 2>/dev/null || true; getent passwd hc-dave || true'), '');
      assert.equal(await out('ls /data/instances'), 'alice\nbob\ncarol');
    });
  });
}
