//! `POST /api/v1/code/logout` and `GET /logout`, where the workbench's Sign out goes: the session ends, everywhere.

use http::header::{self, HeaderMap};
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::super::access::{is_embedded, to_root};
use super::super::answer::{self, ApiError};
use super::super::app::Context;
use super::super::cookies::{Kind, Scope};
use super::super::gate;
use super::super::pages::{self, Door, words};
use super::login::{end, who};
use crate::auth::FetchSite;
use crate::proxy::Body;

/// Pages that ask whether to sign out, as they stand in `Referer`.
pub(super) const PAGES: [&str; 2] = ["api/v1/code/logout", "logout"];

pub(in super::super) async fn answer(context: &Context, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    gate::check_submitted(request.headers())?;
    let root = to_root(&context.rest);
    if context.auth().is_none() {
        // Without a login there is no session to end: back to the editor, and a program is told that it has none.
        if request.method() == Method::POST && !answer::wants_html(request.headers()) {
            return Ok(signed_out());
        }
        return answer::redirect(&root);
    }
    if request.method() == Method::HEAD {
        // Nobody is signed out by looking.
        return Ok(answer::plain("text/html; charset=utf-8", Body::Empty));
    }
    let headers = request.headers();
    let html = answer::wants_html(headers);
    if request.method() != Method::POST && context.session.is_some() && is_foreign(headers) {
        // A link on somebody else's page must not be enough.
        let words = words::choose(None, headers);
        let door = Door { page: &context.live.config.page, words, who: who(context), root: &root };
        return Ok(pages::logout(&door));
    }
    if let Some(session) = context.session.clone() {
        end(context, session).await?.map_err(ApiError::internal)?;
    }
    let mut response = if html { answer::see_other(&format!("{root}login"))? } else { signed_out() };
    let jar = context.jar(is_embedded(&context.live, headers));
    match Scope::of_root(&context.root(request.uri().path()), headers, &PAGES) {
        // As the browser sees it, `/logout` is right below the root.
        Scope::Path(_) if request.method() == Method::GET => jar.clear(response.headers_mut(), Kind::Session, &Scope::Here),
        scope => jar.clear(response.headers_mut(), Kind::Session, &scope),
    }
    Ok(response)
}

fn signed_out() -> Response<Body> {
    answer::json(&serde_json::json!({"signed_out": true}))
}

/// Whether a page of another origin led here.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if let site @ Some(_) = text("sec-fetch-site") {
        return FetchSite::parse(site) == FetchSite::Foreign;
    }
    // A browser that does not say so says at least from which page.
    let host = text(header::HOST.as_str()).unwrap_or_default();
    text(header::REFERER.as_str()).and_then(|url| url.split_once("://")).is_some_and(|(_, rest)| rest.split('/').next() != Some(host))
}
