//! One request to an app that somebody runs on a port, and its answer: an HTTP server that we know nothing of.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::Body;
use super::cookies::{filter_set_cookies, strip_request_cookies};
use super::error::ProxyError;
use super::expect::await_continue;
use super::forward::{Forwarded, Reply, exchange, wants_upgrade};
use super::headers::{set_forwarded, set_forwarded_standard, strip_hop_by_hop};
use super::rewrite::{Mount, rewrite_references, strip_origin_wide, strip_wiping_cookies};
use super::upstream::Upstream;

/// How an app is seen.
#[derive(Clone, Debug)]
pub enum Exposure<'a> {
    /// On an origin of its own: nothing is rewritten.
    OwnOrigin,
    /// On the editor's origin, under the paths that it knows itself.
    SharedOrigin,
    /// On the editor's origin, below a prefix that it does not know.
    Mounted(Mount<'a>),
}

/// Whether a request asks to become a websocket. No other protocol is passed on: `h2c` for one would be a way around everything
/// that is done to requests here.
pub fn wants_websocket(headers: &HeaderMap) -> bool {
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    wants_upgrade(headers) && headers.get_all(header::UPGRADE).iter().count() == 1 && headers.get(header::UPGRADE).is_some_and(is_websocket)
}

/// Sends `request` on. Its URI is what the app is asked for; `Host` and `Origin` go on as the browser sent them.
///
/// # Errors
/// When no connection can be made, or it breaks before the answer's head is there.
pub async fn forward_app(
    upstream: &Upstream,
    request: Request<Body>,
    forwarded: &Forwarded,
    exposure: &Exposure<'_>,
) -> Result<Reply, ProxyError> {
    let (mut parts, mut body) = request.into_parts();
    let websocket = wants_websocket(&parts.headers);
    let wants_trailers = lists(&parts.headers, &header::TE, "trailers");
    let trailer = parts.headers.get(header::TRAILER).cloned();
    let patient = lists(&parts.headers, &header::EXPECT, "100-continue");
    let is_head = parts.method == Method::HEAD;
    strip_hop_by_hop(&mut parts.headers);
    strip_request_cookies(&mut parts.headers);
    set_forwarded(&mut parts.headers, forwarded.client.as_deref(), forwarded.proto, &forwarded.host);
    set_forwarded_standard(&mut parts.headers, forwarded);
    if let Exposure::Mounted(mount) = exposure
        && let Ok(prefix) = HeaderValue::from_str(mount.prefix)
    {
        parts.headers.insert("x-forwarded-prefix", prefix);
    }
    parts.headers.entry(header::HOST).or_insert_with(|| forwarded.host.clone());
    agree_on_length(&mut parts.headers, &body);
    if websocket {
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        if wants_trailers {
            parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        if let Some(trailer) = trailer {
            parts.headers.insert(header::TRAILER, trailer);
        }
    }
    if patient && !body.is_end_stream() {
        body = await_continue(&mut parts, body);
    }
    match exchange(upstream, parts, body).await? {
        Reply::Switched(..) if !websocket => Err(ProxyError::Unasked),
        Reply::Switched(mut head, upgrade) => {
            polish(head.headers_mut(), exposure);
            Ok(Reply::Switched(head, upgrade))
        }
        Reply::Response(response) => Ok(Reply::Response(receive(response, is_head, exposure))),
    }
}

fn receive(response: Response<Incoming>, is_head: bool, exposure: &Exposure<'_>) -> Response<Incoming> {
    let (mut parts, body) = response.into_parts();
    let trailer = parts.headers.get(header::TRAILER).cloned();
    strip_hop_by_hop(&mut parts.headers);
    // The length of an answer that has no body here speaks of one that is elsewhere.
    if !is_head && parts.status != StatusCode::NOT_MODIFIED {
        agree_on_length(&mut parts.headers, &body);
        if let Some(trailer) = trailer {
            parts.headers.insert(header::TRAILER, trailer);
        }
    }
    polish(&mut parts.headers, exposure);
    Response::from_parts(parts, body)
}

fn polish(headers: &mut HeaderMap, exposure: &Exposure<'_>) {
    match exposure {
        Exposure::OwnOrigin => {
            filter_set_cookies(headers, None);
            strip_wiping_cookies(headers);
        }
        Exposure::SharedOrigin => {
            filter_set_cookies(headers, None);
            strip_origin_wide(headers);
        }
        Exposure::Mounted(mount) => {
            filter_set_cookies(headers, Some(mount.prefix));
            strip_origin_wide(headers);
            rewrite_references(headers, mount);
        }
    }
}

/// A message is as long as its framing said; a header that says otherwise (both lengths, for example) would be believed by
/// whoever comes next.
fn agree_on_length(headers: &mut HeaderMap, body: &impl http_body::Body) {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let one = headers.get_all(header::CONTENT_LENGTH).iter().count() == 1;
    if said.is_none() || said != body.size_hint().exact() || !one {
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// Whether one of the comma-separated words of a header is `word`.
fn lists(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.split(',')).any(|part| part.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(word))
}
