# A tenant who has put a program of their own in the agent's place. It is well-behaved towards the first who asks for the engine, so that
# the instance counts as running; then it does what ~/mode says, to everybody who asks. An argument is what it does from the start.
import array, json, os, select, socket, sys, threading, time

HOME = "/home/user"


def mode():
    try:
        with open(HOME + "/mode") as file:
            return file.read().strip()
    except FileNotFoundError:
        return sys.argv[1] if len(sys.argv) > 1 else "well"


def engine(answer):
    """An end of a connection, at whose other end somebody answers every request with these bytes."""
    ours, theirs = socket.socketpair()

    def serve():
        with ours:
            ours.recv(65536)
            ours.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return theirs.detach()


def made(socket_type, listen):
    s = socket.socket(socket.AF_UNIX, socket_type)
    if listen:
        s.bind("")
        s.listen()
    return s.detach()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
DESCRIPTORS = {
    "well": lambda: [engine(OK)],
    "garbage": lambda: [engine(b"\x00\xff" * 4096)],
    "endless-head": lambda: [engine(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000)],
    "directory": lambda: [os.open("/", os.O_RDONLY | os.O_DIRECTORY)],
    "file": lambda: [os.open("/etc/passwd", os.O_RDONLY)],
    "path": lambda: [os.open("/etc", os.O_PATH)],
    "pipe": lambda: list(os.pipe())[:1],
    "eventfd": lambda: [os.eventfd(1)],
    "epoll": lambda: [select.epoll().detach() if hasattr(select.epoll, "detach") else os.dup(select.epoll().fileno())],
    "listening": lambda: [made(socket.SOCK_STREAM, True)],
    "unconnected": lambda: [made(socket.SOCK_STREAM, False)],
    "dgram": lambda: [made(socket.SOCK_DGRAM, False)],
    "seqpacket": lambda: [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0].detach()],
    "netlink": lambda: [socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).detach()],
    "two": lambda: [engine(OK), engine(OK)],
    "many": lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(200)],
    "none": lambda: [],
}
TEXTS = {
    "nonsense": b'{"answer":"nonsense"}',
    "no-json": b"\xff\xfe\x00",
    "directory-answer": b'{"answer":"directory"}',
    "ended-answer": b'{"answer":"ended","status":"x","out_of_memory":true,"log":[]}',
    "failed": b'{"answer":"failed","errno":-2147483648}',
    "huge": b" " * (200 << 10),
    "empty": b"",
    "deep": b"[" * 30_000,
}
LIES = {"answer": "ended", "status": "<b>status</b>", "out_of_memory": False, "log": ["<script>alert(1)</script>", "\x1b[31mred"]}


def answer(connection):
    now = mode()
    if now == "silent":
        time.sleep(30)
    if now in TEXTS:
        connection.send(TEXTS[now])
    elif now in DESCRIPTORS:
        fds = DESCRIPTORS[now]()
        connection.sendmsg([b'{"answer":"connected"}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        for fd in fds:
            os.close(fd)
    else:
        return False
    return True


def serve(connection):
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        while packet := connection.recv(65536):
            ask = json.loads(packet)["ask"]
            if ask == "watch":
                while mode() != "ended":
                    time.sleep(0.1)
                connection.send(json.dumps(LIES).encode())
                return
            if ask == "look":
                connection.send(b'{"answer":"directory"}')
            elif not answer(connection):
                return


def guarded(connection):
    try:
        serve(connection)
    except OSError:
        pass


listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=guarded, args=(connection,), daemon=True).start()
