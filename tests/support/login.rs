//! Signing in, as a browser and as a program do it.

use super::daemon::Daemon;
use super::fake::FakeEngine;
use super::http::{Response, request};

/// What a browser accepts when somebody goes somewhere.
pub(crate) const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// Sends `password` as a form to the instance at `root` (`/` or `/i/ID/`).
pub(crate) fn post_password(daemon: &Daemon, root: &str, password: &str, headers: &[(&str, &str)]) -> Response {
    let encoded: String = password.bytes().map(|b| format!("%{b:02x}")).collect();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let headers: Vec<_> = form.iter().chain(headers).copied().collect();
    request(daemon.address, "POST", &format!("{root}api/v1/code/login"), &headers, format!("password={encoded}").as_bytes())
}

/// Signs in and returns what goes into `Cookie` from then on.
#[track_caller]
pub(crate) fn sign_in(daemon: &Daemon, root: &str, password: &str) -> String {
    let answer = post_password(daemon, root, password, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    cookie_of(&answer, "session")
}

/// `NAME=VALUE` of the session's or the device's cookie that an answer sets.
#[track_caller]
pub(crate) fn cookie_of(answer: &Response, kind: &str) -> String {
    let name = format!("hoody-code-{kind}-");
    let all = answer.all("set-cookie");
    let cookie = all.iter().find(|cookie| cookie.split('=').next().is_some_and(|own| own.contains(&name)));
    cookie.unwrap_or_else(|| panic!("no {kind} in {all:?}")).split(';').next().expect("a pair").to_owned()
}

/// A daemon whose service-wide password is `secret`. `more` is TOML: further keys of `[login]`, `---` on a line, then tables; or
/// tables only.
pub(crate) fn with_password(engine: &FakeEngine, secret: &str, more: &str) -> Daemon {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("password");
    std::fs::write(&file, format!("{secret}\n")).expect("a file");
    let (keys, tables) = more.split_once("\n---\n").unwrap_or(("", more));
    Daemon::with_login_in(dir, engine.path(), &format!("[login]\npassword_file = '{}'\n{keys}\n{tables}", file.display()))
}

/// The password of [`guarded`].
pub(crate) const SECRET: &str = "correct horse & staple";

/// A daemon whose service-wide password is [`SECRET`].
pub(crate) fn guarded(engine: &FakeEngine, more: &str) -> Daemon {
    with_password(engine, SECRET, more)
}

/// The status of an answer to a request with `cookie`.
pub(crate) fn status_with(daemon: &Daemon, method: &str, path: &str, cookie: &str) -> u16 {
    daemon.send(method, path, &[("Cookie", cookie)]).status
}
