//! Signing out.

use crate::support::{BROWSER, Daemon, FakeEngine, Response, WebSocket, sign_in};

const SECRET: &str = "secret";

fn daemon(engine: &FakeEngine) -> Daemon {
    Daemon::launch(tempfile::tempdir().unwrap(), engine.path(), "", |command| {
        command.args(["--listen", "127.0.0.1:0", "--password", SECRET]);
    })
}

fn status(daemon: &Daemon, cookie: &str) -> u16 {
    daemon.send("GET", "/i/alice/api/v1/code/status", &[("Cookie", cookie)]).status
}

#[test]
fn signing_out_ends_the_session_itself_and_what_it_had_opened() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine);
    let (one, two) = (sign_in(&daemon, "/i/alice/", SECRET), sign_in(&daemon, "/i/alice/", SECRET));
    let mut socket =
        WebSocket::open(daemon.address, "/i/alice/stable-c0ffee?reconnectionToken=1", &[("Cookie", &one)]).map_err(|r| r.text()).unwrap();
    let out = daemon.send("POST", "/i/alice/api/v1/code/logout", &[("Cookie", &one)]);
    assert_eq!(out.status, 200);
    let cleared = out.header("set-cookie").unwrap();
    assert!(
        cleared.starts_with("hoody-code-session-alice=;") && cleared.contains("Max-Age=0") && cleared.contains("Path=/i/alice;"),
        "{cleared}"
    );
    // A copy of the cookie is worth nothing any more; another browser's session is.
    assert_eq!((status(&daemon, &one), status(&daemon, &two)), (401, 200));
    assert!(socket.is_closed());
    let daemon = {
        let dir = daemon.stop();
        Daemon::launch(dir, engine.path(), "", |command| {
            command.args(["--listen", "127.0.0.1:0", "--password", SECRET]);
        })
    };
    assert_eq!((status(&daemon, &one), status(&daemon, &two)), (401, 200), "a restart revives nothing");
    assert_eq!(daemon.send("POST", "/i/alice/api/v1/code/logout", &[]).status, 200, "who has none may sign out too");
}

#[test]
fn the_workbench_signs_out_by_a_link_and_others_links_only_ask() {
    let engine = FakeEngine::new();
    let daemon = daemon(&engine);
    let cookie = sign_in(&daemon, "/i/alice/", SECRET);
    let go = |headers: &[(&str, &str)]| -> Response {
        let all: Vec<_> = [BROWSER, ("Cookie", cookie.as_str())].iter().chain(headers).copied().collect();
        daemon.send("GET", "/i/alice/logout?base=.&href=x", &all)
    };
    let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    let old_link = [("Referer", "https://evil.example/")];
    for headers in [&link[..], &old_link] {
        let asked = go(headers);
        assert!(asked.status == 200 && asked.text().contains("action=\"./api/v1/code/logout\""), "{}", asked.text());
        assert_eq!((asked.header("set-cookie"), status(&daemon, &cookie)), (None, 200));
    }
    let image = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")];
    assert_eq!((go(&image).status, status(&daemon, &cookie)), (403, 200));
    let foreign = daemon.send("POST", "/i/alice/api/v1/code/logout", &[("Cookie", &cookie), ("Origin", "https://evil.example")]);
    assert_eq!((foreign.status, status(&daemon, &cookie)), (403, 200));
    assert_eq!(daemon.send("HEAD", "/i/alice/logout", &[("Cookie", &cookie)]).status, 200);
    assert_eq!(status(&daemon, &cookie), 200, "nobody is signed out by looking");
    let out = go(&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]);
    assert_eq!((out.status, out.header("location")), (303, Some("./login")));
    assert_eq!(status(&daemon, &cookie), 401);
    assert_eq!(daemon.send("GET", "/api/v1/code/logout", &[]).header("allow"), Some("POST"));
}
