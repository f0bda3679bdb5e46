//! The operator's page on a listener of its own: its login, and what is not there.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::{BROWSER, Certificate, Daemon, FakeEngine, Response, Tls, eventually, request, sign_in};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A daemon whose instances open with `secret` and whose page opens with `boss`.
fn daemon(engine: &FakeEngine) -> (Daemon, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("operator"), "boss\n").unwrap();
    let config = format!("[dashboard]\nlisten = '127.0.0.1:0'\npassword_file = '{}'\n", dir.path().join("operator").display());
    let daemon = Daemon::launch(dir, engine.path(), &config, |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", "secret"]);
    });
    let address = address(&daemon, "http");
    (daemon, address)
}

fn address(daemon: &Daemon, scheme: &str) -> SocketAddr {
    let mark = format!("dashboard: {scheme}://");
    daemon.wait_log(&mark);
    daemon.log().split(&mark).nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
}

fn post_password(address: SocketAddr, password: &str) -> Response {
    request(address, "POST", "/api/v1/code/login", &[JSON], format!("{{\"password\":\"{password}\"}}").as_bytes())
}

fn cookie(answer: &Response) -> String {
    let all = answer.all("set-cookie");
    let cookie = all.iter().find(|cookie| cookie.contains("hoody-code-operator-session="));
    cookie.unwrap_or_else(|| panic!("{all:?}")).split(';').next().unwrap().to_owned()
}

fn operator(address: SocketAddr) -> String {
    let answer = post_password(address, "boss");
    assert_eq!(answer.status, 200, "{}", answer.text());
    cookie(&answer)
}

#[test]
fn two_logins_that_open_nothing_of_each_other() {
    let engine = FakeEngine::new();
    let (daemon, board) = daemon(&engine);
    assert_eq!(request(board, "GET", "/login", &[("Host", "operator.localhost:9000")], b"").status, 200, "a name with cookies of its own");
    let page = request(board, "GET", "/", &[BROWSER], b"");
    assert_eq!((page.status, page.header("location")), (303, Some("./login")));
    let login = request(board, "GET", "/login", &[BROWSER], b"");
    assert!(login.status == 200 && login.text().contains("value=\"operator\""), "{}", login.text());
    assert_eq!(request(board, "GET", "/_static/src/browser/media/favicon-dark-support.svg", &[], b"").status, 200);
    for path in ["/", "/dashboard.js", "/api/v1/instances", "/api/v1/instances/alice/logs", "/metrics", "/nowhere"] {
        assert_eq!(request(board, "GET", path, &[], b"").code(), "unauthorized", "{path}");
    }
    assert_eq!(post_password(board, "secret").code(), "wrong_password", "not that of instances");
    assert_eq!(crate::support::post_password(&daemon, "/", "boss", &[]).status, 401, "nor the other way round");
    daemon.wait_log("failed login to the dashboard from 127.0.0.1");

    let boss = operator(board);
    let shown = request(board, "GET", "/", &[("Cookie", &boss)], b"");
    assert!(shown.text().contains("Sign out") && shown.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    // The names differ; what counts is that the other's token is none here, under whatever name it comes.
    let alice = sign_in(&daemon, "/i/default/", "secret");
    let token = |cookie: &str| cookie.split_once('=').unwrap().1.to_owned();
    for cookie in [alice.clone(), format!("hoody-code-operator-session={}", token(&alice))] {
        assert_eq!(request(board, "GET", "/api/v1/instances", &[("Cookie", &cookie)], b"").status, 401, "{cookie}");
    }
    for cookie in [boss.clone(), format!("hoody-code-session-default={}", token(&boss))] {
        assert_eq!(daemon.send("GET", "/api/v1/code/status", &[("Cookie", &cookie)]).status, 401, "{cookie}");
    }
}

#[test]
fn what_can_be_done_there() {
    let engine = FakeEngine::new();
    let (daemon, board) = daemon(&engine);
    let boss = operator(board);
    let ask = |method: &str, path: &str, more: &[(&str, &str)]| {
        let cookie = [("Cookie", boss.as_str())];
        let headers: Vec<_> = cookie.iter().chain(more).copied().collect();
        request(board, method, path, &headers, b"")
    };
    assert_eq!(ask("POST", "/api/v1/instances/alice/start", &[]).json()["state"], "running");
    daemon.wait_log("operator: POST /api/v1/instances/alice/start");
    let list = ask("GET", "/api/v1/instances", &[]).json();
    assert_eq!((&list["instances"][0]["id"], &list["instances"][0]["state"]), (&"alice".into(), &"running".into()));
    assert!(list["host"]["load"].as_array().unwrap().len() == 3 && list["host"]["processors"].as_u64() > Some(0), "{list}");
    assert_eq!(list["host"]["pressure"].as_object().unwrap().len(), list["host"]["stalled"].as_object().unwrap().len());
    assert!(ask("GET", "/api/v1/instances/alice/logs", &[]).json()["lines"].is_array());
    assert_eq!(ask("POST", "/api/v1/instances/alice/restart", &[]).json()["state"], "running");
    assert_eq!(ask("POST", "/api/v1/instances/alice/stop", &[]).json()["state"], "stopped");
    engine.behave("die");
    assert_eq!(ask("POST", "/api/v1/instances/alice/start", &[]).status, 502);
    let log = ask("GET", "/api/v1/instances/alice/logs", &[]).json();
    let lines: Vec<_> = log["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(lines.contains(&"second line") && lines.contains(&"I cannot go on"), "{lines:?}");

    // Nothing else is there: no order that deletes or opens something, no instance, no other door.
    for (method, path) in [
        ("DELETE", "/api/v1/instances/alice"),
        ("DELETE", "/api/v1/instances/alice?purge=true"),
        ("DELETE", "/api/v1/sessions"),
        ("POST", "/api/v1/drain?idle=0&deadline=0"),
        ("POST", "/api/v1/instances/alice/extensions"),
        ("GET", "/api/v1/instances/alice/extensions"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/address"),
        ("GET", "/api/v1/code/status"),
        ("POST", "/api/v1/code/start"),
        ("POST", "/mint-key"),
        ("GET", "/i/alice/"),
        ("GET", "/proxy/3000/"),
        ("GET", "/_static/out/browser/serviceWorker.js"),
    ] {
        assert_eq!(ask(method, path, &[]).status, 404, "{method} {path}");
    }
    assert!(daemon.instance_dir("alice").is_dir());

    // Nobody else's page gives orders, and no name of an instance leads here.
    let stop = |headers: &[(&str, &str)]| ask("POST", "/api/v1/instances/alice/stop", headers).status;
    assert_eq!(stop(&[("Origin", "https://evil.example")]), 403);
    assert_eq!(stop(&[("Origin", &format!("http://{}", daemon.address))]), 403, "not even a page of an editor's");
    assert_eq!(stop(&[("Sec-Fetch-Site", "same-site")]), 403);
    assert_eq!(stop(&[("Host", "evil.example")]), 403);
    assert_eq!(stop(&[("Host", "acme-web-code-1.localhost")]), 404);
    assert_eq!(
        ask("GET", "/", &[("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")]).status,
        403
    );
    assert_eq!(stop(&[("Origin", &format!("http://{board}")), ("Sec-Fetch-Site", "same-origin")]), 200);

    // And nothing of it where people come in.
    let alice = sign_in(&daemon, "/i/alice/", "secret");
    for path in ["/api/v1/instances", "/dashboard.js", "/i/alice/api/v1/instances"] {
        assert_eq!(daemon.send("GET", path, &[("Cookie", &alice)]).status, 404, "{path}");
    }
}

#[test]
fn sessions_end() {
    let engine = FakeEngine::new();
    let (daemon, board) = daemon(&engine);
    let status = |cookie: &str| request(board, "GET", "/api/v1/instances", &[("Cookie", cookie)], b"").status;
    let (first, second) = (operator(board), operator(board));
    let left = request(board, "POST", "/api/v1/code/logout", &[("Cookie", &first)], b"");
    assert!(left.status == 200 && left.all("set-cookie")[0].starts_with("hoody-code-operator-session=;"), "{left:?}");
    assert_eq!((status(&first), status(&second)), (401, 200));

    let socket = daemon.data().join("control.sock");
    let revoke = |who: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoody-code"));
        assert!(command.args(["sessions", "revoke", who, "--socket"]).arg(&socket).output().unwrap().status.success());
    };
    revoke("alice");
    assert_eq!(status(&second), 200);
    revoke("--all");
    assert_eq!(status(&second), 401, "all are all");

    // A reload with another password ends them; one without any is refused.
    let third = operator(board);
    let config = std::fs::read_to_string(daemon.config_file()).unwrap();
    std::fs::write(daemon.config_file(), "").unwrap();
    daemon.signal("HUP");
    daemon.wait_log("its password is gone");
    assert_eq!(status(&third), 200, "what was in force stays");
    std::fs::write(daemon.config_file().with_file_name("operator"), "another").unwrap();
    std::fs::write(daemon.config_file(), config).unwrap();
    daemon.signal("HUP");
    eventually("the new password", || (status(&third) == 401).then_some(()));
    assert_eq!((post_password(board, "boss").status, post_password(board, "another").status), (401, 200));
}

#[test]
fn guessing_is_slow_and_keeps_nobody_out() {
    let engine = FakeEngine::new();
    let (daemon, board) = daemon(&engine);
    let answers: Vec<_> = (0..11).map(|_| post_password(board, "guess").status).collect();
    assert_eq!(answers, [[401; 10].as_slice(), &[429]].concat());
    assert_eq!(crate::support::post_password(&daemon, "/", "secret", &[]).status, 200, "at the other door nobody has guessed");
}

#[test]
fn over_tls_and_only_so_for_others() {
    let engine = FakeEngine::new();
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(dir.path(), "server");
    std::fs::write(dir.path().join("operator"), "boss\n").unwrap();
    let password = format!("password_file = '{}'\n", dir.path().join("operator").display());
    let tls = certificate.config();
    let check = |listen: &str, more: &str| {
        let file = dir.path().join("x.toml");
        std::fs::write(&file, format!("[server]\ndata_dir = '/x'\n[dashboard]\nlisten = '{listen}'\n{more}")).unwrap();
        let checked = Command::new(env!("CARGO_BIN_EXE_hoody-code")).args(["config", "check"]).arg(&file).output().unwrap();
        String::from_utf8_lossy(&checked.stderr).into_owned()
    };
    assert!(check("0.0.0.0:9465", &format!("{password}{tls}")).contains("plain HTTP is for loopback"));
    assert!(check("127.0.0.1:9465", "").contains("needs a password of its own"));
    assert_eq!(check("https://0.0.0.0:9465", &format!("{password}{tls}")), "");

    let config = format!("[dashboard]\nlisten = 'https://127.0.0.1:0'\n{password}{tls}");
    let daemon = Daemon::start(engine.path(), &config);
    let board = address(&daemon, "https");
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut client = Tls::connect(board, &certificate, &["http/1.1"]).unwrap();
        client.send(method, path, headers, body)
    };
    let answer = send("POST", "/api/v1/code/login", &[JSON], b"{\"password\":\"boss\"}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let boss = cookie(&answer);
    assert!(boss.starts_with("__Host-hoody-code-operator-session="), "{boss}");
    assert_eq!(send("GET", "/api/v1/instances", &[("Cookie", &boss)], b"").status, 200);
    assert_eq!(daemon.get("/i/alice/?ew=1").status, 200, "where instances ask for nothing, the operator's page does all the same");
    assert_eq!(send("GET", "/api/v1/instances", &[], b"").status, 401);
}
