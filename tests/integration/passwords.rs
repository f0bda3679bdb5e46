//! Passwords: where they come from, how they change, how often they may be tried.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::{
    BROWSER, Daemon, FakeEngine, SECRET, WebSocket, cookie_of, eventually, guarded as daemon, post_password, sign_in, status_with as with,
};

#[test]
fn strangers_slow_themselves_and_nobody_else() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "[server]\ntrusted_proxies = ['127.0.0.1']\n");
    let from = |client: &str, password: &str, more: &[(&str, &str)]| {
        let headers: Vec<_> = [("X-Forwarded-For", client)].iter().chain(more).copied().collect();
        post_password(&daemon, "/", password, &headers)
    };
    let device = cookie_of(&from("203.0.113.7", SECRET, &[]), "device");
    for _ in 0..10 {
        assert_eq!(from("203.0.113.7", "guess", &[]).status, 401);
    }
    for password in ["guess", SECRET] {
        let answer = from("203.0.113.7", password, &[]);
        assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_attempts"));
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    let page = from("203.0.113.7", "guess", &[BROWSER, ("Accept-Language", "de")]);
    assert!(page.status == 429 && page.header("retry-after").is_some() && page.text().contains("Zu viele Versuche"), "{}", page.text());
    // What a client says of itself before the proxy does not make it another one.
    assert_eq!(from("198.51.100.99, 203.0.113.7", "guess", &[]).status, 429);
    assert_eq!(from("203.0.113.8", SECRET, &[]).status, 200, "another address");
    assert_eq!(from("203.0.113.7", SECRET, &[("Cookie", &device)]).status, 200, "a known browser at the same address");
    assert_eq!(from("203.0.113.7", SECRET, &[("Cookie", "hoody-code-device-default=made-up")]).status, 429);
    // A network is one client, however many addresses it has.
    for n in 0..10 {
        assert_eq!(from(&format!("2001:db8:7:7::{n:x}"), "guess", &[]).status, 401, "{n}");
    }
    assert_eq!(from("2001:db8:7:7:ffff::1", "guess", &[]).status, 429);
    assert_eq!(from("2001:db8:7:8::1", SECRET, &[]).status, 200);
}

#[test]
fn nobody_is_believed_who_only_says_that_he_forwards() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    for n in 0..10 {
        assert_eq!(post_password(&daemon, "/", "guess", &[("X-Forwarded-For", &format!("10.0.0.{n}"))]).status, 401);
    }
    assert_eq!(post_password(&daemon, "/", "guess", &[("X-Forwarded-For", "10.9.9.9")]).status, 429);
    daemon.wait_log("failed login to instance default from 127.0.0.1");
    assert!(!daemon.log().contains("from 10."), "{}", daemon.log());
}

#[test]
fn the_first_start_makes_a_password_and_says_it_once() {
    let engine = FakeEngine::new();
    let daemon = Daemon::with_login(engine.path(), "");
    let line = eventually("the password is said", || daemon.said().lines().find(|line| line.starts_with("password: ")).map(str::to_owned));
    let password = line.split(' ').nth(1).unwrap().to_owned();
    let file = daemon.data().join("auth/password");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), password);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!daemon.log().contains(&password));
    let cookie = sign_in(&daemon, "/", &password);
    let daemon = Daemon::with_login_in(daemon.stop(), engine.path(), "");
    assert_eq!(with(&daemon, "GET", "/api/v1/code/status", &cookie), 200);
    daemon.wait_log("serving");
    assert!(!daemon.said().contains("password"), "{}", daemon.said());
}

#[test]
fn credentials_of_systemd_are_passwords() {
    let engine = FakeEngine::new();
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("password"), "from systemd").unwrap();
    let daemon = Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), "", |command| {
        command.args(["--listen", "127.0.0.1:0"]).env("CREDENTIALS_DIRECTORY", credentials.path());
    });
    sign_in(&daemon, "/", "from systemd");
}

#[test]
fn a_password_on_the_command_line_works_and_is_warned_of() {
    let engine = FakeEngine::new();
    let daemon = Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), "", |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", "for all to see"]);
    });
    sign_in(&daemon, "/", "for all to see");
    daemon.wait_log("can see --password");
}

#[test]
fn the_password_command_prints_a_hash_that_opens() {
    let engine = FakeEngine::new();
    let hash_with = |words: &[&str], input: &[u8]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hoody-code"))
            .args(["code", "password"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that has seen enough does not read on.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let hash = |input: &[u8]| hash_with(&[], input);
    let (_, json, _) = hash_with(&["--json"], b"secret\n");
    assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["hash"].as_str().unwrap().starts_with("$argon2id$"));
    let (code, printed, _) = hash(b"p\xc3\xa4ss w\xc3\xb6rd\n");
    assert!(code == Some(0) && printed.starts_with("$argon2id$v=19$") && printed.lines().count() == 1, "{printed}");
    for (input, said) in
        [(&b""[..], "at least one byte"), (b"\n", "at least one byte"), (&[b'x'; 3000], "at most 1024"), (b"a\0b", "zero byte")]
    {
        let (code, printed, error) = hash(input);
        assert!(code == Some(65) && printed.is_empty() && error.contains(said), "{error}");
    }
    let daemon = Daemon::with_login(engine.path(), &format!("[login]\nhashed_password = '{}'\n", printed.trim()));
    sign_in(&daemon, "/", "päss wörd");
}

#[test]
fn a_terminal_asks_twice_and_shows_nothing() {
    // A terminal of its own for the program, and a hand that types when it is asked.
    let typist = "import os, pty, sys\n\
        pid, fd = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], [sys.argv[1], 'password'])\n\
        seen = b''\n\
        for ask, answer in ((b'Password: ', sys.argv[2]), (b'Again: ', sys.argv[3])):\n\
        \x20   while not seen.endswith(ask): seen += os.read(fd, 1)\n\
        \x20   os.write(fd, answer.encode() + b'\\n')\n\
        try:\n\
        \x20   while piece := os.read(fd, 1000): seen += piece\n\
        except OSError: pass\n\
        print(seen.decode())\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let typed = |first: &str, second: &str| {
        let output = Command::new("python3").args(["-c", typist, env!("CARGO_BIN_EXE_hoody-code"), first, second]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, seen) = typed("seCret-9", "seCret-9");
    assert!(code == Some(0) && seen.contains("$argon2id$") && !seen.contains("seCret-9"), "{seen}");
    let (code, seen) = typed("seCret-9", "seCret-8");
    assert!(code == Some(65) && seen.contains("two different") && !seen.contains("$argon2"), "{seen}");
}

#[test]
fn a_session_outlives_a_restart_and_not_its_password() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let cookie = sign_in(&daemon, "/", SECRET);
    let config = std::fs::read_to_string(daemon.config_file()).unwrap();
    let daemon = Daemon::with_login_in(daemon.stop(), engine.path(), &config);
    assert_eq!(with(&daemon, "GET", "/api/v1/code/status", &cookie), 200);
    let mut socket =
        WebSocket::open(daemon.address, "/stable-c0ffee?reconnectionToken=1", &[("Cookie", &cookie)]).map_err(|r| r.text()).unwrap();
    socket.send_raw(b"hello").unwrap();
    socket.expect_raw(b"hello");
    let file = daemon.config_file().parent().unwrap().join("password");
    std::fs::write(&file, "").unwrap();
    daemon.signal("HUP");
    daemon.wait_log("at least one byte");
    assert_eq!(with(&daemon, "GET", "/api/v1/code/status", &cookie), 200, "what cannot be read changes nothing");
    std::fs::write(&file, "another one").unwrap();
    daemon.signal("HUP");
    daemon.wait_log("configuration reloaded");
    assert_eq!(with(&daemon, "GET", "/api/v1/code/status", &cookie), 401);
    assert!(socket.is_closed(), "and what the old one had opened is closed");
    assert_eq!(post_password(&daemon, "/", SECRET, &[]).status, 401);
    sign_in(&daemon, "/", "another one");
}
