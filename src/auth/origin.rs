//! Where a request comes from, as far as a browser tells: `Host`, `Origin` and the `Sec-Fetch-*` family.
//!
//! A page of somebody else, open in the user's own browser, can send requests here: through a host name that it had resolved to
//! this machine (DNS rebinding), or straight across sites. The first is refused by the host's name, the second by its origin.

use crate::model::{HostName, InstanceHost, WebOrigin};

/// Which host names are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPolicy<'a> {
    /// Names within these domains, besides loopback names. Lower case.
    pub domains: &'a [String],
}

impl HostPolicy<'_> {
    /// Whether a request for `host` is meant for us. An attacker's name that resolves to us is not.
    pub fn admits(&self, host: &HostName) -> bool {
        host.is_loopback() || self.domains.iter().any(|domain| host.is_within(domain))
    }
}

/// The `Sec-Fetch-Site` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchSite {
    /// From our own page.
    Own,
    /// Typed by the user, or from no browser at all.
    Unsaid,
    /// From another origin. `same-site` counts: a dev server on another port of localhost is such a neighbour.
    Foreign,
}

/// What a browser does with the answer: `Sec-Fetch-Mode` and `Sec-Fetch-Dest` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchMode {
    /// Somebody follows a link or opens a URL, and sees the answer in a tab of its own.
    Navigate,
    /// A page shows the answer in a frame of its own.
    Frame,
    /// Anything else.
    Other,
}

impl FetchSite {
    /// Reads the header; no header means no browser, or one too old to send it.
    pub fn parse(value: Option<&str>) -> Self {
        match value {
            Some("same-origin") => Self::Own,
            None | Some("none") => Self::Unsaid,
            Some(_) => Self::Foreign,
        }
    }
}

impl FetchMode {
    /// Reads the headers. A frame navigates too, but it may be one that nobody sees, in somebody else's page.
    pub fn parse(mode: Option<&str>, destination: Option<&str>) -> Self {
        match (mode, destination) {
            (Some("navigate"), None | Some("document")) => Self::Navigate,
            (Some("navigate"), Some("iframe" | "frame")) => Self::Frame,
            _ => Self::Other,
        }
    }
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginVerdict {
    /// Go on.
    Admitted,
    /// A page of another origin sent it.
    Refused,
}

/// What a request says of where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Provenance<'a> {
    /// `http` or `https`, as the client speaks it.
    pub scheme: &'a str,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Referer`.
    pub referrer: Option<&'a str>,
    /// From where.
    pub site: FetchSite,
    /// What for.
    pub mode: FetchMode,
    /// It changes something or opens a websocket.
    pub sensitive: bool,
}

/// Judges a request to `host`. The `Origin` of a sensitive one, when there is one, has to be ours. Other requests are refused only
/// when another site's page sends them by script or embeds them; a link is fine, and so is a frame in a page of `embedders`. A
/// page that does not say where it is (`Referrer-Policy: no-referrer`) is none of theirs. Its forms come with `Origin: null`, as
/// those of a sandboxed frame do, but only a page of our own origin makes a browser call them `same-origin`.
pub fn check_origin(host: &HostName, from: &Provenance<'_>, embedders: &[WebOrigin]) -> OriginVerdict {
    let own = |origin| is_own(host, from.scheme, origin) || (origin == "null" && from.site == FetchSite::Own);
    let foreign_origin = from.sensitive && from.origin.is_some_and(|origin| !own(origin));
    let embedded = from.mode == FetchMode::Frame && from.referrer.and_then(WebOrigin::of_url).is_some_and(|one| embedders.contains(&one));
    let foreign_fetch = from.site == FetchSite::Foreign && (from.sensitive || !(from.mode == FetchMode::Navigate || embedded));
    if foreign_origin || foreign_fetch { OriginVerdict::Refused } else { OriginVerdict::Admitted }
}

/// Whether `origin` is that of the same instance as `host`, `PORT--ID.…`: any of its ports, or its editor on a host name of its own.
pub fn is_sibling(host: &HostName, scheme: &str, origin: &str) -> bool {
    let InstanceHost::Port(_, id) = host.instance() else { return false };
    matches(host, scheme, origin, |other| {
        let same_instance = match other.instance() {
            InstanceHost::Port(_, other) | InstanceHost::Instance(other) => other == id,
            InstanceHost::InvalidPort | InstanceHost::InvalidInstance | InstanceHost::Other => false,
        };
        same_instance && other.split_label().1 == host.split_label().1
    })
}

/// Whether `origin` is the origin of `scheme://host`, default ports filled in.
fn is_own(host: &HostName, scheme: &str, origin: &str) -> bool {
    matches(host, scheme, origin, |other| other.name() == host.name())
}

fn matches(host: &HostName, scheme: &str, origin: &str, same_name: impl Fn(&HostName) -> bool) -> bool {
    let Some((origin_scheme, rest)) = origin.split_once("://") else { return false };
    let default_port = |scheme: &str| if scheme == "https" { 443 } else { 80 };
    let Ok(other) = rest.parse::<HostName>() else { return false };
    // Behind a proxy that ends TLS and is not configured as trusted we see http where the browser sees https: the host decides,
    // and with it a port that either side leaves out.
    let port = |host: &HostName, scheme: &str| host.port().unwrap_or_else(|| default_port(scheme));
    matches!(origin_scheme, "http" | "https")
        && same_name(&other)
        && (port(&other, origin_scheme) == port(host, scheme) || other.port() == host.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn verdict(origin: Option<&str>, site: Option<&str>, mode: Option<&str>, sensitive: bool) -> bool {
        let host = "localhost:8080".parse().unwrap();
        let (site, mode) = (FetchSite::parse(site), FetchMode::parse(mode, None));
        let from = Provenance { scheme: "http", origin, referrer: None, site, mode, sensitive };
        check_origin(&host, &from, &[]) == OriginVerdict::Admitted
    }

    #[test]
    fn own_pages_and_tools_may() {
        assert!(verdict(Some("http://localhost:8080"), Some("same-origin"), Some("websocket"), true));
        assert!(verdict(None, None, None, true), "curl sends neither");
        assert!(verdict(None, Some("none"), Some("navigate"), false));
        assert!(verdict(None, Some("cross-site"), Some("navigate"), false), "a link on another site");
        assert!(verdict(Some("null"), Some("same-origin"), Some("navigate"), true), "a form on a page that keeps its address to itself");
    }

    #[test]
    fn foreign_pages_may_not() {
        for origin in [
            "http://evil.com",
            "null",
            "http://localhost:3000",
            "http://localhost",
            "http://127.0.0.1:8080",
            "file://",
            "localhost:8080",
            "",
        ] {
            assert!(!verdict(Some(origin), None, Some("websocket"), true), "{origin}");
        }
        for site in ["none", "same-site", "cross-site", "Same-Origin", ""] {
            assert!(!verdict(Some("null"), Some(site), Some("navigate"), true), "{site}");
        }
        assert!(!verdict(Some("http://evil.com"), Some("same-origin"), Some("navigate"), true), "two stories");
        assert!(!verdict(None, Some("cross-site"), Some("no-cors"), false), "an image on another site must not start an editor");
        assert!(!verdict(None, Some("same-site"), Some("cors"), false), "a dev server on another port");
        assert!(!verdict(None, Some("cross-site"), Some("navigate"), true), "a form on another site");
    }

    #[test]
    fn a_frame_in_a_foreign_page_is_no_link() {
        assert_eq!(FetchMode::parse(Some("navigate"), Some("document")), FetchMode::Navigate);
        assert_eq!(FetchMode::parse(Some("navigate"), Some("iframe")), FetchMode::Frame);
        assert_eq!(FetchMode::parse(Some("navigate"), Some("object")), FetchMode::Other);
    }

    #[test]
    fn a_frame_in_an_allowed_page_is_fine() {
        let host = "code.example.com".parse().unwrap();
        let embedders = ["https://app.example.com".parse().unwrap()];
        let framed = |referrer: Option<&'static str>, mode, sensitive| {
            let from = Provenance { scheme: "https", origin: None, referrer, site: FetchSite::Foreign, mode, sensitive };
            check_origin(&host, &from, &embedders) == OriginVerdict::Admitted
        };
        assert!(framed(Some("https://app.example.com/"), FetchMode::Frame, false));
        for referrer in
            [None, Some("https://app.example.com.evil.example/"), Some("http://app.example.com/"), Some("https://app.example.com:8443/")]
        {
            assert!(!framed(referrer, FetchMode::Frame, false), "{referrer:?}");
        }
        assert!(!framed(Some("https://app.example.com/"), FetchMode::Other, false), "a script there is another matter");
        assert!(!framed(Some("https://app.example.com/"), FetchMode::Frame, true), "and so is a form");
    }

    #[test]
    fn default_ports() {
        let host = "code.example.com".parse().unwrap();
        assert!(is_own(&host, "https", "https://code.example.com"));
        assert!(is_own(&host, "http", "https://code.example.com"), "a proxy in front ended TLS");
        assert!(is_own(&host, "http", "http://code.example.com:80"));
        assert!(!is_own(&host, "http", "http://code.example.com:8080"));
    }

    #[test]
    fn hosts() {
        let policy = HostPolicy { domains: &["srv7.example.com".into()] };
        for host in ["localhost:1", "127.0.0.1", "a-b-code-1.srv7.example.com"] {
            assert!(policy.admits(&host.parse().unwrap()), "{host}");
        }
        for host in ["evil.com", "srv7.example.com.evil.com", "10.0.0.1"] {
            assert!(!policy.admits(&host.parse().unwrap()), "{host}");
        }
    }
}
