//! Who is let in: which targets need a session, whether a request has one, and where whoever has none is sent.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use percent_encoding::utf8_percent_encode;

use super::answer::{self, ApiError, ErrorCode};
use super::app::{App, Live};
use super::cookies::{Jar, Kind, Owner};
use super::pages;
use super::query::QUERY;
use super::route::Target;
use crate::auth::{Audience, Session};
use crate::config::Page;
use crate::model::InstanceId;
use crate::proxy::Body;

/// The longest address that is kept over a login; with a longer one the editor opens without.
const MOST_TO: usize = 8 << 10;

/// Whether `target` is for everybody. Static files are the same for all and come without cookies in some browsers.
pub(super) fn is_open(target: &Target) -> bool {
    matches!(
        target,
        Target::Health
            | Target::Description
            | Target::Login
            | Target::LoginApi
            | Target::Logout
            | Target::LogoutApi
            | Target::Asset(_)
            | Target::OwnFile(_)
            | Target::Manifest
            | Target::Robots
    )
}

/// The session that `headers` prove, if any. `audience` is [`Audience::Instance`] but on the host name of a port.
pub(super) fn session(app: &App, instance: &InstanceId, headers: &HeaderMap, secure: bool, audience: Audience<'_>) -> Option<Session> {
    let auth = app.secrets.auth.as_ref()?;
    let jar = Jar { owner: Owner::Instance(instance), secure, embedded: false };
    jar.values(Kind::Session, headers).into_iter().find_map(|token| auth.check(token, instance, audience))
}

/// Waits until `session` has ended; for ever where none is asked for. For answers that go on after their request was let in.
pub(super) async fn session_over(app: &App, session: Option<&Session>) {
    match (&app.secrets.auth, session) {
        (Some(auth), Some(session)) => auth.until_ended(session).await,
        _ => std::future::pending().await,
    }
}

/// Whether the answer will be shown in a frame of another site's page, as far as that can be known: ours among ours count too.
pub(super) fn is_embedded(live: &Live, headers: &HeaderMap) -> bool {
    let framed = headers.get("sec-fetch-dest").is_some_and(|dest| dest == "iframe" || dest == "frame");
    framed && !live.config.page.embedders.is_empty()
}

/// The answer to a request without a session: a person is sent to the login, everything else gets 401. `rest` is its path behind
/// the instance's root.
pub(super) fn refuse<B>(request: &Request<B>, rest: &str, live: &Live) -> Response<Body> {
    let (html, page) = (answer::wants_html(request.headers()), &live.config.page);
    if is_visit(request) {
        let location = login_location(rest, request.uri().query());
        return answer::see_other(&location).unwrap_or_else(|error| error.answer(html, page));
    }
    unauthorized(html, page)
}

/// Whether somebody will look at the answer, and can be sent elsewhere.
pub(super) fn is_visit<B>(request: &Request<B>) -> bool {
    let plain = matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(header::UPGRADE);
    plain && answer::wants_html(request.headers())
}

/// 401 for everybody else.
pub(super) fn unauthorized(html: bool, page: &Page) -> Response<Body> {
    let mut response = ApiError::new(ErrorCode::Unauthorized, "sign in first").answer(html, page);
    challenge(&mut response);
    response
}

/// 401 in a frame where no cookie can come or go: a page that offers to open the same in a tab.
pub(super) fn offer_tab(page: &Page) -> Response<Body> {
    let mut response = pages::offer_tab(page);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    challenge(&mut response);
    response
}

/// A 401 has to say how (RFC 9110, section 15.5.2). Browsers show no dialogue for a scheme that they do not know.
pub(super) fn challenge(response: &mut Response<Body>) {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Session realm=\"hoody-code\""));
    }
}

/// Where the login is, seen from the page `rest` of the instance, with that page to come back to.
fn login_location(rest: &str, query: Option<&str>) -> String {
    let page = rest.trim_start_matches('/');
    let to = query.map_or_else(|| page.to_owned(), |query| format!("{page}?{query}"));
    let login = format!("{}login", to_root(rest));
    if to.is_empty() || to.len() > MOST_TO { login } else { format!("{login}?to={}", utf8_percent_encode(&to, QUERY)) }
}

/// The way from the page `rest` up to the instance's root, wherever a proxy has put it.
pub(super) fn to_root(rest: &str) -> String {
    match rest.matches('/').count() {
        0 | 1 => "./".to_owned(),
        depth => "../".repeat(depth - 1),
    }
}

/// A page of the instance as somebody asked for it, made harmless: it can lead nowhere but below the instance's root. What could
/// mean anything else is the root itself.
pub(super) fn safe_page(to: &str) -> &str {
    let path = to.split(['?', '#']).next().unwrap_or_default();
    let lower = path.to_ascii_lowercase().replace("%2e", ".");
    let odd = to.len() > MOST_TO
        || !to.bytes().all(|b| b.is_ascii_graphic())
        || to.contains('\\')
        || path.starts_with('/')
        || path.contains("//")
        || path.contains(':')
        || lower.split('/').any(|part| part == "..");
    if odd { "" } else { to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_login_and_back() {
        assert_eq!(login_location("/", None), "./login");
        assert_eq!(login_location("/", Some("folder=/a%20b&x=1")), "./login?to=%3Ffolder%3D/a%2520b%26x%3D1");
        assert_eq!(login_location("/api/v1/code", Some("ew=1")), "../../login?to=api/v1/code%3Few%3D1");
        assert_eq!(login_location("/", Some(&"x".repeat(MOST_TO))), "./login");
        assert_eq!((to_root("/login").as_str(), to_root("/api/v1/code/login").as_str()), ("./", "../../../"));
    }

    #[test]
    fn nothing_leads_elsewhere() {
        for good in ["", "?folder=/a//b:c", "api/v1/code?x=https://a.example", "proxy/3000/a/b?c", "?a#b"] {
            assert_eq!(safe_page(good), good);
        }
        for bad in [
            "//evil.example",
            "/evil",
            "/\\evil.example",
            "\\\\evil.example",
            "https:evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "a//evil.example",
            "../../i/bob/",
            "a/%2E%2e/b",
            "..",
            "%2e%2e/",
            "a\r\nSet-Cookie: x=1",
            "a b",
            "ä",
            "\t//evil.example",
        ] {
            assert_eq!(safe_page(bad), "", "{bad}");
        }
    }
}
