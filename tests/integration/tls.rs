//! TLS: both kinds of HTTP above it, websockets over both, certificates that change under way, and clients that mean no good.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    BROWSER, Certificate, DEADLINE, Daemon, FakeEngine, Http2, Tls, cookie_of, eventually, exchange, expect_echoes, read_response,
};

const SECRET: &str = "secret";

struct Scene {
    engine: FakeEngine,
    dir: tempfile::TempDir,
    certificate: Certificate,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificate = Certificate::new(dir.path(), "first");
        Self { engine: FakeEngine::new(), dir, certificate }
    }

    fn start(&self, config: &str, listen: &[&str]) -> Daemon {
        let config = format!("{}{config}", self.certificate.config());
        Daemon::launch(tempfile::tempdir().unwrap(), self.engine.path(), &config, |command| {
            command.args(["--password", SECRET]);
            for address in listen {
                command.args(["--listen", address]);
            }
        })
    }

    fn tls(&self) -> Daemon {
        self.start("", &["https://127.0.0.1:0"])
    }
}

/// Signs in over `tls` and returns what goes into `Cookie`.
fn sign_in(tls: &mut Tls) -> String {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = tls.send("POST", "/api/v1/code/login", &form, format!("password={SECRET}").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.all("set-cookie").iter().all(|cookie| cookie.starts_with("__Host-") && cookie.contains("; Secure; ")));
    cookie_of(&answer, "session")
}

#[test]
fn both_kinds_of_http_and_old_clients_too() {
    let scene = Scene::new();
    let daemon = scene.tls();
    assert!(daemon.said().starts_with("https://127.0.0.1:"), "{}", daemon.said());
    let connect = |alpn: &[&str]| Tls::connect(daemon.address, &scene.certificate, alpn);
    for (offered, spoken) in [(&["http/1.1"][..], Some("http/1.1")), (&[], None), (&["h2", "http/1.1"], Some("h2"))] {
        assert_eq!(connect(offered).unwrap().alpn().as_deref(), spoken);
    }
    assert!(connect(&["spdy/1"]).is_err());
    let mut old = Tls::with_versions(daemon.address, &scene.certificate, &[], &[&rustls::version::TLS12]).unwrap();
    let health = old.send("GET", "/api/v1/code/health", &[], b"");
    assert_eq!((health.status, health.header("strict-transport-security")), (200, None));
    let cookie = sign_in(&mut old);
    let mut status = |cookie: &str| old.send("GET", "/api/v1/code/status", &[("Cookie", cookie)], b"").status;
    assert_eq!(status(&cookie), 200);
    assert_eq!(status(cookie.trim_start_matches("__Host-")), 401, "a cookie that an unencrypted page could have set");
    // The engine and its page learn that it is HTTPS.
    let seen = old.send("GET", "/stable-c0ffee/headers", &[("Cookie", &cookie)], b"").json();
    assert!(seen["raw"].as_array().unwrap().windows(2).any(|pair| pair[0] == "x-forwarded-proto" && pair[1] == "https"), "{seen}");
}

#[test]
fn strict_transport_is_the_operators_choice() {
    let scene = Scene::new();
    let daemon = scene.start("hsts = '180d'\n", &["https://127.0.0.1:0"]);
    let mut tls = Tls::connect(daemon.address, &scene.certificate, &[]).unwrap();
    let answer = tls.send("GET", "/login", &[BROWSER], b"");
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=15552000"));
}

#[tokio::test]
async fn http_2_carries_requests_and_websockets() {
    let scene = Scene::new();
    let daemon = scene.tls();
    let cookie = sign_in(&mut Tls::connect(daemon.address, &scene.certificate, &[]).unwrap());
    let mut http = Http2::connect(&daemon, &scene.certificate).await;
    assert_eq!(http.send("GET", "/api/v1/code/status", &[]).await.status, 401);
    let status = http.send("GET", "/api/v1/code/status", &[("cookie", "a=1"), ("cookie", &cookie)]).await;
    assert_eq!((status.status, status.json()["instance"].as_str()), (200, Some("default")));
    let seen = http.send("GET", "/stable-c0ffee/headers?q=%2F", &[("cookie", "a=1"), ("cookie", &cookie), ("cookie", "b=2")]).await.json();
    let raw = serde_json::to_string(&seen["raw"]).unwrap();
    assert!(raw.contains("\"a=1; b=2\"") && raw.contains(&format!("\"localhost:{}\"", daemon.address.port())), "{raw}");
    assert_eq!(seen["url"], "/stable-c0ffee/headers?q=%2F");
    let big = http.send("GET", "/stable-c0ffee/big?bytes=20000000", &[("cookie", &cookie)]).await;
    assert_eq!(big.body.len(), 20_000_000);
    // Of what HEAD gets over HTTP/1.1 no byte is a body, whatever is sent; here each would be one.
    for (path, status) in [("/robots.txt", 200), ("/_static/none", 404), ("/stable-c0ffee/static/none", 404), ("/api/v1/code/start", 405)] {
        let head = http.send("HEAD", path, &[("cookie", &cookie)]).await;
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{path}");
    }
    assert_eq!(http.send("GET", "/login", &[("host", "evil.example")]).await.status, 400, "two hosts");
    assert_eq!(http.send("GET", "/login", &[("x-many", "1"); 200]).await.status, 431);
    assert_eq!(http.send("GET", "/login", &[("cookie", "a=1"); 200]).await.status, 200, "cookies are one header");

    let origin = format!("https://localhost:{}", daemon.address.port());
    let path = "/stable-c0ffee?reconnectionToken=1";
    let mut refused = async |protocol, headers: &[(&str, &str)]| http.upgrade(protocol, path, headers).await.map(|_| ()).unwrap_err();
    assert_eq!(refused("websocket", &[("origin", &origin)]).await, 401);
    assert_eq!(refused("websocket", &[("origin", "https://evil.example"), ("cookie", &cookie)]).await, 403);
    assert_eq!(refused("connect-udp", &[("cookie", &cookie)]).await, 400);
    // An app that knows nothing of websockets and says 200: no tunnel, whatever it says.
    let app = http
        .send(
            "GET",
            "/stable-c0ffee/listen?bytes=485454502f312e3120323030204f4b0d0a436f6e74656e742d4c656e6774683a20350d0a0d0a68656c6c6f",
            &[("cookie", &cookie)],
        )
        .await
        .text();
    let refused =
        http.upgrade("websocket", &format!("/proxy/{app}/"), &[("origin", &origin), ("cookie", &cookie)]).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, 502);
    let mut socket = http.upgrade("websocket", path, &[("origin", &origin), ("cookie", &cookie)]).await.unwrap();
    expect_echoes(&mut socket).await;
    assert_eq!(http.send("GET", "/api/v1/code/status", &[("cookie", &cookie)]).await.json()["clients"], 1);
    let out = http.send("POST", "/api/v1/code/logout", &[("cookie", &cookie)]).await;
    assert_eq!(out.status, 200);
    assert!(matches!(socket.read(&mut [0; 1]).await, Ok(0) | Err(_)), "signed out, and its websocket is cut");
}

#[tokio::test]
async fn an_idle_http_2_connection_is_let_go_and_a_busy_one_is_not() {
    let scene = Scene::new();
    let daemon = scene.start("[limits]\nheader_timeout = '1s'\n[server]\ndrain = '1s'\n", &["https://127.0.0.1:0"]);
    let cookie = sign_in(&mut Tls::connect(daemon.address, &scene.certificate, &[]).unwrap());
    let idle = Http2::connect(&daemon, &scene.certificate).await;
    let mut busy = Http2::connect(&daemon, &scene.certificate).await;
    let mut socket = busy.upgrade("websocket", "/stable-c0ffee?reconnectionToken=1", &[("cookie", &cookie)]).await.unwrap();
    tokio::time::timeout(DEADLINE, idle.closed).await.unwrap().unwrap();
    socket.write_all(b"still here").await.unwrap();
    let mut got = [0; 10];
    socket.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"still here");
    // The drain counts it, and cuts it in the end.
    daemon.signal("TERM");
    daemon.wait_log("1 websockets");
    assert!(matches!(socket.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    tokio::time::timeout(DEADLINE, busy.closed).await.unwrap().unwrap();
}

#[tokio::test]
async fn health_is_told_when_all_places_are_taken() {
    let scene = Scene::new();
    let daemon = scene.start("[limits]\nconnections = 1\n", &["https://127.0.0.1:0"]);
    let _held = Http2::connect(&daemon, &scene.certificate).await;
    let mut spare = Http2::connect(&daemon, &scene.certificate).await;
    assert_eq!(spare.send("GET", "/api/v1/code/health", &[]).await.status, 200);
    let refused = spare.send("GET", "/manifest.json", &[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_connections"));
    tokio::time::timeout(DEADLINE, spare.closed).await.unwrap().unwrap();
}

#[test]
fn websockets_over_http_1() {
    let scene = Scene::new();
    let daemon = scene.tls();
    let mut tls = Tls::connect(daemon.address, &scene.certificate, &["http/1.1"]).unwrap();
    let cookie = sign_in(&mut tls);
    let head = format!(
        "GET /stable-c0ffee?reconnectionToken=1 HTTP/1.1\r\nHost: localhost:{0}\r\nOrigin: https://localhost:{0}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        daemon.address.port()
    );
    tls.write(head.as_bytes());
    assert_eq!(tls.answer().status, 101);
    tls.write(b"hello");
    tls.expect(b"hello");
}

#[test]
fn a_certificate_is_replaced_without_dropping_anybody() {
    let scene = Scene::new();
    let daemon = scene.tls();
    let mut early = Tls::connect(daemon.address, &scene.certificate, &["http/1.1"]).unwrap();
    let second = Certificate::new(scene.dir.path(), "second");
    assert!(Tls::connect(daemon.address, &second, &[]).is_err());
    let (good, key) = (std::fs::read(&second.certificate).unwrap(), std::fs::read(&second.key).unwrap());
    // Half of it: the certificate is new, the key still the old one. Then a broken, and an empty file.
    for broken in [&good[..], &good[..good.len() / 2], b""] {
        let before = daemon.log().matches("the old one stays").count();
        std::fs::write(&scene.certificate.certificate, broken).unwrap();
        daemon.signal("HUP");
        eventually("a refusal", || (daemon.log().matches("the old one stays").count() > before).then_some(()));
        assert!(daemon.log().contains(&scene.certificate.certificate.display().to_string()), "{}", daemon.log());
    }
    assert_eq!(early.send("GET", "/api/v1/code/health", &[], b"").status, 200);
    std::fs::write(&scene.certificate.certificate, &good).unwrap();
    std::fs::write(&scene.certificate.key, key).unwrap();
    daemon.signal("HUP");
    daemon.wait_log("configuration reloaded");
    let mut late = Tls::connect(daemon.address, &second, &[]).unwrap();
    assert_eq!(late.send("GET", "/api/v1/code/health", &[], b"").status, 200);
    assert_eq!(early.send("GET", "/api/v1/code/health", &[], b"").status, 200, "the same connection as before");
}

#[test]
fn plain_http_is_sent_to_tls_but_not_anywhere() {
    let scene = Scene::new();
    let daemon = scene.start("[server]\ndomains = ['code.example.com']\n", &["https://127.0.0.1:0", "redirect://127.0.0.1:0"]);
    let lines = eventually("two addresses", || {
        let said = daemon.said();
        (said.lines().count() >= 2).then_some(said)
    });
    let plain: SocketAddr = lines.lines().nth(1).unwrap().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let port = daemon.address.port();
    let get = |target: &str, host: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        read_response(&mut exchange(plain, request.as_bytes()), false).unwrap()
    };
    for (target, host, location) in [
        ("/?folder=/x%20y", "code.example.com", format!("https://code.example.com:{port}/?folder=/x%20y")),
        ("/login", "127.0.0.1:80", format!("https://127.0.0.1:{port}/login")),
        ("//evil.example/", "localhost", format!("https://localhost:{port}//evil.example/")),
    ] {
        let answer = get(target, host);
        assert_eq!((answer.status, answer.header("location")), (307, Some(location.as_str())));
    }
    for host in ["evil.example", "code.example.com.evil.example", "a b", "evil.example/"] {
        let answer = get("/", host);
        assert!(matches!(answer.status, 400 | 403) && answer.header("location").is_none(), "{host}: {}", answer.status);
    }
    let posted =
        format!("POST /api/v1/code/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\npassword={SECRET}", 9 + SECRET.len());
    let answer = read_response(&mut exchange(plain, posted.as_bytes()), false).unwrap();
    assert_eq!((answer.status, answer.header("set-cookie")), (307, None), "a password is not even read here");
}

#[test]
fn clients_that_mean_no_good_are_let_go() {
    let scene = Scene::new();
    let daemon = scene.tls();
    let mut plain = exchange(daemon.address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = read_response(&mut plain, false).unwrap();
    assert!(answer.status == 400 && answer.text().contains("https://"), "{answer:?}");
    let mut stalled = TcpStream::connect(daemon.address).unwrap();
    let mut halfway = TcpStream::connect(daemon.address).unwrap();
    halfway.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).unwrap();
    for bytes in [&b"\x16\x03\x01\xff\xff"[..], &[22; 2000], &[0; 100], b"\x80\x2e\x01\x00\x02", b"SSH-2.0-x\r\n"] {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 200, "{} bytes for {bytes:?}", rest.len());
    }
    // A name in the handshake that is none of ours changes nothing: there is one certificate.
    let mut good = Tls::connect(daemon.address, &scene.certificate, &[]).unwrap();
    assert_eq!(good.send("GET", "/api/v1/code/health", &[], b"").status, 200, "and others are served meanwhile");
    for stream in [&mut stalled, &mut halfway] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "who stalls is let go");
    }
}

#[test]
fn a_socket_of_systemd_named_https_speaks_tls() {
    let scene = Scene::new();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, scene.certificate.config()).unwrap();
    let activate = "import os, socket, sys\n\
        s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n\
        os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='https')\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    let mut child = Command::new("python3")
        .args(["-c", activate, env!("CARGO_BIN_EXE_hoody-code"), "serve", "--password", SECRET, "--data-dir"])
        .arg(dir.path().join("data"))
        .arg("--config")
        .arg(&config)
        .arg("--engine")
        .arg(scene.engine.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    let address = ([127, 0, 0, 1], line.trim().parse().unwrap()).into();
    let mut tls = Tls::connect(address, &scene.certificate, &[]).unwrap();
    assert_eq!(tls.send("GET", "/api/v1/code/health", &[], b"").json()["pid"].as_u64(), Some(u64::from(child.id())));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_cannot_be_served_is_said_in_one_line() {
    let scene = Scene::new();
    let other = Certificate::new(scene.dir.path(), "other");
    let run = |certificate: &std::path::Path, key: &std::path::Path| {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.toml");
        std::fs::write(&config, format!("[tls]\ncertificate = '{}'\nkey = '{}'\n", certificate.display(), key.display())).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_hoody-code"))
            .args(["serve", "--listen", "https://127.0.0.1:0", "--password", "x", "--data-dir"])
            .arg(dir.path().join("data"))
            .arg("--config")
            .arg(&config)
            .arg("--engine")
            .arg(scene.engine.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        assert_eq!(output.status.code(), Some(78), "{error}");
        error
    };
    let Certificate { certificate, key } = &scene.certificate;
    for (certificate, key, said) in [
        (certificate, &other.key, "match"),
        (key, key, "certificate"),
        (certificate, certificate, "key"),
        (&"/no/such.pem".into(), key, "/no/such.pem"),
    ] {
        let error = run(certificate, key);
        assert!(error.to_lowercase().contains(said), "{said}: {error}");
    }
}
