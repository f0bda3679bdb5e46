//! The login. Much of it is here because a well-known peer gets it wrong: the cookie is the password's hash, checking it takes an
//! argon2 run per request, nothing ends a session, anybody can lock the owner out, and a refusal is a 200.

use crate::support::{
    BROWSER, FakeEngine, SECRET, WebSocket, cookie_of, guarded as daemon, post_password, request, sign_in, status_with as with,
};

#[test]
fn without_a_session_nothing_is_shown_and_nothing_starts() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    for (method, path) in [
        ("GET", "/i/alice/?ew=1"),
        ("GET", "/i/alice/api/v1/code"),
        ("GET", "/i/alice/api/v1/code/status"),
        ("GET", "/i/alice/api/v1/code/events"),
        ("POST", "/i/alice/mint-key"),
        ("POST", "/i/alice/api/v1/code/mint-key"),
        ("GET", "/i/alice/api/v1/code/state"),
        ("PATCH", "/i/alice/api/v1/code/state"),
        ("GET", "/i/alice/stable-c0ffee/headers"),
        ("GET", "/i/alice/vscode-remote-resource?path=/etc/passwd"),
        ("GET", "/i/alice/callback"),
        ("GET", "/i/alice/update/check"),
        ("GET", "/i/alice/api/v1/code/session-transfer?port=3000"),
    ] {
        let answer = daemon.send(method, path, &[]);
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{method} {path}");
        assert!(answer.header("www-authenticate").is_some() && answer.header("set-cookie").is_none(), "{path}");
    }
    let refused = WebSocket::open(daemon.address, "/i/alice/stable-c0ffee?reconnectionToken=1", &[]).map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), "unauthorized");
    assert!(!daemon.instance_dir("alice").exists());
    let health = daemon.get("/api/v1/code/health");
    assert_eq!((health.status, health.json()["instances"]["running"].as_u64()), (200, Some(0)), "health is for everybody");
    for path in ["/stable-c0ffee/static/out/vs/workbench.js", "/manifest.json", "/robots.txt", "/_static/src/browser/media/favicon.ico"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_person_is_sent_to_the_login_and_comes_back_to_the_page_asked_for() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let asked = daemon.send("GET", "/i/alice/?folder=/tmp&x=%20y", &[BROWSER]);
    assert_eq!((asked.status, asked.header("location")), (303, Some("./login?to=%3Ffolder%3D/tmp%26x%3D%2520y")));
    let framed = daemon.send("GET", "/i/alice/api/v1/code?ew=1", &[BROWSER]);
    assert_eq!(framed.header("location"), Some("../../login?to=api/v1/code%3Few%3D1"));
    let page = daemon.send("GET", "/i/alice/login?to=%3Ffolder%3D/tmp%26x%3D%2520y", &[BROWSER]);
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    assert!(page.text().contains("name=\"to\" value=\"?folder=/tmp&#38;x=%20y\""), "{}", page.text());
    assert!(page.text().contains("action=\"./api/v1/code/login\"") && page.text().contains("autocomplete=\"current-password\""));
    let form = |password: &str| format!("username=alice&to=%3Ffolder%3D%2Ftmp%26x%3D%2520y&password={password}");
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), BROWSER, ("Origin", &format!("http://{}", daemon.address))];
    let wrong = request(daemon.address, "POST", "/i/alice/api/v1/code/login", &headers, form("nope").as_bytes());
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("role=\"alert\"") && wrong.text().contains("action=\"../../../api/v1/code/login\""), "{}", wrong.text());
    assert!(
        wrong.text().contains("value=\"?folder=/tmp&#38;x=%20y\"") && !wrong.text().contains("nope"),
        "the page is kept, the password not"
    );
    let right = request(daemon.address, "POST", "/i/alice/api/v1/code/login", &headers, form("correct+horse+%26+staple").as_bytes());
    assert_eq!((right.status, right.header("location")), (303, Some("../../../?folder=/tmp&x=%20y")));
    let cookie = cookie_of(&right, "session");
    assert_eq!(with(&daemon, "GET", "/i/alice/?folder=/tmp", &cookie), 200);
    let again = daemon.send("GET", "/i/alice/login?to=%3Few%3D1", &[BROWSER, ("Cookie", &cookie)]);
    assert_eq!((again.status, again.header("location")), (303, Some("./?ew=1")), "nobody signs in twice");
}

#[test]
fn a_program_gets_json() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "session = '2h'\n---\n");
    let send = |body: &str| {
        request(daemon.address, "POST", "/api/v1/code/login", &[("Content-Type", "application/json; charset=utf-8")], body.as_bytes())
    };
    let right = send(&serde_json::json!({"password": SECRET}).to_string());
    assert_eq!((right.status, right.json()["instance"].as_str(), right.json()["expires_in"].as_u64()), (200, Some("default"), Some(7200)));
    assert!(!right.text().contains("hoody-code-session") && right.all("set-cookie")[0].contains("Max-Age=7200"));
    let wrong = send("{\"password\":\"nope\"}");
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "wrong_password"));
    for (body, status) in [
        ("{\"password\":1}", 400),
        ("{}", 400),
        ("", 400),
        ("[]", 400),
        ("{\"password\":\"a\\u0000b\"}", 401),
        ("{\"password\":\"\"}", 401),
    ] {
        assert_eq!(send(body).status, status, "{body}");
    }
}

#[test]
fn odd_requests_are_refused_before_any_password_is_looked_at() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let send = |kind: &str, body: &[u8]| request(daemon.address, "POST", "/api/v1/code/login", &[("Content-Type", kind)], body);
    const FORM: &str = "application/x-www-form-urlencoded";
    for (kind, body, status) in [
        ("text/plain", b"password=x".to_vec(), 415),
        ("multipart/form-data; boundary=x", b"password=x".to_vec(), 415),
        (FORM, b"to=x".to_vec(), 400),
        (FORM, b"password=%ff".to_vec(), 400),
        (FORM, b"password=\xff".to_vec(), 400),
        (FORM, [b"password=".to_vec(), vec![b'x'; 1025]].concat(), 400),
        (FORM, [b"password=".to_vec(), vec![b'x'; 100_000]].concat(), 413),
    ] {
        let answer = send(kind, &body);
        assert_eq!(answer.status, status, "{kind} {}: {}", String::from_utf8_lossy(&body[..body.len().min(40)]), answer.text());
        assert!(answer.header("set-cookie").is_none());
    }
    let long = request(
        daemon.address,
        "POST",
        "/api/v1/code/login",
        &[("Content-Type", FORM), BROWSER],
        &[b"password=".to_vec(), vec![b'x'; 1025]].concat(),
    );
    assert!(long.status == 400 && long.text().contains("at most 1024 bytes"), "{}", long.text());
    let no_type = request(daemon.address, "POST", "/api/v1/code/login", &[], b"password=x");
    assert_eq!(no_type.status, 415);
    assert!(!daemon.log().contains("failed login"), "{}", daemon.log());
    assert_eq!(daemon.send("DELETE", "/api/v1/code/login", &[]).header("allow"), Some("GET, HEAD, POST"));
    sign_in(&daemon, "/", SECRET);
}

#[test]
fn a_foreign_page_can_sign_nobody_in() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    for headers in [
        &[("Origin", "https://evil.example")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
    ] {
        let answer = post_password(&daemon, "/", SECRET, headers);
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_refused"), "{headers:?}");
        assert!(answer.header("set-cookie").is_none());
    }
    // A rebound name reaches not even the page.
    assert_eq!(daemon.send("GET", "/login", &[("Host", "rebound.evil.example"), BROWSER]).status, 403);
}

#[test]
fn the_way_back_leads_nowhere_else() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let cookie = sign_in(&daemon, "/", SECRET);
    for to in [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "https://evil.example",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
        "..%2F..%2Fevil",
        "%09//evil.example",
        "javascript:alert(1)",
        "%0d%0aSet-Cookie:x=1",
    ] {
        let answer = daemon.send("GET", &format!("/login?to={to}"), &[BROWSER, ("Cookie", &cookie)]);
        assert_eq!((answer.status, answer.header("location"), answer.header("set-cookie")), (303, Some("./"), None), "{to}");
    }
}

#[test]
fn a_session_is_for_one_instance_and_is_nothing_but_a_session() {
    let engine = FakeEngine::new();
    let own = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(own.path(), "hers alone").unwrap();
    let daemon = daemon(&engine, &format!("[login.instances.alice]\npassword_file = '{}'\n", own.path().display()));
    let (alice, bob) = (sign_in(&daemon, "/i/alice/", "hers alone"), sign_in(&daemon, "/i/bob/", SECRET));
    assert_eq!(post_password(&daemon, "/i/alice/", SECRET, &[]).status, 401, "her own password is the only one");
    assert_eq!(post_password(&daemon, "/i/bob/", "hers alone", &[]).status, 401);
    let status = |id: &str, cookie: &str| with(&daemon, "GET", &format!("/i/{id}/api/v1/code/status"), cookie);
    assert_eq!((status("alice", &alice), status("bob", &bob)), (200, 200));
    let value = |cookie: &str| cookie.split_once('=').unwrap().1.to_owned();
    for (id, cookie) in [
        ("alice", bob.clone()),
        ("bob", alice.clone()),
        ("alice", format!("hoody-code-session-alice={}", value(&bob))),
        ("bob", format!("hoody-code-session-bob={}", value(&alice))),
        ("alice", format!("hoody-code-session-alice={}", value(&bob).replace("bob", "alice"))),
        ("alice", format!("{}0", alice)),
        ("alice", "hoody-code-session-alice=".to_owned()),
        ("alice", format!("hoody-code-session-alice={SECRET}")),
        ("alice", format!("__Host-{alice}")),
        ("alice", alice.replace("session", "device")),
    ] {
        assert_eq!(status(id, &cookie), 401, "{id}: {cookie}");
    }
    assert_eq!(with(&daemon, "GET", "/api/v1/code/status", &format!("{alice}; {bob}")), 401, "nor the one at the root");
    // What a neighbour's host name has put there besides does no harm.
    assert_eq!(status("alice", &format!("hoody-code-session-alice=junk; a=b; hoody-code-session-alice=; {alice}")), 200);
    // The stored hash opens nothing.
    let kept = std::fs::read_to_string(daemon.data().join("auth/verifiers.json")).unwrap();
    let hash = serde_json::from_str::<serde_json::Value>(&kept).unwrap()["alice"]["hash"].as_str().unwrap().to_owned();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    assert_eq!(post_password(&daemon, "/i/alice/", &hash, &[]).status, 401);
    assert_eq!(status("alice", &format!("hoody-code-session-alice={hash}")), 401);
}

#[test]
fn cookies_are_as_strict_as_can_be_and_shadow_nobody() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "[server]\ntrusted_proxies = ['127.0.0.1']\n");
    let cookies = |root: &str, headers: &[(&str, &str)]| {
        let answer = post_password(&daemon, root, SECRET, headers);
        assert_eq!(answer.status, 200);
        answer.all("set-cookie").iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()
    };
    let plain = cookies("/i/alice/", &[]);
    assert_eq!(plain.len(), 2, "{plain:?}");
    for (cookie, name) in plain.iter().zip(["hoody-code-session-alice=", "hoody-code-device-alice="]) {
        assert!(
            cookie.starts_with(name) && cookie.contains("; Path=/i/alice; ") && cookie.ends_with("; HttpOnly; SameSite=Lax"),
            "{cookie}"
        );
    }
    let root = cookies("/", &[("X-Forwarded-Proto", "https")]);
    assert!(root[0].starts_with("__Host-hoody-code-session-default=") && root[0].contains("; Path=/; "), "{root:?}");
    assert!(root[0].ends_with("; HttpOnly; Secure; SameSite=Lax"), "{root:?}");
    let below = cookies("/i/bob/", &[("X-Forwarded-Proto", "https")]);
    assert!(below[0].starts_with("__Secure-hoody-code-session-bob=") && below[0].contains("; Path=/i/bob; "), "{below:?}");
    let host = cookies("/", &[("X-Forwarded-Proto", "https"), ("Host", "acme-web-code-1.localhost")]);
    assert!(host[0].starts_with("__Host-hoody-code-session-acme-web-code-1="), "{host:?}");
    // A proxy in front strips a prefix: only the page knows.
    let prefixed = cookies("/i/alice/", &[("Referer", "https://front.example/code/i/alice/login?to=x")]);
    assert!(prefixed[0].contains("; Path=/code/i/alice; "), "{prefixed:?}");
}

#[test]
fn engines_see_none_of_our_cookies() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let (root, alice) = (sign_in(&daemon, "/", SECRET), sign_in(&daemon, "/i/alice/", SECRET));
    let seen = daemon.seen_headers("/i/alice/stable-c0ffee/headers", &[("Cookie", &format!("{root}; a=1; {alice}")), ("Cookie", "b=2")]);
    let cookies: Vec<_> = seen.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies.join("; "), "a=1; b=2");
}

#[test]
fn a_cookie_that_is_no_ascii_signs_nobody_out_and_hides_nothing() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let cookie = sign_in(&daemon, "/i/alice/", SECRET);
    let seen = daemon.seen_headers("/i/alice/stable-c0ffee/headers", &[("Cookie", &format!("name=Jörg; {cookie}; b=2"))]);
    let cookies: Vec<_> = seen.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_str()).collect();
    assert!(cookies.len() == 1 && cookies[0].ends_with("; b=2") && !cookies[0].contains("hoody-code"), "{cookies:?}");
}

#[test]
fn the_page_speaks_the_visitors_language() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let page = |path: &str, accept: &str| daemon.send("GET", path, &[BROWSER, ("Accept-Language", accept)]).text();
    for (accept, lang, word) in [
        ("fr", "fr", "Mot de passe"),
        ("de-AT", "de", "Anmelden"),
        ("es", "es", "Contraseña"),
        ("ja", "ja", "パスワード"),
        ("zh-CN", "zh-Hans", "密码"),
        ("tlh", "en", "Sign in"),
    ] {
        let text = page("/login", accept);
        assert!(text.contains(&format!("<html lang=\"{lang}\">")) && text.contains(word), "{text}");
    }
    assert!(page("/login?to=%3Flocale%3Dja", "fr").contains("パスワード"), "what the page asked for shall be in");
    let wrong = post_password(&daemon, "/", "nope", &[BROWSER, ("Accept-Language", "fr")]);
    assert!(wrong.text().contains("n’est pas le bon"), "{}", wrong.text());
}

#[test]
fn a_session_reaches_the_host_name_of_a_port_and_no_other() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let at = |host: &str, path: &str, cookie: &str| daemon.send("GET", path, &[BROWSER, ("Host", host), ("Cookie", cookie)]);
    let (own, port) = ("acme-web-code-1.localhost:9", "3000--acme-web-code-1.localhost:9");
    let asked = at(port, "/x?y=1", "");
    let grant = "/api/v1/code/session-transfer?port=3000&to=x%3Fy%3D1";
    assert_eq!((asked.status, asked.header("location")), (303, Some(format!("//{own}{grant}").as_str())));
    assert_eq!(daemon.send("GET", "/x", &[("Host", port)]).code(), "unauthorized");
    let login = at(own, grant, "");
    assert!(login.header("location").unwrap().starts_with("../../../login?to=api/v1/code/session-transfer"), "{login:?}");
    let page = at(own, &format!("/{}", login.header("location").unwrap().trim_start_matches("../")), "");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains(&format!("form-action 'self' {port};")), "{policy}");
    let answer = post_password(&daemon, "/", SECRET, &[("Host", own)]);
    let cookie = cookie_of(&answer, "session");
    let granted = at(own, grant, &cookie);
    let location = granted.header("location").unwrap();
    let redeem = location.strip_prefix(&format!("//{port}")).unwrap_or_else(|| panic!("{location}"));
    assert_eq!(at("3001--acme-web-code-1.localhost:9", redeem, "").header("set-cookie"), None, "a ticket for another port");
    let granted = at(own, grant, &cookie);
    let redeem = granted.header("location").unwrap().strip_prefix(&format!("//{port}")).unwrap().to_owned();
    let redeemed = at(port, &redeem, "");
    assert_eq!((redeemed.status, redeemed.header("location")), (303, Some("/x?y=1")));
    let there = cookie_of(&redeemed, "session");
    assert!(redeemed.all("set-cookie")[0].contains("Path=/;"));
    assert_eq!(at(port, &redeem, "").header("set-cookie"), None, "one use");
    assert_eq!(at(port, "/x", &there).status, 502, "let in, though nothing listens there");
    for (host, cookie) in [(own, &there), ("3001--acme-web-code-1.localhost:9", &there), (port, &cookie)] {
        assert_eq!(at(host, "/x", cookie).status, if host == own { 404 } else { 303 }, "{host}");
    }
    assert_eq!(at(own, "/api/v1/code/status", &there).status, 303, "it is no session of the instance itself");
    assert_eq!(at(own, "/api/v1/code/session-transfer?port=evil.example/%23", &cookie).status, 400);
}

#[test]
fn events_end_with_the_session() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "");
    let cookie = sign_in(&daemon, "/", SECRET);
    let request = format!("GET /api/v1/code/events HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n", daemon.address);
    let mut stream = crate::support::exchange(daemon.address, request.as_bytes());
    let mut head = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    assert_eq!(daemon.send("POST", "/api/v1/code/logout", &[("Cookie", &cookie)]).status, 200);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(&mut stream, 10_000), &mut rest).map_or_else(|e| panic!("{e}: {rest}"), drop);
    assert!(rest.ends_with("0\r\n\r\n"), "the stream has ended: {rest}");
}

#[test]
fn who_comes_every_day_signs_in_once() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine, "session = '1h'\n---\n");
    let cookie = sign_in(&daemon, "/i/alice/", SECRET);
    let open = |path: &str| daemon.send("GET", path, &[BROWSER, ("Cookie", &cookie)]);
    assert_eq!(open("/i/alice/?ew=1").header("set-cookie"), None, "not with every page");
    let config = std::fs::read_to_string(daemon.config_file()).unwrap();
    std::fs::write(daemon.config_file(), config.replace("'1h'", "'1d'")).unwrap();
    daemon.signal("HUP");
    daemon.wait_log("configuration reloaded");
    // Less than half of what a session lasts is left.
    assert_eq!(open("/i/alice/api/v1/code/status").header("set-cookie"), None, "only for who opens the editor");
    let renewed = open("/i/alice/?ew=1");
    let line = renewed.header("set-cookie").unwrap();
    // Without a path the browser takes the page's own, which is the one that it had.
    assert!(line.starts_with("hoody-code-session-alice=") && line.contains("Max-Age=86400") && !line.contains("Path"), "{line}");
    let longer = cookie_of(&renewed, "session");
    assert_ne!(longer, cookie);
    assert_eq!(with(&daemon, "POST", "/i/alice/api/v1/code/logout", &cookie), 200);
    assert_eq!(with(&daemon, "GET", "/i/alice/api/v1/code/status", &longer), 401, "it is the same session");
}
