//! What only the running engine can answer: its resources, and the websockets that an open editor lives on.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;

use super::super::abandoned::PageConnection;
use super::super::access::session_over;
use super::super::answer::ApiError;
use super::super::app::{App, Context};
use super::{check_crowd, files, while_signed_in};
use crate::assets::Refused;
use crate::config::Page;
use crate::instances::Lease;
use crate::model::ReconnectionToken;
use crate::proxy::{Body, Guarded, IdleTimeout, Reply, forward, strip_request_cookies, tunnel, tunnel_keeping, wants_upgrade};
use crate::telemetry::ACCESS;

pub(super) async fn answer(context: Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let patience = context.live.config.instances.request_wait;
    let lease = context.app.instances.acquire(&context.instance, patience).await?;
    answer_by(context, lease, request, true).await
}

/// The same, but starts nothing: what a page of an earlier engine wants is no use of a later one.
pub(super) async fn answer_if_running(context: Context, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let lease = context.app.instances.running(&context.instance).await?.ok_or_else(ApiError::not_found)?;
    answer_by(context, lease, request, false).await
}

/// What `request` wants, when that is a file of an extension that comes with the engine: the running server would read the same file, for
/// every browser again, and send it as it is.
pub(super) fn builtin<B>(app: &App, request: &Request<B>, html: bool, page: &Page) -> Option<Response<Body>> {
    // A view of an extension has an origin of its own; what it may read, the engine says.
    if request.uri().path().rsplit('/').next() != Some("vscode-remote-resource") || request.headers().contains_key(header::ORIGIN) {
        return None;
    }
    let path = request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("path="))?;
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let file = path.strip_prefix(app.engine.root().to_str()?)?.strip_prefix('/')?;
    // With a '%' it would be decoded again.
    if !file.starts_with("extensions/") || file.contains('%') {
        return None;
    }
    let mut response = match app.assets.respond(request.method(), file, request.headers()) {
        Ok(response) => response,
        Err(Refused::NotFound) => return None,
        Err(refused) => return Some(files::refused(refused, html, page)),
    };
    // As the engine has them here: what is opened by itself runs nothing, and the answer is for those who ask without an origin.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding, origin"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Some(response.map(Body::from))
}

/// How long it may take until the end of an engine is known that has broken off a connection.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Asks the engine of `lease`. When it has ended before it could answer, and `restart` says so, its successor is asked: nobody has to see
/// that something was killed.
///
/// # Errors
/// When the engine breaks off and lives, or there is no successor.
pub(super) async fn ask(context: &Context, lease: Lease, request: Request<Body>, restart: bool) -> Result<(Reply, Lease), ApiError> {
    let again = (restart && request.method() == Method::GET && request.body().is_end_stream()).then(|| {
        let mut again = Request::new(());
        (*again.uri_mut(), *again.headers_mut()) = (request.uri().clone(), request.headers().clone());
        again
    });
    let error = match forward(&context.app.upstreams.of(&lease), request, &context.forwarded).await {
        Ok(reply) => return Ok((reply, lease)),
        Err(error) => error,
    };
    let Some(again) = again else { return Err(error.into()) };
    if !lease.ended(END_PATIENCE).await {
        return Err(error.into());
    }
    drop(lease);
    let lease = context.app.instances.acquire(&context.instance, context.live.config.instances.request_wait).await?;
    let reply = forward(&context.app.upstreams.of(&lease), again.map(|()| Body::Empty), &context.forwarded).await?;
    Ok((reply, lease))
}

async fn answer_by(context: Context, lease: Lease, mut request: Request<Incoming>, restart: bool) -> Result<Response<Body>, ApiError> {
    let upgrade = wants_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
    check_crowd(&context, upgrade.is_some())?;
    let config = &context.live.config;
    let (mut parts, body) = request.into_parts();
    let token = parts.uri.query().and_then(ReconnectionToken::of_query);
    strip_instance(&mut parts, &context)?;
    strip_request_cookies(&mut parts.headers);
    if parts.method == Method::HEAD {
        // The engine knows only GET; the answer's body is dropped on the way out.
        parts.method = Method::GET;
    }
    let body =
        if body.is_end_stream() { Body::Empty } else { while_signed_in(&context, IdleTimeout::new(body, config.limits.body_idle_timeout)) };
    let exchange = ask(&context, lease, Request::from_parts(parts, body), restart);
    // An upload takes its time; the engine's resources have none.
    let reply = tokio::time::timeout(config.instances.request_wait.max(config.limits.body_idle_timeout), exchange).await;
    let (reply, lease) = reply.map_err(|_| ApiError::no_answer())??;
    match reply {
        Reply::Response(response) => {
            let (mut parts, body) = response.into_parts();
            parts.headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
            Ok(Response::from_parts(parts, while_signed_in(&context, Guarded::new(body, lease))))
        }
        Reply::Switched(head, engine_side) => match upgrade {
            Some(client_side) => {
                let page = token.map(|token| PageConnection::open(&context.app, &lease, token));
                spawn_tunnel(&context, lease, page, client_side, engine_side);
                Ok(head.map(|()| Body::Empty))
            }
            None => Err(ApiError::internal("the engine switched protocols unasked")),
        },
    }
}

/// The engine knows nothing of `/i/ID`.
fn strip_instance(parts: &mut http::request::Parts, context: &Context) -> Result<(), ApiError> {
    let prefix = format!("/i/{}", context.instance);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let stripped = match path.strip_prefix(&prefix) {
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path.to_owned(),
    };
    parts.uri = stripped.parse().map_err(ApiError::internal)?;
    Ok(())
}

/// Carries bytes until either side is done, the daemon's drain runs out or the session that opened it ends. The lease goes with
/// it. When it is one of a page's own connections, `page` is told how it ended.
pub(super) fn spawn_tunnel(context: &Context, lease: Lease, page: Option<PageConnection>, client_side: OnUpgrade, engine_side: OnUpgrade) {
    let app = Arc::clone(&context.app);
    let client = context.forwarded.client.clone();
    let (access, id) = (context.live.config.log.access, context.id);
    let session = context.session.clone();
    context.app.tunnels.spawn(async move {
        let began = std::time::Instant::now();
        let upgraded = tokio::select! {
            upgraded = async { tokio::try_join!(client_side, engine_side) } => upgraded,
            () = app.cut.cancelled() => return,
        };
        let cut = async {
            tokio::select! {
                () = app.cut.cancelled() => {}
                () = session_over(&app, session.as_ref()) => {}
            }
        };
        let traffic = match upgraded {
            Ok((browser, engine)) => match page {
                None => tunnel(TokioIo::new(browser), TokioIo::new(engine), cut).await,
                Some(page) => {
                    let (traffic, left) = tunnel_keeping(TokioIo::new(browser), TokioIo::new(engine), cut).await;
                    page.ended(left);
                    traffic
                }
            },
            Err(e) => {
                tracing::debug!(instance = %lease.id(), "an upgrade came to nothing: {e}");
                return;
            }
        };
        if access {
            tracing::info!(
                target: ACCESS,
                request_id = %id,
                instance = lease.id().as_str(),
                route = "tunnel",
                duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
                bytes = traffic.received,
                bytes_in = traffic.sent,
                client = client.as_deref(),
                "websocket closed"
            );
        }
    });
}
