//! Sends those who come by plain HTTP to TLS, and tells browsers to remember it when the operator says so.

use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};

use super::answer::{self, ApiError, ErrorCode};
use super::app::App;
use super::gate;
use crate::auth::HostPolicy;
use crate::config::Config;
use crate::model::HostName;
use crate::proxy::Body;

/// The answer of a listener that only redirects.
pub(super) fn answer<B>(app: &App, request: &Request<B>) -> Response<Body> {
    let live = app.live();
    let location = gate::check_framing(request).and_then(|()| gate::host(request)).and_then(|host| {
        // Not an open door to wherever a stranger's `Host` points.
        if !(HostPolicy { domains: &live.config.server.domains }).admits(&host) {
            return Err(ApiError::new(ErrorCode::OriginRefused, format!("'{}' is not a host name of this service", host.name())));
        }
        Ok(location(&host, app.https_port(), request.uri().path_and_query().map_or("/", |path| path.as_str())))
    });
    let html = answer::wants_html(request.headers());
    location
        .and_then(|location| answer::redirect(&location))
        .map(|mut response| {
            // The method stays what it is, and no browser remembers it for ever.
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response
        })
        .unwrap_or_else(|error| error.answer(html, &live.config.page))
}

fn location(host: &HostName, port: u16, path: &str) -> String {
    let name = if host.name().contains(':') { format!("[{}]", host.name()) } else { host.name().to_owned() };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = if path.starts_with('/') { path } else { "/" };
    format!("https://{name}{port}{path}")
}

/// Adds `Strict-Transport-Security` to an answer that goes over TLS, when the operator wants it.
pub(super) fn insist(headers: &mut HeaderMap, config: &Config) {
    if let Some(seconds) = config.tls.as_ref().map(|tls| tls.hsts.as_secs()).filter(|seconds| *seconds > 0) {
        answer::set(headers, header::STRICT_TRANSPORT_SECURITY, &format!("max-age={seconds}"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_to() {
        let at = |host: &str, port| location(&host.parse().unwrap(), port, "/x?y");
        assert_eq!(at("code.example.com:80", 443), "https://code.example.com/x?y");
        assert_eq!(at("code.example.com", 8443), "https://code.example.com:8443/x?y");
        assert_eq!(at("[::1]:80", 8443), "https://[::1]:8443/x?y");
        assert_eq!(location(&"a".parse().unwrap(), 443, "*"), "https://a/");
    }
}
