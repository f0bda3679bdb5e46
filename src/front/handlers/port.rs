//! `/proxy/PORT/…`, `/absproxy/PORT/…` and `PORT--ID.…`: whatever the user runs on a port of the instance.
//!
//! Starts no instance: where none runs, nothing of it listens. What goes through counts as use.

use std::io;
use std::net::IpAddr;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use serde_json::{Map, Value};

use super::super::answer::{self, ApiError, ErrorCode};
use super::super::app::Context;
use super::super::gate;
use super::super::route::PortForm;
use super::engine::spawn_tunnel;
use super::{check_crowd, while_signed_in};
use crate::model::{HostName, InstanceHost, InstanceId, Port};
use crate::proxy::{Body, Exposure, Guarded, IdleTimeout, Mount, ProxyError, Reply, forward_app, wants_websocket};

/// What the page that waits for a server says, so that its looking is no use of the instance: a tab that nobody minds must not keep it.
const WAITS: &str = "hoody-code-waits";

/// Whether something answers on `port`. No use of the instance, and what stands still goes on standing: nothing begins to listen there.
async fn listens(context: &Context, port: Port) -> bool {
    let instances = &context.app.instances;
    let Some((_, connector)) = instances.reach(&context.instance).filter(|_| !instances.is_frozen(&context.instance)) else { return false };
    connector.port(port).await.is_ok()
}

pub(super) async fn answer(
    context: Context,
    form: PortForm,
    port: Port,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let ports = &context.live.config.ports;
    if !ports.admits(port) {
        return Err(ApiError::new(ErrorCode::PortRefused, format!("port {port} is not among those that the configuration opens")));
    }
    if form != PortForm::Host && !ports.path_form {
        return Err(ApiError::new(ErrorCode::PortRefused, "ports are reached by host names of their own here, not by /proxy"));
    }
    let asleep = || ApiError::new(ErrorCode::PortUnreachable, format!("nothing listens on port {port}: the editor is not running"));
    if request.headers().contains_key(WAITS) && !listens(&context, port).await {
        return Err(ApiError::new(ErrorCode::PortUnreachable, format!("nothing listens on port {port}")));
    }
    let lease = context.app.instances.running(&context.instance).await?.ok_or_else(asleep)?;
    let host = gate::host(&request)?;
    let upgrade = wants_websocket(request.headers()).then(|| hyper::upgrade::on(&mut request));
    check_crowd(&context, upgrade.is_some())?;
    let (mut parts, body) = request.into_parts();
    let place = Place::find(&context, form, port, &parts)?;
    parts.uri = Uri::from(place.target.clone());
    let body = while_signed_in(&context, IdleTimeout::new(body, context.live.config.limits.body_idle_timeout));
    let upstream = context.app.upstreams.of_port(&lease, port);
    let exposure = place.exposure(form, port, &host);
    // No deadline on the answer: a server that waits for an event, or stands at a breakpoint, is no failure.
    let reply = forward_app(&upstream, Request::from_parts(parts, body), &context.forwarded, &exposure).await;
    match reply.map_err(|error| failure(port, &error))? {
        Reply::Response(response) => {
            let (parts, body) = response.into_parts();
            Ok(Response::from_parts(parts, while_signed_in(&context, Guarded::new(body, lease))))
        }
        Reply::Switched(head, app_side) => match upgrade {
            Some(client_side) => {
                spawn_tunnel(&context, lease, None, client_side, app_side);
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

/// Adds to VS Code's embedder options how it is to open ports, where that is not its own default `./proxy/{{port}}/`. The page hands it on
/// to extension hosts and terminals as `VSCODE_PROXY_URI`; here and not in the engine's environment, because only a request says
/// which of our host names the browser knows us by. An operator's own template stays.
pub(super) fn with_template(context: &Context, mut options: Map<String, Value>) -> Map<String, Value> {
    let host = context.forwarded.host.to_str().ok().and_then(|host| host.parse::<HostName>().ok());
    if context.live.config.ports.host_form
        && let Some(template) = host.and_then(|host| host_template(&host, &context.instance))
        && let Value::Object(product) = options.entry("productConfiguration").or_insert_with(|| Value::Object(Map::new()))
    {
        product.entry("proxyEndpointTemplate").or_insert(Value::String(template));
    }
    options
}

/// The name beside an instance's own host name, or below the host that instances share. None for addresses, which have no names.
fn host_template(host: &HostName, id: &InstanceId) -> Option<String> {
    let name = match host.instance() {
        InstanceHost::Instance(_) => host.name().to_owned(),
        InstanceHost::Other | InstanceHost::InvalidInstance if host.name().parse::<IpAddr>().is_err() => format!("{id}.{}", host.name()),
        _ => return None,
    };
    // A label has 63 bytes at most (RFC 1035, section 2.3.4), and a port up to five digits.
    let fits = "65535--".len() + id.as_str().len() <= 63;
    let port = host.port().map(|port| format!(":{port}")).unwrap_or_default();
    fits.then(|| format!("//{{{{port}}}}--{name}{port}/"))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let template = |host: &str, id: &str| host_template(&host.parse().unwrap(), &id.parse().unwrap());
        let own = template("a-b-code-1.example.com", "a-b-code-1");
        assert_eq!(own.as_deref(), Some("//{{port}}--a-b-code-1.example.com/"));
        assert_eq!(template("localhost:8080", "default").as_deref(), Some("//{{port}}--default.localhost:8080/"));
        assert_eq!(template("127.0.0.1:8080", "default"), None);
        assert_eq!(template("[::1]:8080", "default"), None);
        assert_eq!(template("localhost", &"x".repeat(57)), None);
    }
}
