//! Our own pages: the loader, the frame, the error. Small, without a build step, and readable without scripts.

use askama::Template;
use http::Response;
use http::header::{self, HeaderValue};

use super::answer::{plain, set};
use crate::config::Page;
use crate::model::{HostName, InstanceId};
use crate::proxy::{Body, Forwarded};

pub(super) mod words;

use words::Words;

/// Whose pages may frame ours: our own, and those that the operator allows.
pub(super) fn frame_ancestors(page: &Page) -> String {
    page.embedders.iter().fold("frame-ancestors 'self'".to_owned(), |policy, origin| format!("{policy} {origin}"))
}

/// The script that brings a page back whose connection is no longer known.
pub(super) const RECONNECT: &str = include_str!("pages/reconnect.html");

#[derive(Template)]
#[template(path = "loader.html", config = "src/front/pages/askama.toml")]
struct Loader<'a> {
    look: Look<'a>,
    nonce: &'a str,
}

#[derive(Template)]
#[template(path = "installing.html", config = "src/front/pages/askama.toml")]
struct Installing<'a> {
    look: Look<'a>,
    nonce: &'a str,
    extension: &'a str,
    /// Seconds after which the page goes on without it; 0 when it cannot.
    patience: u64,
}

#[derive(Template)]
#[template(path = "overlay.html", config = "src/front/pages/askama.toml")]
struct Overlay<'a> {
    look: Look<'a>,
}

#[derive(Template)]
#[template(path = "attend.html", config = "src/front/pages/askama.toml")]
struct Attend {
    milliseconds: u128,
}

#[derive(Template)]
#[template(path = "asleep.html", config = "src/front/pages/askama.toml")]
struct Asleep<'a> {
    look: Look<'a>,
    nonce: &'a str,
}

#[derive(Template)]
#[template(path = "embed.html", config = "src/front/pages/askama.toml")]
struct Embed<'a> {
    look: Look<'a>,
    nonce: &'a str,
    query: &'a str,
    pass: &'a str,
}

#[derive(Template)]
#[template(path = "error.html", config = "src/front/pages/askama.toml")]
struct Error<'a> {
    look: Look<'a>,
    nonce: &'a str,
    heading: &'a str,
    message: &'a str,
    advice: &'a str,
    log: &'a [String],
    retry: Retry,
    root: &'a str,
    to: &'a str,
}

#[derive(Template)]
#[template(path = "login.html", config = "src/front/pages/askama.toml")]
struct Login<'a> {
    look: Look<'a>,
    nonce: &'a str,
    words: &'static Words,
    title: &'a str,
    instance: &'a str,
    named: bool,
    root: &'a str,
    to: &'a str,
    locale: &'a str,
    elsewhere: bool,
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "logout.html", config = "src/front/pages/askama.toml")]
struct Logout<'a> {
    look: Look<'a>,
    nonce: &'a str,
    words: &'static Words,
    title: &'a str,
    instance: &'a str,
    named: bool,
    root: &'a str,
}

#[derive(Template)]
#[template(path = "port.html", config = "src/front/pages/askama.toml")]
struct Port<'a> {
    look: Look<'a>,
    nonce: &'a str,
    heading: &'a str,
    message: &'a str,
    advice: &'a str,
}

/// The operator's branding.
struct Look<'a> {
    name: &'a str,
    background: &'a str,
    foreground: &'a str,
    accent: &'a str,
    /// Relative to the instance's root.
    logo: &'a str,
}

impl<'a> Look<'a> {
    fn of(page: &'a Page) -> Self {
        let logo = if page.logo.is_some() { "_static/page/logo" } else { "_static/src/browser/media/favicon-dark-support.svg" };
        Self { name: &page.name, background: &page.background, foreground: &page.foreground, accent: &page.accent, logo }
    }
}

/// Shown while a fresh instance starts; follows the start and goes to the editor when it answers.
pub(super) fn loader(page: &Page) -> Response<Body> {
    let nonce = nonce();
    html(page, &Loader { look: Look::of(page), nonce: &nonce }, &nonce, "")
}

/// Shown while an extension is installed that a page cannot do without; comes back to the same address when that has ended, or
/// after `patience` seconds (0: never).
pub(super) fn installing(page: &Page, extension: &str, patience: u64) -> Response<Body> {
    let nonce = nonce();
    html(page, &Installing { look: Look::of(page), nonce: &nonce, extension, patience }, &nonce, "")
}

/// Put into the workbench's page when the loader is on: the same picture, kept until the editor is up. `{nonce}` is left for
/// whoever knows the page's.
pub(super) fn overlay(page: &Page) -> String {
    Overlay { look: Look::of(page) }.render().unwrap_or_default()
}

/// Put into the workbench's page when idle tabs count as nobody: leaves for [`asleep`] when nobody has been at it for so long. As a
/// page that is left, because only so does the workbench close what it has open, and does not connect again.
pub(super) fn attend(limit: std::time::Duration) -> String {
    Attend { milliseconds: limit.as_millis() }.render().unwrap_or_default()
}

/// What a tab shows at which nobody was; goes back to the editor when somebody is.
pub(super) fn asleep(page: &Page) -> Response<Body> {
    let nonce = nonce();
    html(page, &Asleep { look: Look::of(page), nonce: &nonce }, &nonce, "")
}

/// The frame that other pages embed; `query` goes to the editor inside, and so does the page pass.
pub(super) fn embed(page: &Page, query: &str, pass: &str) -> Response<Body> {
    let nonce = nonce();
    html(page, &Embed { look: Look::of(page), nonce: &nonce, query, pass }, &nonce, "")
}

/// Keeps an editor's window out of the hands of whoever opened it, and of whatever it opens: an app on `/proxy/PORT/` is of the
/// same origin and could reach into it. Where browsers would only complain about the header, it is left out.
pub(super) fn own_window(headers: &mut header::HeaderMap, client: &Forwarded) {
    let host = client.host.to_str().ok().and_then(|host| host.parse::<HostName>().ok());
    if client.proto == "https" || host.is_some_and(|host| host.is_loopback()) {
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    }
}

/// What a page of an error offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Nothing.
    No,
    /// The same request once more.
    Again,
    /// To start what was stopped on purpose.
    Start,
    /// The same request once more, from a page of our own: that a person has meant it.
    Confirm,
    /// The same address in a tab of its own.
    Tab,
}

/// Asks whether an extension is really meant that another site has linked to. `root` and `to`: see [`Failure`]; without them it is where
/// this page is shown.
pub(super) fn confirm(page: &Page, extension: &str, root: &str, to: &str) -> Response<Body> {
    let message = format!("Another site has sent you here, to install the extension {extension} and open it");
    let failure = Failure {
        heading: "Install this extension?",
        message: &message,
        advice: "Extensions can do what you can do. Go on only if you know this one.",
        log: &[],
        retry: Retry::Confirm,
        root,
        to,
    };
    error(page, &failure)
}

/// What went wrong, and what to do.
pub(super) struct Failure<'a> {
    pub(super) heading: &'a str,
    pub(super) message: &'a str,
    pub(super) advice: &'a str,
    /// The engine's last lines.
    pub(super) log: &'a [String],
    pub(super) retry: Retry,
    /// For [`Retry::Start`] and [`Retry::Confirm`]: the way to the instance's root from where the page is shown, and from there to what was asked for.
    pub(super) root: &'a str,
    pub(super) to: &'a str,
}

/// A page that says so. The caller sets the status.
pub(super) fn error(page: &Page, failure: &Failure<'_>) -> Response<Body> {
    let nonce = nonce();
    let Failure { heading, message, advice, log, retry, root, to } = *failure;
    html(page, &Error { look: Look::of(page), nonce: &nonce, heading, message, advice, log, retry, root, to }, &nonce, "")
}

/// Waits until something answers where nothing does yet. The caller sets the status.
pub(super) fn wait_for_port(page: &Page, heading: &str, message: &str, advice: &str) -> Response<Body> {
    let nonce = nonce();
    let mut response = html(page, &Port { look: Look::of(page), nonce: &nonce, heading, message, advice }, &nonce, "");
    framed_by_anybody(&mut response, &nonce);
    response
}

/// Offers a tab to who is in a frame that signs nobody in. The caller sets the status.
pub(super) fn offer_tab(page: &Page) -> Response<Body> {
    let nonce = nonce();
    let (heading, retry) = ("Open this in a tab", Retry::Tab);
    let message = "Shown inside another page, this address cannot tell who you are";
    let advice = "In a tab of its own it asks for your password, if need be.";
    let shown = Error { look: Look::of(page), nonce: &nonce, heading, message, advice, log: &[], retry, root: "./", to: "" };
    let mut response = html(page, &shown, &nonce, "");
    framed_by_anybody(&mut response, &nonce);
    response
}

/// The editor's own preview frames a port's host name, which is another origin. For pages on which nothing can be clicked that
/// does anything to the instance.
fn framed_by_anybody(response: &mut Response<Body>, nonce: &str) {
    let policy = format!("default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'");
    set(response.headers_mut(), header::CONTENT_SECURITY_POLICY, &policy);
}

/// What one signs in to.
#[derive(Clone, Copy)]
pub(super) enum Who<'a> {
    Instance(&'a InstanceId),
    /// The operator's page.
    Operator,
}

/// What the login's pages are about.
pub(super) struct Door<'a> {
    pub(super) page: &'a Page,
    pub(super) words: &'static Words,
    pub(super) who: Who<'a>,
    /// The way to the instance's root from where the page is shown.
    pub(super) root: &'a str,
}

impl Door<'_> {
    /// The name, for people and for their password managers.
    fn name(&self) -> &str {
        match self.who {
            Who::Instance(id) => id.as_str(),
            Who::Operator => "operator",
        }
    }

    /// Whether the name means something to people.
    fn named(&self) -> bool {
        !matches!(self.who, Who::Instance(id) if *id == InstanceId::default_instance())
    }

    fn title(&self) -> String {
        if self.named() { format!("{} – {}", self.page.name, self.name()) } else { self.page.name.clone() }
    }
}

/// The login. `to` is the page to come back to, `locale` what was asked for, `elsewhere` whether another site has sent the browser,
/// `target` another host that the way back leads to.
pub(super) fn login(door: &Door<'_>, to: &str, locale: &str, elsewhere: bool, problem: &str, target: &str) -> Response<Body> {
    let nonce = nonce();
    let page = Login {
        look: Look::of(door.page),
        nonce: &nonce,
        words: door.words,
        title: &door.title(),
        instance: door.name(),
        named: door.named(),
        root: door.root,
        to,
        locale,
        elsewhere,
        problem,
    };
    html(door.page, &page, &nonce, target)
}

/// The question whether to sign out, for who comes from elsewhere.
pub(super) fn logout(door: &Door<'_>) -> Response<Body> {
    let nonce = nonce();
    let page = Logout {
        look: Look::of(door.page),
        nonce: &nonce,
        words: door.words,
        title: &door.title(),
        instance: door.name(),
        named: door.named(),
        root: door.root,
    };
    html(door.page, &page, &nonce, "")
}

/// `target`: where forms may lead besides our own origin.
fn html(look: &Page, page: &impl Template, nonce: &str, target: &str) -> Response<Body> {
    let body = page.render().unwrap_or_else(|e| {
        tracing::error!("a page cannot be rendered: {e}");
        String::new()
    });
    let mut response = plain("text/html; charset=utf-8", body);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; \
         frame-src 'self'; base-uri 'none'; form-action 'self' {target}; {}",
        frame_ancestors(look)
    );
    set(response.headers_mut(), header::CONTENT_SECURITY_POLICY, &policy);
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// A value that no earlier page has carried.
fn nonce() -> String {
    let mut bytes = [0; 16];
    // Without randomness the page's own script does not run; the page is still readable.
    match getrandom::fill(&mut bytes) {
        Ok(()) => hex::encode(bytes),
        Err(_) => "none".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stopped_is_started_from_wherever_the_page_is() {
        let look = Look { name: "n", background: "#000", foreground: "#fff", accent: "#00f", logo: "" };
        let (heading, message, advice, log) = ("h", "m", "a", &[][..]);
        let (root, to) = ("../../", "api/v1/code?folder=/a\"b");
        let text = Error { look, nonce: "0", heading, message, advice, log, retry: Retry::Start, root, to }.render().unwrap();
        assert!(text.contains("action=\"../../api/v1/code/start\""), "{text}");
        assert!(text.contains("name=\"to\" value=\"api/v1/code?folder=/a&#34;b\""), "{text}");
    }
}
