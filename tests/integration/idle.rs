//! What nobody uses: stopped, kept when something of its user's runs, and back with the next request.

use crate::support::{Daemon, FakeEngine, WebSocket, eventually, real_engine};

const SOON: &str = "[instances]\nstop_after = '1s'\n";

fn is(daemon: &Daemon, id: &str, state: &str) -> Option<()> {
    (daemon.status(id)["state"] == state).then_some(())
}

#[test]
fn an_unused_engine_is_stopped_and_the_next_request_has_it_back() {
    let engine = real_engine();
    let daemon = Daemon::start(engine.dir(), SOON);
    for generation in 1..=2 {
        assert_eq!(daemon.get("/?ew=1").status, 200);
        assert_eq!(daemon.status("default")["generation"], generation);
        eventually("it is stopped", || is(&daemon, "default", "stopped"));
        assert_eq!(daemon.processes("default"), [0; 0]);
    }
    // A port of it is nobody's now; that wakes nothing.
    assert_eq!(daemon.get("/proxy/3000/").status, 502);
    assert_eq!(daemon.status("default")["state"], "stopped");
}

#[test]
fn a_websocket_or_a_job_keeps_it() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), SOON);
    let socket = WebSocket::open(daemon.address, "/i/open/stable-c0ffee/echo", &[]).unwrap_or_else(|answer| panic!("{}", answer.text()));
    engine.behave("detach");
    assert_eq!(daemon.get("/i/job/?ew=1").status, 200);
    engine.behave("");
    // Whoever came after them has gone long before they could have.
    for id in ["a", "b"] {
        assert_eq!(daemon.get(&format!("/i/{id}/?ew=1")).status, 200);
        eventually("an unused one is stopped", || is(&daemon, id, "stopped"));
    }
    assert!(is(&daemon, "open", "running").is_some() && is(&daemon, "job", "running").is_some());
    drop(socket);
    eventually("a closed websocket holds nothing", || is(&daemon, "open", "stopped"));
    eventually("the job has ended", || {
        // Again and again: a shell whose sleep was killed begins the next one.
        for pid in daemon.processes("job") {
            if std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| ["sh\n", "sleep\n"].contains(&&*name)) {
                let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
        is(&daemon, "job", "stopped")
    });
}

#[test]
fn a_page_that_waits_for_a_port_keeps_nothing() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), SOON);
    assert_eq!(daemon.get("/?ew=1").status, 200);
    eventually("it is stopped under the page's looks", || {
        let looked = daemon.send("HEAD", "/proxy/2999/", &[("hoody-code-waits", "1")]);
        assert_eq!((looked.status, looked.header("hoody-code-error")), (502, Some("port_unreachable")));
        is(&daemon, "default", "stopped")
    });
}

#[test]
fn a_reload_changes_its_mind() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[instances]\nstop_after = 'never'\n");
    assert_eq!(daemon.get("/?ew=1").status, 200);
    std::fs::write(daemon.config_file(), SOON).unwrap();
    daemon.signal("HUP");
    eventually("it is stopped", || is(&daemon, "default", "stopped"));
}

#[test]
fn a_full_house_makes_room() {
    let engine = FakeEngine::new();
    let daemon = Daemon::start(engine.path(), "[instances]\nmax_running = 2\nstop_after = '3s'\n");
    let kept = WebSocket::open(daemon.address, "/i/used/stable-c0ffee/echo", &[]).unwrap_or_else(|answer| panic!("{}", answer.text()));
    assert_eq!(daemon.get("/i/idle/?ew=1").status, 200);
    let refused = daemon.send("GET", "/i/new/?ew=1", &[("Accept", "text/html")]);
    assert!(refused.status == 503 && refused.text().contains("All places are taken"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    eventually("the idle one goes for it", || (daemon.get("/i/new/?ew=1").status == 200).then_some(()));
    assert!(is(&daemon, "idle", "stopped").is_some() && is(&daemon, "used", "running").is_some());
    drop(kept);
}
