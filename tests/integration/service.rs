//! The daemon as a service: sockets from systemd, notifications, reload, drain, one owner.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::{DEADLINE, Daemon, FakeEngine, WebSocket, eventually};

#[test]
fn systemd_is_told_and_the_watchdog_is_fed() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut daemon = Daemon::start_with(engine.path(), "", |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    });
    let mut heard = String::new();
    let mut hear = |what: &str| {
        while !heard.contains(what) {
            let mut buffer = [0; 4096];
            let n = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{what}: {e}; heard {heard:?}"));
            heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
            heard.push('\n');
        }
        heard.clear();
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    daemon.signal("HUP");
    hear("RELOADING=1");
    daemon.signal("TERM");
    hear("STOPPING=1");
    assert!(daemon.wait_exit().success());
}

#[test]
fn sockets_from_systemd_win() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    // What systemd does before it runs a service: descriptors from 3 on, and variables that name them.
    let activate = "import os, socket, sys\n\
        all = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]; print(*(s.getsockname()[1] for s in all), flush=True)\n\
        kept = [os.dup(s.fileno()) for s in all]\n\
        for at, s in enumerate(kept): os.dup2(s, 3 + at); os.set_inheritable(3 + at, True)\n\
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='http:metrics')\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    let mut child = Command::new("python3")
        .args(["-c", activate, env!("CARGO_BIN_EXE_hoody-code"), "serve", "--auth", "none", "--listen", "127.0.0.1:1"])
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .arg("--engine")
        .arg(engine.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let ports: Vec<u16> = line.split_whitespace().map(|port| port.parse().unwrap()).collect();
    let (address, metrics) = (([127, 0, 0, 1], ports[0]).into(), ([127, 0, 0, 1], ports[1]).into());
    let answer = crate::support::request(address, "GET", "/api/v1/code/health", &[], b"");
    assert_eq!((answer.status, answer.json()["pid"].as_u64()), (200, Some(u64::from(child.id()))));
    let status = |address, path: &str| crate::support::request(address, "GET", path, &[], b"").status;
    assert_eq!((status(metrics, "/metrics"), status(metrics, "/"), status(address, "/metrics")), (200, 404, 404));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_unix_socket_serves_too() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("http.sock");
    let daemon = Daemon::start_with(engine.path(), "", |command| {
        command.arg("--listen").arg(format!("unix:{}", path.display()));
    });
    let mut stream = UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /api/v1/code/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"status\":\"ok\""), "{answer}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(daemon);
}

#[test]
fn a_reload_takes_what_is_good_and_keeps_the_old_otherwise() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[page]\nname = 'Before'\n");
    let name = || daemon.get("/manifest.json").json()["short_name"].as_str().unwrap().to_owned();
    let mut socket = WebSocket::open(daemon.address, "/stable-c0ffee?reconnectionToken=1", &[]).map_err(|r| r.text()).unwrap();
    std::fs::write(daemon.config_file(), "[page]\nname = 'After'\n[instances]\nmax_running = 3\n").unwrap();
    daemon.signal("HUP");
    eventually("the new name", || (name() == "After").then_some(()));
    assert_eq!(daemon.get("/api/v1/code/health").json()["instances"]["limit"], 3);
    std::fs::write(daemon.config_file(), "[page]\nnmae = 'Broken'\n").unwrap();
    daemon.signal("HUP");
    daemon.wait_log("configuration not reloaded");
    daemon.wait_log("nmae");
    assert_eq!(name(), "After");
    std::fs::write(daemon.config_file(), "[page]\nname = 'After'\n[server]\nlisten = ['127.0.0.1:1']\n[limits]\nconnections = 5\n")
        .unwrap();
    daemon.signal("HUP");
    daemon.wait_log("[limits] connections changed: takes effect at the next start");
    socket.send_raw(b"still here").unwrap();
    socket.expect_raw(b"still here");
}

#[test]
fn who_comes_during_a_reload_is_served() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // All the time, as systemd does: a queue that is full would keep the daemon.
    let told = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&told);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n) = socket.recv(&mut buffer) {
            sink.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
    let daemon = Daemon::start_with(engine.path(), "[page]\nname = 'Before'\n", |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    });
    let name = || daemon.get("/manifest.json").json()["short_name"].as_str().unwrap().to_owned();
    // A configuration that takes its time.
    std::fs::remove_file(daemon.config_file()).unwrap();
    assert!(Command::new("mkfifo").arg(daemon.config_file()).status().unwrap().success());
    daemon.signal("HUP");
    let mut writer = eventually("it is being read", || {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        rustix::fs::open(daemon.config_file(), flags, rustix::fs::Mode::empty()).ok().map(std::fs::File::from)
    });
    assert_eq!(name(), "Before");
    eventually("the watchdog is fed since the reload has begun", || {
        let told = told.lock().unwrap();
        told.split("RELOADING=1").nth(1).filter(|since| since.matches("WATCHDOG=1").count() >= 3).map(|_| ())
    });
    std::io::Write::write_all(&mut writer, b"[page]\nname = 'After'\n").unwrap();
    drop(writer);
    eventually("the new name", || (name() == "After").then_some(()));
    // The next one is read by itself.
    std::fs::remove_file(daemon.config_file()).unwrap();
    std::fs::write(daemon.config_file(), "[page]\nname = 'Later'\n").unwrap();
    daemon.signal("HUP");
    eventually("the newest name", || (name() == "Later").then_some(()));
}

#[test]
fn a_stop_drains_answers_and_websockets_first() {
    let engine = FakeEngine::new();
    let mut daemon = Daemon::start(engine.path(), "[server]\ndrain = '8s'\n");
    let mut socket = WebSocket::open(daemon.address, "/stable-c0ffee?reconnectionToken=1", &[]).map_err(|r| r.text()).unwrap();
    let mut idle = daemon.connect();
    daemon.signal("TERM");
    daemon.wait_log("1 websockets");
    assert!(matches!(idle.read(&mut [0; 1]), Ok(0) | Err(_)), "an idle connection ends at once");
    eventually("no new connections", || TcpStream::connect(daemon.address).is_err().then_some(()));
    socket.send_raw(b"one more thing").unwrap();
    socket.expect_raw(b"one more thing");
    assert!(socket.is_closed(), "cut when the drain has run out");
    assert!(daemon.wait_exit().success());
    assert!(daemon.log().contains("cutting what is still open"), "{}", daemon.log());
}

#[test]
fn one_daemon_per_data_directory() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let second = Command::new(env!("CARGO_BIN_EXE_hoody-code"))
        .args(["serve", "--listen", "127.0.0.1:0", "--auth", "none", "--data-dir"])
        .arg(daemon.data())
        .arg("--engine")
        .arg(engine.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&second.stderr).contains("serves"), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(daemon.get("/api/v1/code/health").status, 200);
}

#[test]
fn what_cannot_be_served_is_said_in_one_line() {
    let engine = FakeEngine::new();
    let run = |args: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        command.arg("serve").args(args).arg("--data-dir").arg(dir.path());
        if !args.contains(&"--engine") {
            command.arg("--engine").arg(engine.path());
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (args, code, said) in [
        (&["--listen", "127.0.0.1:0", "--password", ""][..], 78, "at least one byte"),
        (&["--listen", "127.0.0.1:0", "--password-file", "/no/such"][..], 78, "/no/such"),
        (&["--listen", "127.0.0.1:0", "--password-file", "/x", "--hashed-password-file", "/y"][..], 78, "say one of"),
        (&["--listen", "https://127.0.0.1:0"][..], 78, "needs [tls]"),
        (&["--auth", "none", "--listen", "0.0.0.0:0"][..], 78, "open to everybody"),
        (&["--auth", "none", "--listen", "127.0.0.1:0", "--password", "x"][..], 64, "leave out one of the two"),
        (&["--auth", "none", "--listen", "nowhere"][..], 78, "neither ADDR:PORT nor unix:PATH"),
        (&["--auth", "none", "--listen", "127.0.0.1:0", "--config", "/no/such.toml"][..], 78, "/no/such.toml"),
        (&["--auth", "none", "--listen", "127.0.0.1:0", "--launcher", "magic"][..], 78, "magic"),
        (&["--auth", "none", "--listen", "127.0.0.1:0", "--engine", "/tmp"][..], 69, "/tmp"),
    ] {
        let (status, stderr) = run(args);
        assert_eq!(status, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.trim().lines().count() == 1, "{args:?}: {stderr}");
    }
}

#[test]
fn events_follow_a_start_and_count_as_no_use() {
    let engine = FakeEngine::new();
    engine.behave("slow");
    let daemon = Daemon::start(engine.path(), "");
    let mut stream = daemon.begin("/i/alice/api/v1/code/events");
    let mut seen = String::new();
    let mut until = |what: &str| {
        while !seen.contains(what) {
            let mut piece = [0; 1024];
            let n = stream.read(&mut piece).unwrap_or_else(|e| panic!("{what}: {e}; seen {seen}"));
            assert!(n > 0, "ended before {what}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    };
    until("\"state\":\"stopped\"");
    std::thread::scope(|scope| {
        scope.spawn(|| daemon.get("/i/alice/?ew=1"));
        until("\"stage\":\"connecting\"");
        until("\"state\":\"running\"");
    });
    assert_eq!(daemon.status("alice")["clients"], 0);
}

/// The unit of further services says of its confinement what the main one's says, and more.
#[test]
fn further_services_are_confined_as_the_main_one_is() {
    let lines = |name: &str| {
        let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let (_, service) = text.split_once("[Service]\n").unwrap();
        let (service, _) = service.split_once("[Install]").unwrap();
        service.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let (main, further) = (lines("hoody-code.service"), lines("hoody-code@.service"));
    // What names the service itself is what differs.
    let own = |line: &String| {
        ["ExecStart=", "ExecReload=/usr/bin/", "User=", "Group=", "StateDirectory=", "InaccessiblePaths="]
            .iter()
            .any(|key| line.starts_with(key))
    };
    let missing: Vec<_> = main.iter().filter(|line| !own(line) && !further.contains(line)).collect();
    assert!(missing.is_empty(), "hoody-code@.service lacks {missing:?}");
    let closed = |lines: &[String]| {
        let line = lines.iter().find_map(|line| line.strip_prefix("InaccessiblePaths=")).unwrap();
        line.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let (of_main, of_further) = (closed(&main), closed(&further));
    assert!(of_main.iter().all(|path| of_further.contains(path)), "{of_further:?}");
}
