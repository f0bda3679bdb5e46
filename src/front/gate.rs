//! Whether a request may go on: what it is framed as, which host it is for, whose page sent it.

use std::borrow::Cow;

use http::header::{self, HeaderMap};
use http::{Method, Request, Version};

use super::answer::{ApiError, ErrorCode};
use crate::auth::{FetchMode, FetchSite, HostPolicy, OriginVerdict, Provenance, check_origin, is_sibling};
use crate::config::Config;
use crate::model::{HostName, InstanceHost, WebOrigin};

/// Where monitors ask whether all is well.
pub(super) const HEALTH: &str = "/api/v1/code/health";

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

/// The same for what answers to any host name, and so to a request of HTTP/1.0 that names none: load balancers still send such.
/// Browsers do not.
pub(super) fn any_host<B>(request: &Request<B>) -> Result<HostName, ApiError> {
    let nameless = !request.headers().contains_key(header::HOST) && request.uri().authority().is_none();
    if nameless && request.version() == Version::HTTP_10 { Ok(HostName::localhost()) } else { host(request) }
}

/// The host by which the instance is found. The service's own name may look like that of an instance, and health answers to all.
pub(super) fn named<'a>(host: &'a HostName, path: &str, domains: &[String]) -> Cow<'a, HostName> {
    let ours = path == HEALTH || domains.iter().any(|domain| domain == host.name());
    let odd = host.instance() == InstanceHost::InvalidInstance;
    if ours && odd { Cow::Owned(HostName::localhost()) } else { Cow::Borrowed(host) }
}

/// Who is trusted besides ourselves.
#[derive(Clone, Copy)]
pub(super) struct Trust<'a> {
    /// The domains that are ours.
    pub(super) domains: &'a [String],
    /// The origins whose pages may embed the editor.
    pub(super) embedders: &'a [WebOrigin],
}

impl<'a> Trust<'a> {
    /// What the configuration says.
    pub(super) fn of(config: &'a Config) -> Self {
        Self { domains: &config.server.domains, embedders: &config.page.embedders }
    }
}

/// Refuses other people's host names and other people's pages.
pub(super) fn check_origins<B>(request: &Request<B>, host: &HostName, scheme: &str, trust: &Trust<'_>) -> Result<(), ApiError> {
    if !(HostPolicy { domains: trust.domains }).admits(host) {
        return Err(ApiError::new(ErrorCode::OriginRefused, format!("'{}' is not a host name of this service", host.name())));
    }
    let headers = request.headers();
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let sensitive = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) || headers.contains_key(header::UPGRADE);
    let site = FetchSite::parse(text("sec-fetch-site"));
    let mode = FetchMode::parse(text("sec-fetch-mode"), text("sec-fetch-dest"));
    let from = Provenance { scheme, origin: text("origin"), referrer: text("referer"), site, mode, sensitive };
    match check_origin(host, &from, trust.embedders) {
        OriginVerdict::Admitted => Ok(()),
        OriginVerdict::Refused => Err(ApiError::new(ErrorCode::OriginRefused, "a page of another origin sent this request")),
    }
}

/// Whether a page of another site has sent the browser here.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// The same for an app that has an origin of its own. The other ports of the same instance may do to it what its own pages may:
/// a page on one port that talks to a server on another is how people develop. And everybody may show it in a frame, the editor's
/// own preview first of all; whether it wants that is for the app to say.
pub(super) fn check_app_origins<B>(request: &Request<B>, host: &HostName, scheme: &str, trust: &Trust<'_>) -> Result<(), ApiError> {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // What sends no Origin (a frame, a script, an image) mostly says in Referer where it is.
    let source = text("origin").or_else(|| text("referer").map(origin_of));
    let admitted = (HostPolicy { domains: trust.domains }).admits(host)
        && (opens_in_frame(request) || source.is_some_and(|source| is_sibling(host, scheme, source)));
    if admitted { Ok(()) } else { check_origins(request, host, scheme, trust) }
}

/// The same for the way of a session to an app's own origin, which leads nowhere else: what shows the app in a frame takes that way
/// in the frame. Elsewhere a frame in a page of another origin is refused.
pub(super) fn check_transfer_origins<B>(request: &Request<B>, host: &HostName, scheme: &str, trust: &Trust<'_>) -> Result<(), ApiError> {
    let admitted = (HostPolicy { domains: trust.domains }).admits(host) && opens_in_frame(request);
    if admitted { Ok(()) } else { check_origins(request, host, scheme, trust) }
}

/// The same for what pages of other sites may read, as its own headers say.
pub(super) fn check_read_origins<B>(request: &Request<B>, host: &HostName, scheme: &str, trust: &Trust<'_>) -> Result<(), ApiError> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(header::UPGRADE);
    let admitted = reads && (HostPolicy { domains: trust.domains }).admits(host);
    if admitted { Ok(()) } else { check_origins(request, host, scheme, trust) }
}

/// Whether a browser opens this in a frame, and sends nothing with it.
pub(super) fn opens_in_frame<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD) && !headers.contains_key(header::UPGRADE);
    is_get && text("sec-fetch-mode") == Some("navigate") && matches!(text("sec-fetch-dest"), Some("iframe" | "frame"))
}

/// `scheme://host:port` of a URL.
fn origin_of(url: &str) -> &str {
    let Some(at) = url.find("://").map(|at| at + "://".len()) else { return url };
    url[at..].find('/').map_or(url, |end| &url[..at + end])
}

/// The editor is opened, in a tab or a frame; it is not fetched. Whoever fetches it wants to read in it what is not theirs.
pub(super) fn check_opened(headers: &HeaderMap) -> Result<(), ApiError> {
    // Node's own fetch sends a mode, and nothing else of this family: it is no browser.
    let browser = headers.contains_key("sec-fetch-site");
    let one_of = |name: &str, words: &[&str]| headers.get(name).is_none_or(|value| words.iter().any(|word| value == word));
    let opened = one_of("sec-fetch-mode", &["navigate"]) && one_of("sec-fetch-dest", &["document", "iframe", "frame"]);
    if browser && !opened {
        return Err(ApiError::new(ErrorCode::OriginRefused, "the editor is a page to be opened, not a file to be fetched"));
    }
    Ok(())
}

/// Who signs in or out sends a form of ours. A script that does it, of an app on a path of the editor perhaps, would guess passwords in the
/// name of a browser that is known, or sign its user out.
pub(super) fn check_submitted(headers: &HeaderMap) -> Result<(), ApiError> {
    let fetched = headers.contains_key("sec-fetch-site") && headers.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate");
    if fetched { Err(ApiError::new(ErrorCode::OriginRefused, "this is a form to be sent, not to be fetched")) } else { Ok(()) }
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
    fn no_host_where_any_will_do() {
        let at = |version, headers| {
            let mut request = request("/", headers);
            *request.version_mut() = version;
            any_host(&request).ok().map(|host| host.to_string())
        };
        assert_eq!(at(Version::HTTP_10, &[]), Some("localhost".into()));
        assert_eq!(at(Version::HTTP_11, &[]), None);
        assert_eq!(at(Version::HTTP_10, &[("host", "a"), ("host", "b")]), None);
        assert_eq!(at(Version::HTTP_10, &[("host", "")]), None);

        let found = |host: &str, path| named(&host.parse().unwrap(), path, &["web-code-1.example.com".into()]).to_string();
        assert_eq!(found("web-code-1.example.com", "/"), "localhost");
        assert_eq!(found("web-code-1", HEALTH), "localhost");
        assert_eq!(found("web-code-1.localhost", "/"), "web-code-1.localhost");
        assert_eq!(found("a-web-code-1.localhost", HEALTH), "a-web-code-1.localhost");
    }

    #[test]
    fn apps_on_their_own_origin() {
        let check = |method: &str, headers: &[(&str, &str)]| {
            let host = "3000--a-b-code-1.example.com".parse().unwrap();
            let mut request = request("/", headers);
            *request.method_mut() = method.parse().unwrap();
            let trust = Trust { domains: &["example.com".into()], embedders: &[] };
            check_app_origins(&request, &host, "https", &trust).is_ok()
        };
        let foreign = ("sec-fetch-site", "same-site");
        assert!(check("POST", &[("origin", "https://3000--a-b-code-1.example.com"), ("upgrade", "websocket")]));
        assert!(check("POST", &[("origin", "https://5173--a-b-code-1.example.com"), foreign]), "another port of the instance");
        assert!(check("GET", &[("referer", "https://a-b-code-1.example.com/?folder=/x"), foreign]), "its editor");
        assert!(check("GET", &[foreign, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]));
        assert!(!check("POST", &[foreign, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]));
        for origin in ["https://evil.example", "https://3000--x-b-code-1.example.com", "https://x-b-code-1.example.com", "null"] {
            assert!(!check("POST", &[("origin", origin), foreign]), "{origin}");
            assert!(!check("GET", &[("origin", origin), ("upgrade", "websocket")]), "{origin}");
            assert!(!check("GET", &[("referer", &format!("{origin}/x")), foreign, ("sec-fetch-mode", "no-cors")]), "{origin}");
        }
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
