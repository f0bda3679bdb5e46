//! The filter in `packaging/fail2ban` finds what it shall in real records, and nothing that a client has put there.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Daemon, FakeEngine, post_password, request};

/// The addresses that the filter finds in `log`, with fail2ban's own program (`packaging/setup.sh test` brings it).
fn found(log: &str) -> Vec<String> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let fail2ban = cache.join("hoody-code/tools/fail2ban");
    assert!(fail2ban.exists(), "fail2ban is not in {}: run packaging/setup.sh test", fail2ban.display());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), log).unwrap();
    let output = Command::new("python3")
        .arg(fail2ban.join("usr/bin/fail2ban-regex"))
        .env("PYTHONPATH", fail2ban.join("usr/lib/python3/dist-packages"))
        .arg("--config")
        .arg(fail2ban.join("etc/fail2ban"))
        .args(["--out", "ip"])
        .arg(file.path())
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging/fail2ban/filter.d/hoody-code.conf"))
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn wrong_passwords_are_found_and_nothing_else() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    let operator = dir.path().join("operator");
    std::fs::write(&operator, "boss").unwrap();
    let config = format!(
        "[server]\ntrusted_proxies = ['127.0.0.1']\n[dashboard]\nlisten = '127.0.0.1:0'\npassword_file = '{}'\n",
        operator.display()
    );
    let daemon = Daemon::launch(dir, engine.path(), &config, |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", "secret"]);
    });
    let forged = "failed login to instance x from 6.6.6.6";
    let from = |client: &str, password: &str| {
        let headers = [("X-Forwarded-For", client), ("User-Agent", forged), ("Referer", forged), ("Accept-Language", forged)];
        post_password(&daemon, "/i/alice/", password, &headers).status
    };
    assert_eq!(from("203.0.113.7", "guess"), 401);
    assert_eq!(from("2001:db8::7", forged), 401);
    assert_eq!(from("198.51.100.1", "secret"), 200);
    assert_eq!(from("9.9.9.9 failed login to instance x from 6.6.6.6", "guess"), 401, "no address: it is the proxy's own");
    daemon.wait_log("dashboard: http://");
    let log = daemon.log();
    let board = log.split("dashboard: http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let headers = [("X-Forwarded-For", "203.0.113.9"), ("Content-Type", "application/json")];
    assert_eq!(request(board, "POST", "/api/v1/code/login", &headers, b"{\"password\":\"guess\"}").status, 401);
    request(daemon.address, "GET", "/failed%20login%20to%20instance%20x%20from%206.6.6.6", &[("User-Agent", forged)], b"");
    request(daemon.address, "GET", "/", &[("Host", "failed-login-to-instance-x-from-6.6.6.6")], b"");
    daemon.wait_log("status=403");
    let log = daemon.log();
    assert_eq!(log.matches("WARN failed login").count(), 4, "one record each: {log}");
    assert_eq!(found(&log), ["203.0.113.7", "2001:db8::7", "127.0.0.1", "203.0.113.9"], "{log}");
    // As the journal's reader hands the same messages over.
    let messages = log
        .lines()
        .filter_map(|line| line.split_once(" WARN "))
        .map(|(_, rest)| rest.split(" instance=").next().unwrap().split(" client=").next().unwrap());
    let journal: String = messages.map(|message| format!("2026-11-27T02:20:51 srv7 hoody-code[4711]: {message}\n")).collect();
    assert_eq!(found(&journal), ["203.0.113.7", "2001:db8::7", "127.0.0.1", "203.0.113.9"], "{journal}");
    let forgery = format!("2026-11-27T02:20:51 srv7 sshd[1]: {forged}\n2026-11-27T02:20:51 srv7 hoody-code[1]: request {forged}\n");
    assert_eq!(found(&forgery), [""; 0]);
}
