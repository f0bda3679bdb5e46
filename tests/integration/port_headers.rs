//! What is said of the client to an app, and what an app may say to the client.

use crate::support::{App, Daemon, FakeEngine, WebSocket, percent};

fn answer_path(mount: &str, status: u16, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|line| format!("&header={}", percent(line))).collect();
    format!("{mount}/a/answer?status={status}{headers}")
}

#[test]
fn an_app_knows_who_asks_and_by_which_url() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "alice", "127.0.0.1");
    let sent = [
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Secret", "1"),
        ("Connection", "X-Secret"),
        ("Cookie", "a=1; hoody-code-session=s3cr3t; b=2"),
        ("Cookie", "__Host-hoody-code-session=s3cr3t"),
        ("Authorization", "Bearer theirs"),
        ("Origin", "http://elsewhere.example"),
    ];
    let own = daemon.address.to_string();
    let seen = app.seen(&format!("/i/alice/proxy/{}/x", app.port), &sent);
    for (name, values) in [
        ("x-twice", &["1", "2"][..]),
        ("host", &[own.as_str()]),
        ("origin", &["http://elsewhere.example"]),
        ("authorization", &["Bearer theirs"]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-host", &[own.as_str()]),
        ("x-forwarded-prefix", &[format!("/i/alice/proxy/{}", app.port).as_str()]),
        ("forwarded", &[format!("for=127.0.0.1;host=\"{own}\";proto=http").as_str()]),
        ("cookie", &["a=1; b=2"]),
        ("x-secret", &[]),
    ] {
        let all: Vec<_> = seen.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(all, values, "{name}");
    }
    let seen = app.seen(&format!("/i/alice/absproxy/{}/x", app.port), &[]);
    assert!(!seen.iter().any(|(name, _)| name == "x-forwarded-prefix"), "nothing was taken off: {seen:?}");
}

#[test]
fn a_trusted_proxy_says_what_it_has_taken_off() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[server]\ntrusted_proxies = ['127.0.0.1']\n");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let proxy = [("X-Forwarded-Prefix", "/code/"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "2001:db8::1")];
    let seen = app.seen(&format!("/proxy/{}/x", app.port), &proxy);
    let header = |name: &str| seen.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap();
    assert_eq!(header("x-forwarded-prefix"), format!("/code/proxy/{}", app.port));
    assert_eq!(header("forwarded"), format!("for=\"[2001:db8::1]\";host=\"{}\";proto=https", daemon.address));
    let absolute = format!("/absproxy/{}/x", app.port);
    assert_eq!(daemon.send("GET", &absolute, &proxy).json()["url"], format!("/code{absolute}"));
    let cookie = daemon.send("GET", &answer_path(&format!("/proxy/{}", app.port), 200, &["Set-Cookie: s=1; Path=/"]), &proxy);
    assert_eq!(cookie.all("set-cookie"), [format!("s=1; Path=/code/proxy/{}/", app.port)]);
    for bad in ["code", "//evil.example", "/a;b", "/../x", "/a\"b"] {
        let url = daemon.send("GET", &absolute, &[("X-Forwarded-Prefix", bad)]).json()["url"].clone();
        assert_eq!(url, absolute, "{bad}");
    }
}

#[test]
fn references_and_cookies_are_rewritten_on_proxy_alone() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let port = app.port;
    let headers = [
        "Location: /login?x#y".to_owned(),
        format!("Content-Location: http://localhost:{port}/z"),
        "Refresh: 5; url=/r".to_owned(),
        "Set-Cookie: sid=1; Path=/; Domain=localhost; HttpOnly".to_owned(),
        "Set-Cookie: hoody-code-session=evil; Path=/".to_owned(),
        "Service-Worker-Allowed: /".to_owned(),
        "Clear-Site-Data: \"*\"".to_owned(),
        "Strict-Transport-Security: max-age=1".to_owned(),
        "Alt-Svc: h2=\"evil.example:443\"".to_owned(),
    ];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let path = |mount: &str| answer_path(mount, 302, &headers);
    let answer = daemon.get(&path(&format!("/proxy/{port}")));
    assert_eq!((answer.status, answer.header("location")), (302, Some("../login?x#y")));
    assert_eq!(answer.header("content-location"), Some("../z"));
    assert_eq!(answer.header("refresh"), Some("5; url=../r"));
    assert_eq!(answer.all("set-cookie"), [format!("sid=1; Path=/proxy/{port}/; HttpOnly")]);
    for shared in [answer, daemon.get(&path(&format!("/absproxy/{port}")))] {
        for name in ["service-worker-allowed", "clear-site-data", "strict-transport-security", "alt-svc"] {
            assert_eq!(shared.header(name), None, "{name} speaks for the editor too");
        }
    }
    let host = format!("{port}--default.localhost:{}", daemon.address.port());
    for (answer, what) in
        [(daemon.get(&path(&format!("/absproxy/{port}"))), "absproxy"), (daemon.send("GET", &path(""), &[("Host", &host)]), "host form")]
    {
        assert_eq!(answer.header("location"), Some("/login?x#y"), "{what}");
        assert_eq!(answer.header("refresh"), Some("5; url=/r"), "{what}");
        assert_eq!(answer.all("set-cookie"), ["sid=1; Path=/; Domain=localhost; HttpOnly"], "{what}");
    }
    let answer = daemon.send("GET", &path(""), &[("Host", &host)]);
    assert_eq!((answer.header("service-worker-allowed"), answer.header("clear-site-data")), (Some("/"), None), "cookies are the site's");
    let cache = daemon.send("GET", &answer_path("", 200, &["Clear-Site-Data: \"cache\""]), &[("Host", &host)]);
    assert_eq!(cache.header("clear-site-data"), Some("\"cache\""));
    let elsewhere = daemon.get(&answer_path(&format!("/proxy/{port}"), 302, &["Location: https://example.com/x"]));
    assert_eq!(elsewhere.header("location"), Some("https://example.com/x"));
}

#[test]
fn websockets_pass_without_our_cookies() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let own = format!("http://{}", daemon.address);
    let name = format!("{}--default.localhost:{}", app.port, daemon.address.port());
    let app_origin = format!("http://{name}");
    let sibling = format!("http://1234--default.localhost:{}", daemon.address.port());
    let path = format!("/proxy/{}/socket", app.port);
    for (path, headers) in [
        (path.as_str(), vec![("Origin", own.as_str())]),
        ("/socket", vec![("Host", name.as_str()), ("Origin", app_origin.as_str())]),
        ("/socket", vec![("Host", name.as_str()), ("Origin", sibling.as_str()), ("Sec-Fetch-Site", "same-site")]),
    ] {
        let mut all = headers.clone();
        all.push(("Cookie", "hoody-code-session=s3cr3t; theirs=1"));
        let (mut socket, head) = WebSocket::open_with_head(daemon.address, path, &all).map_err(|r| r.text()).unwrap();
        assert_eq!((head.header("x-cookie"), head.header("set-cookie")), (Some("theirs=1"), None));
        socket.send_raw(b"hello").unwrap();
        socket.expect_raw(b"hello");
    }
    for (path, headers) in [
        (path.as_str(), [("Host", own.trim_start_matches("http://")), ("Origin", "http://evil.example")]),
        ("/socket", [("Host", name.as_str()), ("Origin", "http://evil.example")]),
        ("/socket", [("Host", name.as_str()), ("Origin", own.as_str())]),
    ] {
        let refused = WebSocket::open(daemon.address, path, &headers).map(|_| ()).unwrap_err();
        assert_eq!((refused.status, refused.code().as_str()), (403, "origin_refused"), "{headers:?}");
    }
    let refused = WebSocket::open(daemon.address, &format!("/proxy/{}/refuse", app.port), &[]).map(|_| ()).unwrap_err();
    assert_eq!((refused.status, refused.text().as_str(), refused.header("x-why")), (403, "no entry", Some("test")));
}

#[test]
fn no_other_protocol_is_switched_to() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let seen = app.seen(
        &format!("/proxy/{}/x", app.port),
        &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
    );
    assert!(!seen.iter().any(|(name, _)| name == "upgrade" || name == "http2-settings"), "{seen:?}");
    let unasked = app.parrot(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw bytes");
    let answer = daemon.get(&format!("/proxy/{unasked}/"));
    assert_eq!((answer.status, answer.code().as_str()), (502, "port_unreachable"), "{}", answer.text());
}
