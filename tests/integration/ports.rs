//! Which ports are reached, by which URL, and what is said of those that are not.

use std::net::TcpListener;

use crate::support::{App, BROWSER, Daemon, FakeEngine, Response, WebSocket, cookie_of, eventually, post_password, request, with_password};

#[test]
fn all_forms_reach_an_app_on_either_loopback() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[server]\ndomains = ['example.com']\n");
    for address in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
        let app = App::start(&daemon, "alice", address);
        let port = app.port;
        let url = |path: &str, host: Option<String>| {
            let headers: Vec<_> = host.iter().map(|host| ("Host", host.as_str())).collect();
            let answer = daemon.send("GET", path, &headers);
            assert_eq!(answer.status, 200, "{path} on {address}: {}", answer.text());
            answer.json()["url"].as_str().unwrap().to_owned()
        };
        assert_eq!(url(&format!("/i/alice/proxy/{port}/a%2Fb//c?x=%20&y"), None), "/a%2Fb//c?x=%20&y");
        assert_eq!(url(&format!("/i/alice/proxy/{port}//x"), None), "//x");
        assert_eq!(url(&format!("/i/alice/absproxy/{port}/a?x"), None), format!("/i/alice/absproxy/{port}/a?x"));
        assert_eq!(url("/mint-key?x", Some(format!("{port}--alice.localhost:{}", daemon.address.port()))), "/mint-key?x");
    }
    let app = App::start(&daemon, "a-b-code-1", "127.0.0.1");
    let host = [("Host", "a-b-code-1.example.com")];
    assert_eq!(daemon.send("GET", &format!("/proxy/{}/x", app.port), &host).json()["url"], "/x");
    let host = format!("{}--a-b-code-1.example.com", app.port);
    assert_eq!(daemon.send("GET", "/i/alice/", &[("Host", &host)]).json()["url"], "/i/alice/");
}

#[test]
fn a_missing_slash_is_added() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let answer = daemon.get(&format!("/proxy/{}?a=1&b", app.port));
    assert_eq!((answer.status, answer.header("location")), (302, Some(format!("{}/?a=1&b", app.port).as_str())));
    let answer = request(daemon.address, "POST", &format!("/proxy/{}", app.port), &[], b"body");
    assert_eq!((answer.status, answer.header("location")), (307, Some(format!("{}/", app.port).as_str())));
    let path = format!("/absproxy/{}", app.port);
    assert_eq!(daemon.get(&path).json()["url"], path, "whether it wants a slash there is for the app to say");
}

#[test]
fn what_is_no_port_is_400() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    for path in
        ["/proxy/0/", "/proxy/65536/", "/proxy/007/", "/proxy/-1/", "/proxy//", "/proxy/", "/proxy/x/", "/proxy/%33000/", "/absproxy/0/"]
    {
        let answer = daemon.get(path);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_port"), "{path}");
    }
    for host in ["007--alice.localhost", "70000--alice.localhost", "3000--a_b.localhost"] {
        assert_eq!(daemon.send("GET", "/", &[("Host", host)]).code(), "invalid_port", "{host}");
    }
    assert_eq!(daemon.get("/proxy").status, 404);
}

#[test]
fn nobody_looks_into_other_instances_or_the_host() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[ports]\nallow = [1, 22]\ndeny = ['40000-40001']\n");
    let alice = App::start(&daemon, "alice", "127.0.0.1");
    let bob = App::start(&daemon, "bob", "::1");
    // A number that is free on the other loopback as well.
    let pair = || {
        let first = TcpListener::bind("127.0.0.1:0").ok()?;
        let second = TcpListener::bind(("::1", first.local_addr().ok()?.port())).ok()?;
        Some((first, second))
    };
    let (of_the_host, other) = (0..100).find_map(|_| pair()).unwrap();
    let on_all = TcpListener::bind("0.0.0.0:0").unwrap();
    let number = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let code = |id: &str, port: u16| {
        let answer = daemon.get(&format!("/i/{id}/proxy/{port}/"));
        if answer.status == 200 { "ok".to_owned() } else { format!("{} {}", answer.status, answer.code()) }
    };
    assert_eq!((code("alice", alice.port), code("bob", bob.port)), ("ok".into(), "ok".into()));
    for (id, port) in [
        ("alice", bob.port),
        ("bob", alice.port),
        ("alice", number(&of_the_host)),
        ("alice", number(&on_all)),
        ("alice", daemon.address.port()),
        ("alice", 1023),
        ("alice", 40_000),
    ] {
        assert_eq!(code(id, port), "403 port_refused", "{id} {port}");
    }
    assert_eq!(code("alice", 1), "502 port_unreachable", "allowed, but nobody is there");
    // On one loopback the host, on the other the instance: the instance's own is found.
    let port = number(&of_the_host);
    drop(other);
    let own = App::start_on(&daemon, "alice", "::1", port);
    assert_eq!(daemon.get(&format!("/i/alice/proxy/{}/x", own.port)).json()["url"], "/x");
    assert_eq!(code("bob", port), "403 port_refused");
}

#[test]
fn a_port_that_changes_hands_is_looked_at_again() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "alice", "127.0.0.1");
    let path = format!("/i/alice/proxy/{}/", app.port);
    assert_eq!(daemon.get(&path).status, 200);
    app.close();
    assert_eq!(daemon.get(&path).code(), "port_unreachable");
    let thief = TcpListener::bind(("127.0.0.1", app.port)).unwrap();
    assert_eq!(daemon.get(&path).code(), "port_refused");
    thief.set_nonblocking(true).unwrap();
    assert!(thief.accept().is_err(), "nobody has even knocked");
    drop(thief);
    App::start_on(&daemon, "alice", "0.0.0.0", app.port);
    assert_eq!(daemon.get(&path).status, 200);
}

#[test]
fn forms_and_the_whole_can_be_switched_off() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[ports]\npath_form = false\n");
    let app = App::start(&daemon, "default", "127.0.0.1");
    assert_eq!(daemon.get(&format!("/proxy/{}/", app.port)).code(), "port_refused");
    assert_eq!(daemon.get(&format!("/absproxy/{}/", app.port)).code(), "port_refused");
    assert_eq!(daemon.send("GET", "/", &[("Host", &format!("{}--default.localhost", app.port))]).status, 200);
    std::fs::write(daemon.config_file(), "[ports]\nenabled = false\n").unwrap();
    daemon.signal("HUP");
    eventually("the new configuration", || {
        (daemon.send("GET", "/", &[("Host", &format!("{}--default.localhost", app.port))]).status == 403).then_some(())
    });
}

#[test]
fn a_port_wakes_nobody_and_its_page_waits() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let answer = daemon.get("/i/alice/proxy/3000/");
    assert_eq!((answer.status, answer.code().as_str()), (502, "port_unreachable"));
    assert_eq!(daemon.status("alice")["state"], "stopped");
    let page = daemon.send("GET", "/i/alice/proxy/3000/", &[("Accept", "text/html")]);
    assert_eq!((page.status, page.header("hoody-code-error")), (502, Some("port_unreachable")));
    assert!(page.text().contains("data-hoody=\"port\"") && page.text().contains("location.reload"), "{}", page.text());
    let head = daemon.send("HEAD", "/i/alice/proxy/3000/", &[("Accept", "text/html")]);
    assert_eq!((head.status, head.header("hoody-code-error"), head.body.len()), (502, Some("port_unreachable"), 0));
}

#[test]
fn an_open_app_counts_as_use() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let socket = WebSocket::open(daemon.address, &format!("/proxy/{}/socket", app.port), &[]).map_err(|r| r.text()).unwrap();
    let stream = daemon.begin(&format!("/proxy/{}/events", app.port));
    eventually("both count", || (daemon.status("default")["clients"] == 2).then_some(()));
    drop((socket, stream));
    eventually("neither does", || (daemon.status("default")["clients"] == 0).then_some(()));
}

#[test]
fn the_workbench_is_told_how_to_open_ports() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[server]\ndomains = ['example.com']\n[ports]\nhost_form = true\n");
    let page = |path: &str, host: &str| daemon.send("GET", path, &[("Host", host)]).text();
    assert!(page("/?ew=1", "a-b-code-1.example.com").contains("//{{port}}--a-b-code-1.example.com/"));
    assert!(page("/i/alice/?ew=1", "localhost:8080").contains("//{{port}}--alice.localhost:8080/"));
    assert!(!page("/?ew=1", "127.0.0.1:8080").contains("{{port}}"), "an address has no names below it");
}

#[test]
fn a_page_on_another_port_may_ask_before_it_sends() {
    let engine = FakeEngine::new();
    let daemon = with_password(&engine, "secret", "");
    let ask = |method: &str, headers: &[(&str, &str)]| {
        let all: Vec<_> = [("Host", "8000--acme-web-code-1.localhost:9")].iter().chain(headers).copied().collect();
        daemon.send(method, "/api", &all)
    };
    let sibling = ("Origin", "http://5173--acme-web-code-1.localhost:9");
    let wants =
        [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "content-type,x-a"), ("Sec-Fetch-Site", "same-site")];
    let preflight = ask("OPTIONS", &[&[sibling], &wants[..]].concat());
    for (name, value) in [
        ("access-control-allow-origin", sibling.1),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "content-type,x-a"),
        ("vary", "Origin"),
    ] {
        assert_eq!((preflight.status, preflight.header(name)), (204, Some(value)), "{name}");
    }
    assert_eq!(ask("PUT", &[sibling, wants[2]]).code(), "unauthorized", "what is sent needs a session");
    assert_eq!(ask("OPTIONS", &[sibling, wants[2]]).code(), "unauthorized", "no preflight");
    for origin in ["http://5173--other-web-code-1.localhost:9", "https://evil.example", "null", "http://localhost:9"] {
        let answer = ask("OPTIONS", &[("Origin", origin), wants[0]]);
        assert!(answer.status >= 401 && answer.header("access-control-allow-origin").is_none(), "{origin}: {answer:?}");
    }
}

#[test]
fn forms_of_an_app_that_tells_nobody_its_address_are_its_own() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "");
    let app = App::start(&daemon, "default", "127.0.0.1");
    let host = format!("{}--default.localhost:{}", app.port, daemon.address.port());
    let path = format!("/proxy/{}/x", app.port);
    for (path, host) in [("/x", host), (path.as_str(), daemon.address.to_string())] {
        let post =
            |site: &[(&str, &str)]| daemon.send("POST", path, &[&[("Host", host.as_str()), ("Origin", "null")], site].concat()).status;
        assert_eq!(post(&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate")]), 200, "{host}");
        assert_eq!((post(&[]), post(&[("Sec-Fetch-Site", "cross-site")])), (403, 403), "{host}");
    }
}

#[test]
fn an_embedded_editor_has_a_pass_only_where_no_app_can_take_it() {
    let engine = FakeEngine::new();
    for (path_form, given) in [(true, false), (false, true)] {
        let config = format!("[embed]\nallow = ['https://app.example.com']\n[ports]\npath_form = {path_form}\n");
        let daemon = Daemon::start(engine.path(), &config);
        let passed = |site: &str, destination: &str| {
            let headers = [
                ("Referer", "https://app.example.com/"),
                ("Sec-Fetch-Site", site),
                ("Sec-Fetch-Mode", "navigate"),
                ("Sec-Fetch-Dest", destination),
            ];
            let page = daemon.send("GET", "/api/v1/code?ew=1", &headers);
            assert_eq!(page.status, 200, "{}", page.text());
            !page.text().contains("name=\"hoody-code \"")
        };
        assert_eq!((passed("cross-site", "iframe"), passed("same-origin", "iframe"), passed("none", "document")), (given, false, true));
    }
}

#[test]
fn a_preview_in_the_editor_gets_its_session_in_the_frame() {
    let engine = FakeEngine::new();
    let tables = "[server]\ntrusted_proxies = ['127.0.0.1']\n[embed]\nallow = ['https://app.example.com']\n";
    let daemon = with_password(&engine, "secret", tables);
    let (own, port) = ("acme-web-code-1.localhost:9", "3000--acme-web-code-1.localhost:9");
    let framed = |host: &str, path: &str, site: &str, cookie: &str| {
        let headers = [
            BROWSER,
            ("Host", host),
            ("Cookie", cookie),
            ("X-Forwarded-Proto", "https"),
            ("Sec-Fetch-Site", site),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "iframe"),
        ];
        daemon.send("GET", path, &headers)
    };
    let signed_in = post_password(&daemon, "/", "secret", &[("Host", own), ("X-Forwarded-Proto", "https")]);
    let cookie = cookie_of(&signed_in, "session");
    let step = |answer: &Response, host: &str| {
        assert_eq!(answer.status, 303, "{}", answer.text());
        answer.header("location").unwrap().strip_prefix(&format!("//{host}")).unwrap().to_owned()
    };
    let asked = step(&framed(port, "/x", "same-site", ""), own);
    let granted = step(&framed(own, &asked, "same-site", &cookie), port);
    let redeemed = framed(port, &granted, "same-site", "");
    assert_eq!((redeemed.status, redeemed.header("location")), (303, Some("/x")));
    let set = redeemed.all("set-cookie")[0];
    assert!(set.starts_with("__Host-") && set.ends_with("; Secure; SameSite=None; Partitioned"), "{set}");
    assert_eq!(framed(port, "/x", "same-site", &cookie_of(&redeemed, "session")).status, 502, "let in, though nothing listens there");
    // Where no cookie comes, one way out instead of a circle.
    for (host, path, site) in [(port, "/x", "cross-site"), (own, asked.as_str(), "cross-site"), (own, asked.as_str(), "same-site")] {
        let page = framed(host, path, site, "");
        assert_eq!((page.status, page.header("location")), (401, None), "{host} {site}");
        assert!(page.text().contains("href=\"\" target=\"_blank\""), "{}", page.text());
        assert!(!page.header("content-security-policy").unwrap().contains("frame-ancestors"), "{host}");
    }
    // Nothing else is open to frames, nor this to anything else.
    assert_eq!(framed(own, "/login", "same-site", "").status, 403);
    let fetch = [("Host", own), ("Cookie", cookie.as_str()), ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")];
    assert_eq!(daemon.send("GET", &asked, &fetch).code(), "origin_refused");
    let rebound = [("Host", "rebound.evil.example"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")];
    assert_eq!(daemon.send("GET", &asked, &rebound).code(), "origin_refused");
}
