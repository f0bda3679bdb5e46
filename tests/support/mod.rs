//! The test kit: a daemon of its own per test, clients that say exactly what is sent, engines real and fake.
//!
//! Nothing here sleeps to wait for something: [`eventually`] looks again until a deadline.

mod app;
mod daemon;
mod fake;
mod http;
mod login;
mod tls;
mod websocket;

use std::time::{Duration, Instant};

pub(crate) use app::{App, percent};
pub(crate) use daemon::Daemon;
pub(crate) use fake::{FakeEngine, real_engine};
pub(crate) use http::{Response, exchange, read_response, request};
pub(crate) use login::{BROWSER, SECRET, cookie_of, guarded, post_password, sign_in, status_with, with_password};
pub(crate) use tls::{Certificate, Http2, Tls, expect_echoes};
pub(crate) use websocket::WebSocket;

/// Long enough for a busy machine; what works needs none of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Looks again until `probe` gives something.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
