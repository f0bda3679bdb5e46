//! `/proxy/PORT/…`, `/absproxy/PORT/…` and `PORT--ID.…`: whatever the user runs on a port of the instance.
//!
//! Starts no instance: where none runs, nothing of it listens. What goes through counts as use.

use std::io;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use super::super::answer::{self, ApiError, ErrorCode};
use super::super::app::Context;
use super::super::gate;
use super::super::route::PortForm;
use super::engine::spawn_tunnel;
use super::guarded;
use crate::model::{HostName, Port};
use crate::proxy::{Body, Exposure, IdleTimeout, Mount, ProxyError, Reply, forward_app, wants_websocket};

pub(super) async fn answer(
    context: Context,
    form: PortForm,
    port: Port,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let ports = &context.live.config.ports;
    if !ports.admits(port) {
        return Err(ApiError::new(ErrorCode::PortRefused, format!("port {port} is not open to this service")));
    }
    if form != PortForm::Host && !ports.path_form {
        return Err(ApiError::new(ErrorCode::PortRefused, "ports are reached by host names of their own here, not by /proxy"));
    }
    let asleep = || ApiError::new(ErrorCode::PortUnreachable, format!("nothing listens on port {port}: the editor is not running"));
    let lease = context.app.instances.running(&context.instance).ok_or_else(asleep)?;
    let host = gate::host(&request)?;
    let upgrade = wants_websocket(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let place = Place::find(&context, form, port, &parts)?;
    parts.uri = Uri::from(place.target.clone());
    let body = Body::boxed(IdleTimeout::new(body, context.live.config.limits.body_idle_timeout));
    let upstream = context.app.upstreams.of_port(&lease, port);
    let exposure = place.exposure(form, port, &host);
    // No deadline on the answer: a server that waits for an event, or stands at a breakpoint, is no failure.
    let reply = forward_app(&upstream, Request::from_parts(parts, body), &context.forwarded, &exposure).await;
    match reply.map_err(|error| failure(port, &error))? {
        Reply::Response(response) => {
            let (parts, body) = response.into_parts();
            Ok(Response::from_parts(parts, guarded(body, lease)))
        }
        Reply::Switched(head, app_side) => match upgrade {
            Some(client_side) => {
                spawn_tunnel(&context, lease, client_side, app_side);
                Ok(head.map(|()| Body::Empty))
            }
            None => Err(failure(port, &ProxyError::Unasked)),
        },
    }
}

/// `/proxy/3000` to `/proxy/3000/`, so that relative links are below it. What was sent is sent again.
pub(super) fn add_slash(port: Port, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = answer::redirect(&format!("{port}/{query}"))?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    }
    Ok(response)
}

/// Where a request goes, and where the browser sees the app.
struct Place {
    target: PathAndQuery,
    /// What the app does not see of the browser's path.
    prefix: String,
}

impl Place {
    fn find(context: &Context, form: PortForm, port: Port, parts: &Parts) -> Result<Self, ApiError> {
        let bad = || ApiError::new(ErrorCode::BadRequest, "the address cannot be read");
        let whole = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let outer = &context.forwarded.prefix;
        let (target, prefix) = match form {
            PortForm::Host => (whole.to_owned(), String::new()),
            PortForm::Absolute => (format!("{outer}{whole}"), String::new()),
            PortForm::Stripped => {
                // Only where the path names the instance does it begin like this: see `route`.
                let instance = if whole.starts_with("/i/") { format!("/i/{}", context.instance) } else { String::new() };
                let mount = format!("{instance}/proxy/{port}");
                let target = whole.strip_prefix(&mount).ok_or_else(bad)?.to_owned();
                (target, format!("{outer}{mount}"))
            }
        };
        if !target.starts_with('/') {
            return Err(bad());
        }
        Ok(Self { target: target.parse().map_err(|_| bad())?, prefix })
    }

    fn exposure<'a>(&'a self, form: PortForm, port: Port, host: &'a HostName) -> Exposure<'a> {
        match form {
            PortForm::Host => Exposure::OwnOrigin,
            PortForm::Absolute => Exposure::SharedOrigin,
            PortForm::Stripped => Exposure::Mounted(Mount { prefix: &self.prefix, path: self.target.path(), port: port.get(), host }),
        }
    }
}

fn failure(port: Port, error: &ProxyError) -> ApiError {
    let unreachable = |why: &str| ApiError::new(ErrorCode::PortUnreachable, format!("{why} port {port}"));
    match error.connect_failure() {
        Some(io::ErrorKind::PermissionDenied) => {
            ApiError::new(ErrorCode::PortRefused, format!("what listens on port {port} does not belong to this editor"))
        }
        Some(_) => unreachable("nothing listens on"),
        None => {
            tracing::debug!(port = port.get(), "{error}");
            match error {
                ProxyError::Request(_) => ApiError::new(ErrorCode::BadRequest, "the request cannot be passed on"),
                _ => unreachable("no proper answer came from"),
            }
        }
    }
}
