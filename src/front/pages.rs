//! Our own pages: the loader, the frame, the error. Small, without a build step, and readable without scripts.

use askama::Template;
use http::Response;
use http::header::{self, HeaderValue};

use super::answer::{plain, set};
use crate::config::Page;
use crate::model::HostName;
use crate::proxy::{Body, Forwarded};

/// Until an operator allows other origins, only our own pages may frame the editor.
pub(super) const FRAME_ANCESTORS: &str = "frame-ancestors 'self'";

#[derive(Template)]
#[template(path = "loader.html", config = "src/front/pages/askama.toml")]
struct Loader<'a> {
    look: Look<'a>,
    nonce: &'a str,
}

#[derive(Template)]
#[template(path = "overlay.html", config = "src/front/pages/askama.toml")]
struct Overlay<'a> {
    look: Look<'a>,
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
    retry: bool,
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
    html(&Loader { look: Look::of(page), nonce: &nonce }, &nonce)
}

/// Put into the workbench's page when the loader is on: the same picture, kept until the editor is up. `{nonce}` is left for
/// whoever knows the page's.
pub(super) fn overlay(page: &Page) -> String {
    Overlay { look: Look::of(page) }.render().unwrap_or_default()
}

/// The frame that other pages embed; `query` goes to the editor inside, and so does the page pass.
pub(super) fn embed(page: &Page, query: &str, pass: &str) -> Response<Body> {
    let nonce = nonce();
    html(&Embed { look: Look::of(page), nonce: &nonce, query, pass }, &nonce)
}

/// Keeps an editor's window out of the hands of whoever opened it, and of whatever it opens: an app on `/proxy/PORT/` is of the
/// same origin and could reach into it. Where browsers would only complain about the header, it is left out.
pub(super) fn own_window(headers: &mut header::HeaderMap, client: &Forwarded) {
    let host = client.host.to_str().ok().and_then(|host| host.parse::<HostName>().ok());
    if client.proto == "https" || host.is_some_and(|host| host.is_loopback()) {
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    }
}

/// What went wrong, and what to do. The caller sets the status.
pub(super) fn error(page: &Page, heading: &str, message: &str, advice: &str, log: &[String], retry: bool) -> Response<Body> {
    let nonce = nonce();
    html(&Error { look: Look::of(page), nonce: &nonce, heading, message, advice, log, retry }, &nonce)
}

/// Waits until something answers where nothing does yet. The caller sets the status.
pub(super) fn wait_for_port(page: &Page, heading: &str, message: &str, advice: &str) -> Response<Body> {
    let nonce = nonce();
    let mut response = html(&Port { look: Look::of(page), nonce: &nonce, heading, message, advice }, &nonce);
    // The editor's own preview frames a port's host name, which is another origin. There is nothing on this page to be clicked.
    let policy = format!("default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'");
    set(response.headers_mut(), header::CONTENT_SECURITY_POLICY, &policy);
    response
}

fn html(page: &impl Template, nonce: &str) -> Response<Body> {
    let body = page.render().unwrap_or_else(|e| {
        tracing::error!("a page cannot be rendered: {e}");
        String::new()
    });
    let mut response = plain("text/html; charset=utf-8", body);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; \
         frame-src 'self'; base-uri 'none'; form-action 'self'; {FRAME_ANCESTORS}"
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
