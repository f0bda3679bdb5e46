//! `GET /login` and `/api/v1/code/login`: the login's page. `POST /api/v1/code/login`: a password, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::super::access::{challenge, is_embedded, safe_page, to_root};
use super::super::answer::{self, ApiError, ErrorCode};
use super::super::app::{Context, Realm};
use super::super::cookies::{Kind, Scope};
use super::super::gate::{self, is_from_elsewhere};
use super::super::pages::{self, Door, Who, words};
use super::super::transfer;
use super::open::aside;
use super::{extension_view, logout, small};
use crate::auth::{Attempt, AuthError, Client, Outcome, Session, Token};
use crate::model::{InvalidPassword, Password};
use crate::proxy::Body;
use crate::telemetry::metrics;

/// The most bytes of a login request: a password of the greatest length, percent-encoded, beside a long address to come back to.
const MOST_BODY: usize = 32 << 10;

/// Pages that send passwords, as they stand in `Referer`.
pub(super) const PAGES: [&str; 2] = ["api/v1/code/login", "login"];

/// What a login request says, or any form of ours.
#[derive(Default, Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    pub(super) to: String,
    #[serde(default)]
    locale: String,
    /// Whether another site had sent the browser to the login's page.
    #[serde(skip)]
    elsewhere: bool,
}

/// Why the page is shown again.
enum Problem {
    None,
    Wrong,
    Throttled(Duration),
    TooLong,
}

/// Shows the page, or, to who has signed in already, what he came for.
pub(in super::super) fn show(context: &Context, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let form = parse_form(request.uri().query().unwrap_or_default());
    if context.session.is_some() || context.auth().is_none() {
        return answer::see_other(&format!("{}{}", to_root(&context.rest), destination(&form.to)));
    }
    Ok(page(context, request.headers(), &form, &Problem::None))
}

/// Takes a password.
pub(in super::super) async fn take(context: &Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let (parts, body) = request.into_parts();
    gate::check_submitted(&parts.headers)?;
    let html = answer::wants_html(&parts.headers);
    let form = read(context, &parts.headers, body).await?;
    let Some(auth) = context.auth() else { return arrive(context, &form, html, None).await };
    let password = match form.password.as_deref().map(Password::new) {
        Some(Ok(password)) => password,
        Some(Err(e @ InvalidPassword::TooLong)) if !html => return Err(ApiError::new(ErrorCode::BadRequest, e.to_string())),
        Some(Err(InvalidPassword::TooLong)) => return Ok(page(context, &parts.headers, &form, &Problem::TooLong)),
        // Nobody can have such a password.
        Some(Err(InvalidPassword::Empty | InvalidPassword::Nul)) => {
            return Ok(refuse(context, &parts.headers, &form, html, &Problem::Wrong));
        }
        None => return Err(ApiError::new(ErrorCode::BadRequest, "there is no password in this")),
    };
    let jar = context.jar(is_embedded(&context.live, &parts.headers));
    let devices = jar.values(Kind::Device, &parts.headers);
    let attempt = Attempt { instance: &context.instance, password, client: Client::of(context.address), device: devices.first().copied() };
    match auth.login(attempt).await.map_err(ApiError::internal)? {
        Outcome::Admitted { session, device } => {
            metrics().login("admitted");
            replace_session(context).await;
            let mut response = arrive(context, &form, html, Some(&session)).await?;
            let scope = Scope::of_root(&context.root(parts.uri.path()), &parts.headers, &PAGES);
            jar.set(response.headers_mut(), Kind::Session, &session, &scope);
            jar.set(response.headers_mut(), Kind::Device, &device, &scope);
            Ok(response)
        }
        Outcome::Wrong => {
            metrics().login("wrong");
            record_failure(context);
            warn_of_proxy(context, &parts.headers);
            Ok(refuse(context, &parts.headers, &form, html, &Problem::Wrong))
        }
        Outcome::Throttled(wait) => {
            metrics().login("throttled");
            Ok(refuse(context, &parts.headers, &form, html, &Problem::Throttled(wait)))
        }
    }
}

/// `packaging/fail2ban` reads these lines: the message is all that its journal reader sees.
fn record_failure(context: &Context) {
    let client = context.address.map_or_else(|| "unix".to_owned(), |ip| ip.to_string());
    let instance = context.instance.as_str();
    match context.realm {
        Realm::Instance => tracing::warn!(instance, client = client.as_str(), "failed login to instance {instance} from {client}"),
        Realm::Operator => tracing::warn!(client = client.as_str(), "failed login to the dashboard from {client}"),
    }
}

/// Behind a proxy that is not believed all clients are one, and any of them can slow the others.
fn warn_of_proxy(context: &Context, headers: &HeaderMap) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let peer = context.peer.client.map(|address| address.ip().to_canonical());
    if let Some(peer) = peer.filter(|peer| context.address == Some(*peer) && headers.contains_key("x-forwarded-for"))
        && !context.live.config.server.trusted_proxies.contains(&peer)
        && !WARNED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!("{peer} forwards for others, and is not among [server] trusted_proxies: all of them count as one client");
    }
}

/// The session that the browser had before ends with the new one: what somebody else may have put there is worth nothing.
async fn replace_session(context: &Context) {
    let Some(old) = context.session.clone() else { return };
    if let Ok(Err(e)) = end(context, old).await {
        tracing::error!("{e}");
    }
}

/// Ends `session`, everywhere.
pub(super) async fn end(context: &Context, session: Session) -> Result<Result<(), AuthError>, ApiError> {
    let (app, realm) = (Arc::clone(&context.app), context.realm);
    aside(context, move || app.secrets.of(realm).map_or(Ok(()), |auth| auth.end(&session))).await
}

/// What the pages say one signs in to.
pub(super) fn who(context: &Context) -> Who<'_> {
    match context.realm {
        Realm::Instance => Who::Instance(&context.instance),
        Realm::Operator => Who::Operator,
    }
}

/// Let in: a browser goes where it wanted to, a program is told for how long.
async fn arrive(context: &Context, form: &Form, html: bool, session: Option<&Token>) -> Result<Response<Body>, ApiError> {
    if html {
        let (root, to) = (to_root(&context.rest), destination(&form.to));
        if context.realm == Realm::Instance
            && form.elsewhere
            && let Some(question) = extension_view::ask_after_login(context, &root, to).await
        {
            return Ok(question);
        }
        return answer::see_other(&format!("{root}{to}"));
    }
    let seconds = session.map(|session| session.lasts.as_secs());
    let instance = (context.realm == Realm::Instance).then_some(&context.instance);
    Ok(answer::json(&serde_json::json!({"instance": instance, "expires_in": seconds})))
}

/// Where somebody goes who is let in. Never to a login again, which would send on to wherever it is told to, as if nobody had asked.
fn destination(to: &str) -> &str {
    let to = safe_page(to);
    let path = to.split(['?', '#']).next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let path: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let path = path.join("/");
    // Nor to where one is signed out again at once.
    if PAGES.into_iter().chain(logout::PAGES).any(|page| page == path) { "" } else { to }
}

fn refuse(context: &Context, headers: &HeaderMap, form: &Form, html: bool, problem: &Problem) -> Response<Body> {
    if html {
        return page(context, headers, form, problem);
    }
    let error = match problem {
        Problem::Throttled(wait) => ApiError::too_many_attempts(*wait),
        _ => ApiError::new(ErrorCode::WrongPassword, "this is not the password"),
    };
    let mut response = error.answer(false, &context.live.config.page);
    challenge(&mut response);
    response
}

fn page(context: &Context, headers: &HeaderMap, form: &Form, problem: &Problem) -> Response<Body> {
    let to = destination(&form.to);
    // It goes along through wrong passwords: those come from our own page.
    let elsewhere = form.elsewhere || is_from_elsewhere(headers);
    // What was asked for in the page to come back to is what was asked for.
    let asked = parse_form(to.split_once('?').map_or("", |(_, query)| query)).locale;
    let locale = Some(form.locale.as_str()).filter(|text| !text.is_empty()).unwrap_or(&asked);
    let words = words::choose(Some(locale), headers);
    let (status, text, wait) = match problem {
        Problem::None => (StatusCode::OK, String::new(), None),
        Problem::Wrong => (StatusCode::UNAUTHORIZED, words.wrong.to_owned(), None),
        Problem::TooLong => (StatusCode::BAD_REQUEST, words.too_long.to_owned(), None),
        Problem::Throttled(wait) => {
            let seconds = answer::whole_seconds(*wait);
            (StatusCode::TOO_MANY_REQUESTS, words.wait.replace("{}", &seconds.to_string()), Some(seconds))
        }
    };
    let root = to_root(&context.rest);
    let door = Door { page: &context.live.config.page, words, who: who(context), root: &root };
    let target = match context.realm {
        Realm::Instance => transfer::host_behind(to, &context.forwarded, &context.instance).unwrap_or_default(),
        Realm::Operator => String::new(),
    };
    let mut response = pages::login(&door, to, words.lang, elsewhere, &text, &target);
    *response.status_mut() = status;
    response.headers_mut().insert(header::VARY, http::HeaderValue::from_static("Accept-Language"));
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    challenge(&mut response);
    response
}

async fn read(context: &Context, headers: &HeaderMap, body: Incoming) -> Result<Form, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = match kind.as_str() {
        "application/json" => true,
        "application/x-www-form-urlencoded" => false,
        _ => return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "a password comes as a form or as JSON")),
    };
    let bytes = small::read(body, MOST_BODY, context.live.config.limits.header_timeout).await?;
    if is_json {
        return serde_json::from_slice(&bytes).map_err(|_| ApiError::new(ErrorCode::BadRequest, "this is not JSON with a password in it"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| ApiError::new(ErrorCode::BadRequest, "this is not a form"))?;
    Ok(parse_form(text))
}

/// A form, or a query. The last of several values counts; what is not UTF-8 is no password that a browser sends.
pub(super) fn parse_form(text: &str) -> Form {
    let mut form = Form::default();
    for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        let spaced = value.replace('+', " ");
        let Ok(value) = percent_decode_str(&spaced).decode_utf8() else { continue };
        match name {
            "password" => form.password = Some(value.into_owned()),
            "to" => form.to = value.into_owned(),
            "locale" => form.locale = value.into_owned(),
            "elsewhere" => form.elsewhere = value == "1",
            _ => {}
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_does_not_lead_to_a_login() {
        for good in ["", "?extension=a.b", "api/v1/code?ew=1", "proxy/3000/login", "./?ew=1"] {
            assert_eq!(destination(good), good);
        }
        for round in [
            "login?to=%3Fextension%3Da.b",
            "./login?to=x",
            "api/v1/code/login",
            "%6cogin#x",
            "login/?to=x",
            "logout",
            "./%6cogout?x",
            "api/v1/code/logout",
            "//evil.example",
        ] {
            assert_eq!(destination(round), "", "{round}");
        }
    }
}
