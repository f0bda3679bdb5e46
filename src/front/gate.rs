//! Whether a request may go on: what it is framed as, which host it is for, whose page sent it.

use http::header::{self, HeaderMap};
use http::{Method, Request};

use super::answer::{ApiError, ErrorCode};
use crate::auth::{FetchMode, FetchSite, HostPolicy, OriginVerdict, Provenance, check_origin};
use crate::config::Config;
use crate::model::HostName;

/// Refuses what two parties could read differently, the stuff that request smuggling is made of. hyper has refused conflicting
/// lengths and unknown codings already, and closes the connection after a request that had both; what is legal but never sent by
/// an honest client is refused here.
pub(super) fn check_framing<B>(request: &Request<B>) -> Result<(), ApiError> {
    let bad = |message| Err(ApiError::new(ErrorCode::BadRequest, message));
    let headers = request.headers();
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 || headers.get_all(header::TRANSFER_ENCODING).iter().count() > 1 {
        return bad("a request says once how long it is");
    }
    if request.method() == Method::CONNECT {
        return bad("this is no forward proxy");
    }
    Ok(())
}

/// The host a request is for: the one in `Host`, or the one in the request line when it carries a whole URI; never two.
/// `X-Forwarded-Host` says nothing here, whoever sends it: proxies pass a browser's own on, and with it a page of one tenant
/// could name another.
pub(super) fn host<B>(request: &Request<B>) -> Result<HostName, ApiError> {
    let bad = || ApiError::new(ErrorCode::BadRequest, "a request names one host");
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next(), request.uri().authority()) {
        (Some(host), None, None) => host.to_str().map_err(|_| bad())?.to_owned(),
        (Some(host), None, Some(authority)) if host == authority.as_str() => authority.as_str().to_owned(),
        (None, None, Some(authority)) => authority.as_str().to_owned(),
        _ => return Err(bad()),
    };
    named.parse::<HostName>().map_err(|_| bad())
}

/// Refuses other people's host names and other people's pages.
pub(super) fn check_origins<B>(request: &Request<B>, host: &HostName, scheme: &str, config: &Config) -> Result<(), ApiError> {
    if !(HostPolicy { domains: &config.server.domains }).admits(host) {
        return Err(ApiError::new(ErrorCode::OriginRefused, format!("'{}' is not a host name of this service", host.name())));
    }
    let headers = request.headers();
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let sensitive = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) || headers.contains_key(header::UPGRADE);
    let site = FetchSite::parse(text("sec-fetch-site"));
    let mode = FetchMode::parse(text("sec-fetch-mode"), text("sec-fetch-dest"));
    let from = Provenance { scheme, origin: text("origin"), referrer: text("referer"), site, mode, sensitive };
    match check_origin(host, &from, &config.page.embedders) {
        OriginVerdict::Admitted => Ok(()),
        OriginVerdict::Refused => Err(ApiError::new(ErrorCode::OriginRefused, "a page of another origin sent this request")),
    }
}

/// Whether a person is about to look at the answer.
pub(super) fn is_navigation(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => super::answer::wants_html(headers),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    fn host_of(uri: &str, headers: &[(&str, &str)]) -> Option<String> {
        host(&request(uri, headers)).ok().map(|h| h.to_string())
    }

    #[test]
    fn one_host() {
        assert_eq!(host_of("/", &[("host", "Localhost:1")]), Some("localhost:1".into()));
        assert_eq!(host_of("http://localhost:1/", &[("host", "localhost:1")]), Some("localhost:1".into()));
        assert_eq!(host_of("/", &[]), None);
        assert_eq!(host_of("/", &[("host", "a"), ("host", "b")]), None);
        assert_eq!(host_of("http://b/", &[("host", "a")]), None);
        assert_eq!(host_of("/", &[("host", "a b")]), None);
    }

    #[test]
    fn one_length() {
        for headers in [
            &[("content-length", "3"), ("content-length", "3")][..],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "identity")][..],
        ] {
            assert_eq!(check_framing(&request("/", headers)).unwrap_err().code, ErrorCode::BadRequest);
        }
        check_framing(&request("/", &[("content-length", "3")])).unwrap();
    }
}
