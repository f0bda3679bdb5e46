//! The operator's page. It only shows what the routes beside it say, and asks them for what its buttons mean.
//!
//! It is on the control socket, where a browser gets with `ssh -L 9000:/run/hoody-code/control.sock HOST`, and on a listener of its own,
//! behind a login of its own. There, nothing else is: no instance, and no order that deletes something.

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::access;
use super::answer::{self, ApiError, ErrorCode, plain};
use super::app::{App, Context, Live, Peer, Realm, client_address, forwarded};
use super::connection::Handled;
use super::control::{self, Order};
use super::cookies::Kind;
use super::gate::{self, Trust};
use super::handlers::{files, login, logout};
use super::request_id::RequestId;
use crate::auth::Audience;
use crate::config::Page;
use crate::model::{InstanceHost, InstanceId};
use crate::proxy::Body;

/// Its files: path, type, content.
const FILES: [(&str, &str, &[u8]); 3] = [
    ("/dashboard.css", "text/css; charset=utf-8", include_bytes!("dashboard/style.css")),
    ("/dashboard.js", "text/javascript; charset=utf-8", include_bytes!("dashboard/page.js")),
    ("/dashboard.svg", "image/svg+xml", include_bytes!("pages/media/icon.svg")),
];

/// The pictures of the login's page, of all that is below `/_static/` elsewhere.
const PICTURES: [&str; 3] = ["page/logo", "src/browser/media/favicon-dark-support.svg", "src/browser/media/favicon.ico"];

/// Nothing but its own files, and nobody's frame around its buttons.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "dashboard.html", config = "src/front/pages/askama.toml")]
struct Shown<'a> {
    name: &'a str,
    /// Somebody has signed in, and can sign out.
    signed_in: bool,
}

/// The file at `path`.
pub(super) fn file(path: &str, page: &Page, signed_in: bool) -> Option<Response<Body>> {
    let mut response = match FILES.iter().find(|(known, ..)| *known == path) {
        Some((_, kind, content)) => plain(kind, Bytes::from_static(content)),
        None if path == "/" => plain("text/html; charset=utf-8", Shown { name: &page.name, signed_in }.render().ok()?),
        None => return None,
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    Some(response)
}

/// Answers one request on the listener of its own.
pub(super) async fn handle(app: Arc<App>, live: Arc<Live>, request: Request<Incoming>, peer: Peer, id: RequestId) -> Handled {
    let forwarded = forwarded(request.headers(), peer, &live.config.server.trusted_proxies);
    let client = forwarded.client.clone();
    let html = answer::wants_html(request.headers());
    let rest = request.uri().path().to_owned();
    let address = client_address(&forwarded, peer);
    let instance = InstanceId::default_instance();
    let life = app.store.life(&instance);
    let context =
        Context { app, live: Arc::clone(&live), realm: Realm::Operator, instance, life, peer, forwarded, address, rest, session: None, id };
    let response = admit(context, request).await.unwrap_or_else(|error| {
        let malformed = error.code == ErrorCode::BadRequest;
        let mut response = error.answer(html, &live.config.page);
        if malformed {
            // Whatever follows on this connection cannot be trusted to be a request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    });
    Handled { response, route: "dashboard", instance: None, client }
}

async fn admit(mut context: Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    gate::check_framing(&request)?;
    let host = gate::host(&request)?;
    if !matches!(host.instance(), InstanceHost::Other | InstanceHost::InvalidInstance) {
        // The origin of an instance, or of a port of one, on this port of ours.
        return Err(ApiError::not_found());
    }
    let trust = Trust { domains: &context.live.config.server.domains, embedders: &[] };
    gate::check_origins(&request, &host, context.forwarded.proto, &trust)?;
    // The listener is not opened without a password; if it were, nobody would get in.
    let operator = context.auth().ok_or_else(ApiError::not_found)?;
    let values = context.jar(false);
    let tokens = values.values(Kind::Session, request.headers());
    context.session = tokens.into_iter().find_map(|token| operator.check(token, &context.instance, Audience::Instance));

    let (method, path) = (request.method().clone(), context.rest.clone());
    match (&method, path.as_str()) {
        (&Method::GET, "/login" | "/api/v1/code/login") => return login::show(&context, &request),
        (&Method::POST, "/api/v1/code/login") => return login::take(&context, request).await,
        (&Method::GET, "/logout") | (&Method::POST, "/api/v1/code/logout") => return logout::answer(&context, &request).await,
        (&Method::GET, path) => {
            let picture = path.strip_prefix("/_static/").or(Some("src/browser/media/favicon.ico").filter(|_| path == "/favicon.ico"));
            if let Some(picture) = picture.filter(|name| PICTURES.contains(name)) {
                return files::own_file(&context, picture, false);
            }
        }
        _ => {}
    }
    if context.session.is_none() {
        return Ok(access::refuse(&request, &context.rest, &context.live));
    }
    if method == Method::GET
        && let Some(response) = file(&path, &context.live.config.page, true)
    {
        return Ok(response);
    }
    let order = control::order(&method, &path, request.uri().query())?;
    if !order.is_of_page() {
        return Err(ApiError::not_found());
    }
    if let Order::Start(id) | Order::Stop(id) | Order::Restart(id) = &order {
        let client = context.address.map_or_else(|| "unix".to_owned(), |ip| ip.to_string());
        tracing::info!(instance = %id, client, "operator: {method} {path}");
    }
    control::carry_out(&context.app, order, request.headers()).await
}
