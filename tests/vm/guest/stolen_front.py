# What somebody could try who got code to run in the front: raw packets to the broker, and looks around. One scenario per run; what came of
# it goes to standard output as JSON, for broker.test.mjs to judge.
import array, json, os, resource, select, socket, subprocess, sys, time

BROKER = "/run/hoody-code/broker.sock"
PATIENCE = 10


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(PATIENCE)
    s.connect(BROKER)
    return s


def receive(s):
    """A reply, "closed", or "silence"; and the descriptor that came with it."""
    try:
        data, control, _, _ = s.recvmsg(1 << 16, socket.CMSG_SPACE(16))
    except socket.timeout:
        return "silence", None
    except ConnectionResetError:
        return "closed", None
    fds = array.array("i")
    for _, _, passed in control:
        fds.frombytes(passed)
    return (json.loads(data) if data else "closed"), (fds[0] if fds else None)


def send(s, packet, fds=()):
    s.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def ask(packet, fds=()):
    """The reply to one packet, and whether the broker hung up after it."""
    with connect() as s:
        try:
            send(s, packet, fds)
        except OSError as error:
            return [error.strerror, None]
        reply, fd = receive(s)
        if fd is not None:
            os.close(fd)
        if reply in ("closed", "silence"):
            return [reply, None]
        # Who is refused for what it sent is hung up on, in its time; after other answers nothing comes.
        ends = isinstance(reply, dict) and reply.get("refused", {}).get("code") == "malformed"
        s.settimeout(PATIENCE if ends else 0.1)
        return [reply, receive(s)[0]]


def packets():
    """Each line of the input, as JSON text of latin-1, is a packet."""
    return [ask(json.loads(line).encode("latin-1")) for line in sys.stdin]


def sizes():
    results = {}
    for size in (0, 256, 257, 65536, 1 << 20):
        with connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            text = b'{"verb":"reload"}'
            s.send(b"" if size == 0 else text[:-1] + b" " * (size - len(text)) + text[-1:])
            results[size] = receive(s)[0]
    return results


def descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    show = b'{"verb":"show","id":"nobody-there"}'
    null = [os.open("/dev/null", os.O_RDONLY) for _ in range(300)]
    results = {str(n): ask(show, null[:n]) for n in (1, 2, 253, 300)}
    # What the broker has passed itself comes back to it, again and again.
    with connect() as s:
        send(s, json.dumps({"verb": "connect", "id": sys.argv[2]}).encode())
        reply, agent = receive(s)
        results["connect"] = [reply, agent is not None]
    results["replayed"] = [ask(show, [agent]) for _ in range(20)]
    # A socket inside itself: descriptors in flight that only the kernel's collector can end.
    with connect() as s:
        send(s, show, [s.fileno()])
        results["own"] = receive(s)[0]
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    send(pair[0], b"x", [pair[1].fileno(), pair[0].fileno()])
    results["cycle"] = ask(show, [pair[0].fileno()])
    return results


def crowd():
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    began = time.monotonic()
    silent = [connect() for _ in range(1000)]
    for s in silent[::3]:
        s.send(b'{"verb":"show","id":"nobody-there"}')
    for s in silent:
        s.close()
    reply = ask(b'{"verb":"show","id":"nobody-there"}')[0]
    return {"connected": len(silent), "then": reply, "seconds": time.monotonic() - began}


def pipelined():
    with connect() as s:
        # More than the socket's queue holds makes us wait for the answers to the first ones.
        wanted = ["nobody-%d" % n for n in range(100)]
        poll, sent, replies = select.poll(), 0, []
        s.setblocking(False)
        poll.register(s, select.POLLIN | select.POLLOUT)
        end = time.monotonic() + PATIENCE
        while len(replies) < len(wanted) and time.monotonic() < end:
            poll.modify(s, select.POLLIN | (select.POLLOUT if sent < len(wanted) else 0))
            for _, events in poll.poll(100):
                if events & select.POLLOUT and sent < len(wanted):
                    try:
                        s.send(json.dumps({"verb": "show", "id": wanted[sent]}).encode())
                        sent += 1
                    except BlockingIOError:
                        pass
                if events & select.POLLIN:
                    replies.append(receive(s)[0]["refused"]["message"])
        return [wanted, replies]


def half_open():
    """Says nothing, and tells after how many seconds the broker has hung up."""
    began = time.monotonic()
    with connect() as s:
        s.settimeout(100)
        return {"said": receive(s)[0], "seconds": time.monotonic() - began}


def bus():
    """Whether systemd does as we say: a unit as root by the bus."""
    call = ["busctl", "--system", "--timeout=10", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"]
    attempts = {
        "transient": call + ["StartTransientUnit", "ssa(sv)a(sa(sv))", "stolen-root.service", "fail", "1", "ExecStart", "a(sasb)", "1",
                             "/usr/bin/touch", "2", "touch", "/stolen-root", "false", "0"],
        "instance": call + ["StartTransientUnit", "ssa(sv)a(sa(sv))", "hoody-code-instance@stolen.service", "fail", "1", "ExecStart", "a(sasb)",
                            "1", "/usr/bin/touch", "2", "touch", "/stolen-root", "false", "0"],
        "stop": call + ["StopUnit", "ss", "ssh.service", "replace"],
        "reload": call + ["Reload"],
    }
    results = {}
    for name, words in attempts.items():
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        results[name] = [done.returncode, done.stderr.strip()]
    return results


def look(path):
    try:
        if os.path.isdir(path):
            return os.listdir(path)
        with open(path, "rb") as file:
            return len(file.read(64))
    except OSError as error:
        return error.strerror


def sandbox():
    """What can be seen and done from inside the front's unit."""
    def inet(family):
        try:
            socket.socket(family, socket.SOCK_STREAM).close()
            return "made"
        except OSError as error:
            return error.strerror

    def write(path):
        try:
            with open(path, "w"):
                return "written"
        except OSError as error:
            return error.strerror

    paths = ["/data", "/data/instances", "/data/instances/" + sys.argv[2], "/var/lib/hoody-code-broker", "/var/lib/hoody-code-broker/accounts",
             "/run/hoody-code-broker", "/run/hoody-code-broker/agents", "/run/userdb", "/etc/shadow", "/home", "/root", "/proc/1/environ", "/proc/kcore"]
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    owners = sorted({os.stat("/proc/%d" % pid).st_uid for pid in pids})
    return {
        "paths": {path: look(path) for path in paths},
        "owners": [os.getuid() == uid for uid in owners],
        "pids": len(pids),
        "inet": [inet(socket.AF_INET), inet(socket.AF_INET6), inet(socket.AF_NETLINK)],
        "write": {path: write(path) for path in ("/etc/x", "/usr/bin/x", "/run/x", "/run/hoody-code/x", "/var/tmp/x", "/var/lib/hoody-code/x")},
        "broker": ask(b'{"verb":"show","id":"nobody-there"}')[0],
        "bus": bus(),
    }


result = globals()[sys.argv[1]]()
json.dump(result, sys.stdout)
