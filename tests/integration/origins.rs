//! Other people's host names and other people's pages.

use crate::support::{Daemon, FakeEngine, WebSocket, request};

#[test]
fn a_rebound_host_name_is_refused() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[server]\ndomains = ['srv7.example.com']\n");
    let port = daemon.address.port();
    let code = |host: &str| {
        let answer = daemon.send("GET", "/update/check", &[("Host", host)]);
        if answer.status == 200 { "ok".to_owned() } else { answer.code() }
    };
    for host in ["evil.example", "127.0.0.1.evil.example", "srv7.example.com.evil.example", "10.0.0.1"] {
        assert_eq!(code(host), "origin_refused", "{host}");
    }
    for host in
        [format!("localhost:{port}"), "127.0.0.1".into(), "[::1]:9".into(), "x.localhost".into(), "acme-web-code-1.srv7.example.com".into()]
    {
        assert_eq!(code(&host), "ok", "{host}");
    }
    // Nobody is believed who only says that he forwards.
    assert_eq!(daemon.send("GET", "/update/check", &[("Host", "evil.example"), ("X-Forwarded-Host", "localhost")]).status, 403);
}

#[test]
fn other_origins_may_link_but_not_script() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let own = format!("http://{}", daemon.address);
    let ws = |origin: &str| {
        WebSocket::open(daemon.address, "/stable-c0ffee?reconnectionToken=1", &[("Origin", origin)]).map(|_| ()).map_err(|r| r.code())
    };
    assert_eq!(ws("http://evil.example"), Err("origin_refused".into()));
    assert_eq!(ws("null"), Err("origin_refused".into()));
    assert_eq!(ws(&format!("http://localhost:{}", daemon.address.port())), Err("origin_refused".into()));
    assert_eq!(ws(&own), Ok(()));
    let page = daemon.get("/?ew=1").text();
    let pass = page.split("let pass = \"").nth(1).unwrap().split('"').next().unwrap();
    let post =
        |origin: &str, pass| request(daemon.address, "POST", "/mint-key", &[("Origin", origin), ("Hoody-Code-Page", pass)], b"").status;
    assert_eq!((post("http://evil.example", pass), post(&own, pass)), (403, 200));
    assert_eq!(post(&own, "x"), 403, "an app on /proxy is of our origin, and is not the editor");
    assert_eq!(request(daemon.address, "POST", "/i/bob/mint-key", &[("Origin", &own), ("Hoody-Code-Page", pass)], b"").status, 403);
    let fetch = |path: &str, site: &str, mode: &str| daemon.send("GET", path, &[("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)]).status;
    assert_eq!(fetch("/i/victim/?ew=1", "cross-site", "no-cors"), 403, "an image on another page starts nothing");
    assert_eq!(fetch("/i/victim/?ew=1", "same-site", "cors"), 403, "nor does a dev server on another port");
    assert_eq!(daemon.status("victim")["state"], "stopped");
    assert_eq!(fetch("/?ew=1", "cross-site", "navigate"), 200, "a link is a link");
    assert_eq!(fetch("/?ew=1", "same-origin", "cors"), 403, "the editor's page is not fetched, not even from our own origin");
    let framed = |path: &str| {
        let headers = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")];
        daemon.send("GET", path, &headers).text()
    };
    assert!(framed("/?ew=1").contains("let pass = \"\""), "what is around the frame may read in it");
    assert!(framed("/api/v1/code?ew=1").contains("name=\"hoody-code \""));
    assert!(!daemon.get("/api/v1/code?ew=1").text().contains("name=\"hoody-code \""));
    let frame = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")];
    assert_eq!(daemon.send("GET", "/i/victim/?ew=1", &frame).status, 403, "a frame in a foreign page is none");
    assert_eq!(daemon.status("victim")["state"], "stopped");
}

#[test]
fn a_trusted_proxy_is_believed() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[server]\ndomains = ['example.com']\ntrusted_proxies = ['127.0.0.1']\n");
    let headers = [
        ("Host", "a-b-code-1.example.com"),
        ("X-Forwarded-For", "7.7.7.7"),
        ("X-Forwarded-For", "6.6.6.6, 10.1.2.3"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "victim-b-code-1.example.com"),
    ];
    let seen = daemon.seen_headers("/stable-c0ffee/headers", &headers);
    let header = |name: &str| seen.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(header("x-forwarded-for"), Some("10.1.2.3"));
    assert_eq!(header("x-forwarded-proto"), Some("https"));
    assert_eq!(header("x-forwarded-host"), Some("a-b-code-1.example.com"));
    daemon.wait_log("client=\"10.1.2.3\"");
    assert_eq!(daemon.send("GET", "/api/v1/code/status", &headers).json()["instance"], "a-b-code-1");
}
