//! What Prometheus is told, and that what is made of it in `packaging/` names nothing else.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{BROWSER, Daemon, FakeEngine, WebSocket, eventually, post_password, request, sign_in};

fn packaging(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file)
}

fn cache() -> PathBuf {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"))
}

fn promtool() -> Command {
    let program = cache().join("hoody-code/tools/bin/promtool");
    assert!(program.exists(), "{} is not there: run packaging/setup.sh test", program.display());
    Command::new(program)
}

/// A daemon that asks for a password, with a listener for metrics, and that one's address.
fn daemon(engine: &FakeEngine, more: &str) -> (Daemon, SocketAddr) {
    let config = format!("[metrics]\nlisten = '127.0.0.1:0'\n{more}");
    let daemon = Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), &config, |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", "secret"]);
    });
    daemon.wait_log("metrics: http://");
    let log = daemon.log();
    let address = log.split("metrics: http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    (daemon, address)
}

fn scrape(address: SocketAddr) -> String {
    let answer = request(address, "GET", "/metrics", &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    answer.text()
}

fn names(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The value of a series, by its beginning.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn what_is_drawn_and_alerted_on_exists() {
    let engine = FakeEngine::new();
    let (daemon, address) = daemon(&engine, "");
    // Everything that is counted, once.
    let cookie = sign_in(&daemon, "/i/alice/", "secret");
    let page = |id: &str, cookie: &str| daemon.send("GET", &format!("/i/{id}/?ew=1"), &[("Cookie", cookie), BROWSER]).status;
    assert_eq!(page("alice", &cookie), 200);
    let mut socket =
        WebSocket::open(daemon.address, "/i/alice/stable-c0ffee/ws", &[("Cookie", &cookie)]).unwrap_or_else(|_| panic!("a websocket"));
    socket.send_raw(b"12345").unwrap();
    socket.expect_raw(b"12345");
    let of_one = eventually("alice's own figures", || {
        let all = ["instance_memory_bytes{id=\"alice\"", "instance_disk_bytes{id=\"alice\""];
        Some(scrape(address)).filter(|text| all.iter().all(|series| text.contains(series)))
    });
    assert_eq!(post_password(&daemon, "/i/alice/", "guess", &[]).status, 401);
    let bob = sign_in(&daemon, "/i/bob/", "secret");
    engine.behave("die");
    assert_eq!(page("bob", &bob), 502);
    for pid in daemon.processes("alice") {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
    }
    std::fs::remove_file(engine.path().join("node")).unwrap();
    let text = eventually("the end of alice's run", || {
        // The engine is looked at once a second at most.
        let known = |text: &String| text.contains("instance_ends_total{cause=\"crashed\"} 1") && text.contains("engine_missing");
        Some(scrape(address)).filter(known)
    });
    for (series, expected) in [
        ("hoody_code_requests_total{route=\"workbench\",status=\"2xx\"}", 1.0),
        ("hoody_code_requests_total{route=\"workbench\",status=\"5xx\"}", 1.0),
        ("hoody_code_start_time_seconds_count", 1.0),
        ("hoody_code_start_failures_total{cause=\"died_early\"}", 1.0),
        ("hoody_code_logins_total{outcome=\"admitted\"}", 2.0),
        ("hoody_code_logins_total{outcome=\"wrong\"}", 1.0),
        ("hoody_code_logins_total{outcome=\"throttled\"}", 0.0),
        ("hoody_code_tunnelled_bytes_total{direction=\"in\"}", 5.0),
        ("hoody_code_healthy", 0.0),
        ("hoody_code_degraded{reason=\"engine_missing\"}", 1.0),
        ("hoody_code_instances{state=\"failed\"}", 2.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}: {text}");
    }
    let mut known = names(&text);
    known.extend(names(&of_one));
    for file in ["grafana/hoody-code.json", "prometheus/alerts.yml", "prometheus/alerts.test.yml"] {
        let text = std::fs::read_to_string(packaging(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let used: BTreeSet<&str> = words.filter(|word| word.starts_with("hoody_code_") || word.starts_with("process_")).collect();
        assert!(used.len() >= 5, "{file}: {used:?}");
        for name in used {
            assert!(known.contains(name), "{file}: there is no {name}");
        }
    }
}

#[test]
fn a_running_instance_has_figures_of_its_own_and_only_so_many_have() {
    let engine = FakeEngine::new();
    let (daemon, address) = daemon(&engine, "instances = 1\n");
    for id in ["alice", "bob"] {
        let cookie = sign_in(&daemon, &format!("/i/{id}/"), "secret");
        assert_eq!(daemon.send("GET", &format!("/i/{id}/?ew=1"), &[("Cookie", &cookie)]).status, 200);
    }
    let text = scrape(address);
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((series("hoody_code_instance_clients{"), series("hoody_code_instance_idle_seconds{")), (1, 1), "{text}");
    assert_eq!(value(&text, "hoody_code_instances_untold"), Some(1.0));
    assert_eq!(value(&text, "hoody_code_instances{state=\"running\"}"), Some(2.0));
}

#[test]
fn nobody_can_make_up_series() {
    let engine = FakeEngine::new();
    let (daemon, address) = daemon(&engine, "");
    let ask = |number: usize| {
        for path in [
            format!("/i/x{number}/"),
            format!("/no/such/{number}"),
            format!("/proxy/{}/", 1024 + number),
            format!("/i/x{number}/api/v1/code/health?{number}"),
        ] {
            daemon.send(if number.is_multiple_of(2) { "GET" } else { "POST" }, &path, &[("User-Agent", &number.to_string())]);
        }
    };
    let series = || scrape(address).lines().filter(|line| !line.starts_with('#')).count();
    ask(0);
    ask(1);
    let before = series();
    (2..50).for_each(ask);
    assert_eq!(series(), before);
}

#[test]
fn where_it_is_told_and_where_not() {
    let engine = FakeEngine::new();
    let (daemon, address) = daemon(&engine, "");
    assert_eq!(daemon.get("/metrics").status, 404, "not where people come in");
    assert_eq!(request(address, "GET", "/", &[], b"").status, 404, "and nothing else on its listener");
    assert_eq!(request(address, "POST", "/metrics", &[], b"").status, 405);
    assert_eq!(request(address, "GET", "/metrics", &[("Host", "evil.example")], b"").status, 403);
    let open = request(address, "GET", "/metrics", &[("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")], b"");
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text") && open.text().ends_with("# EOF\n"));
    let mut stream = UnixStream::connect(daemon.data().join("control.sock")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("hoody_code_instances{state=\"running\"} 0"), "{answer}");
}

#[test]
fn promtool_has_nothing_against_it() {
    let engine = FakeEngine::new();
    let (_daemon, address) = daemon(&engine, "");
    let run = |words: &[&str], input: &str| {
        let mut child = promtool()
            .args(words)
            .current_dir(packaging("prometheus"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {said}");
    };
    run(&["check", "rules", "alerts.yml"], "");
    run(&["test", "rules", "alerts.test.yml"], "");
    run(&["check", "metrics"], &scrape(address));
}
