//! Which headers go on, which end here (RFC 9110, section 7.6).

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::forward::Forwarded;

/// Headers that speak of one connection only, and those that must not be believed from a stranger.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Removes what is meant for this connection only: the fixed list, and whatever `Connection` names besides.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        // `Connection: host` must not cut away what frames or routes the message.
        if *name != header::HOST && *name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    headers.remove("proxy-connection");
}

/// Replaces the `X-Forwarded-*` headers by what we know ourselves.
pub(super) fn set_forwarded(headers: &mut HeaderMap, client: Option<&str>, proto: &'static str, host: &HeaderValue) {
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip"] {
        headers.remove(name);
    }
    if let Some(client) = client.and_then(|client| HeaderValue::from_str(client).ok()) {
        headers.insert("x-forwarded-for", client);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static(proto));
    headers.insert("x-forwarded-host", host.clone());
}

/// Says the same in the header that RFC 7239 made for it.
pub(super) fn set_forwarded_standard(headers: &mut HeaderMap, forwarded: &Forwarded) {
    let mut pairs = Vec::new();
    if let Some(client) = &forwarded.client {
        // An IPv6 address stands in brackets, and that in quotes. What a proxy said of its client may be anything.
        match client.parse() {
            Ok(IpAddr::V6(ip)) => pairs.push(format!("for=\"[{ip}]\"")),
            Ok(IpAddr::V4(ip)) => pairs.push(format!("for={ip}")),
            Err(_) => pairs.push("for=unknown".to_owned()),
        }
    }
    if let Ok(host) = forwarded.host.to_str()
        && !host.contains(['"', '\\'])
    {
        pairs.push(format!("host=\"{host}\""));
    }
    pairs.push(format!("proto={}", forwarded.proto));
    if let Ok(value) = HeaderValue::from_str(&pairs.join(";")) {
        headers.insert(header::FORWARDED, value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_connection_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Secret"),
            ("connection", "host, content-length"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-connection", "close"),
            ("host", "a"),
            ("content-length", "3"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(left.len(), 4, "{left:?}");
        assert!(left.contains(&("cookie", "a=1")) && left.contains(&("cookie", "b=2")), "repeated headers are kept: {left:?}");
        assert!(left.contains(&("host", "a")) && left.contains(&("content-length", "3")));
    }

    #[test]
    fn a_strangers_forwarding_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        headers.append("x-forwarded-host", HeaderValue::from_static("evil"));
        headers.append("forwarded", HeaderValue::from_static("for=6.6.6.6"));
        set_forwarded(&mut headers, Some("127.0.0.1"), "http", &HeaderValue::from_static("localhost:1"));
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-host"], "localhost:1");
        assert!(!headers.contains_key("forwarded"));
    }
}
