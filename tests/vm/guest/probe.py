# Runs inside an instance, as its tenant: starts the command that is its arguments, and runs scripts for host.mjs beside it. One
# connection to ~/.probe.sock is one script: a line of JSON {script, timeout} in, a document {stdout, stderr, code} out.
import json, os, signal, socket, subprocess, sys, threading

PATH = os.path.expanduser("~/.probe.sock")


def run(connection):
    with connection, connection.makefile("rb") as lines:
        line = lines.readline()
        if not line:
            return
        question = json.loads(line)
        child = subprocess.Popen(
            ["/bin/bash", "-euc", question["script"]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )
        try:
            out, err = child.communicate(timeout=question["timeout"] / 1000)
            # By a signal, as a shell says it: bash runs a script's last command in its own place.
            code = child.returncode if child.returncode >= 0 else 128 - child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            code = "late"
        answer = {"stdout": out.decode(errors="replace"), "stderr": err.decode(errors="replace"), "code": code}
        connection.sendall(json.dumps(answer).encode())


def serve(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=guarded, args=(connection,), daemon=True).start()


def guarded(connection):
    try:
        run(connection)
    except OSError as error:
        print("probe:", error, file=sys.stderr)


try:
    os.unlink(PATH)
except FileNotFoundError:
    pass
listener = socket.socket(socket.AF_UNIX)
listener.bind(PATH)
listener.listen(16)
# The agent waits for this process's end and passes it on: so the engine is this process, and the probe its child.
if os.fork() == 0:
    os.setsid()
    # For node alone; its preload keeps it from the engine's children, too.
    os.environ.pop("MALLOC_ARENA_MAX", None)
    serve(listener)
listener.close()
os.execv(sys.argv[1], sys.argv[1:])
