//! One request to an upstream and its answer.

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::body::Body;
use super::error::ProxyError;
use super::headers::{set_forwarded, strip_hop_by_hop};
use super::upstream::Upstream;

/// What is said of the client to the upstream.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The client's address, when it has one.
    pub client: Option<String>,
    /// `http` or `https`, as the client speaks it.
    pub proto: &'static str,
    /// The host that the client asked for.
    pub host: HeaderValue,
    /// What a proxy in front of us has taken off the path, without the closing slash; mostly nothing.
    pub prefix: String,
}

/// An upstream's answer.
pub enum Reply {
    /// An ordinary one, hop-by-hop headers removed. Also an upgrade that the upstream refused.
    Response(Response<Incoming>),
    /// The upstream switches protocols: pass the head on, then tunnel between the client's upgrade and this one.
    Switched(Response<()>, OnUpgrade),
}

/// Whether the headers ask for another protocol on this connection.
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// Sends `request` to `upstream`. Its URI's path and query go on as they are; an upgrade is asked for when it asks for one.
///
/// # Errors
/// When no connection can be made or it breaks before the answer's head is there.
pub async fn forward(upstream: &Upstream, request: Request<Body>, forwarded: &Forwarded) -> Result<Reply, ProxyError> {
    let (mut parts, body) = request.into_parts();
    let upgrade = if wants_upgrade(&parts.headers) { parts.headers.get(header::UPGRADE).cloned() } else { None };
    strip_hop_by_hop(&mut parts.headers);
    set_forwarded(&mut parts.headers, forwarded.client.as_deref(), forwarded.proto, &forwarded.host);
    if let Some(protocol) = upgrade {
        parts.headers.insert(header::UPGRADE, protocol);
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    match exchange(upstream, parts, body).await? {
        Reply::Response(mut response) => {
            strip_hop_by_hop(response.headers_mut());
            Ok(Reply::Response(response))
        }
        switched => Ok(switched),
    }
}

/// Sends a request whose headers are as they shall be. Those of the answer are as they came.
pub(super) async fn exchange(upstream: &Upstream, mut parts: Parts, body: Body) -> Result<Reply, ProxyError> {
    // The pool wants an absolute URI; the authority is a word, the connector knows where to go.
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    parts.uri = Uri::builder().scheme("http").authority("upstream").path_and_query(path).build()?;
    parts.version = http::Version::HTTP_11;
    let response = upstream.client.request(Request::from_parts(parts, body)).await.map_err(ProxyError::client)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (parts, body) = response.into_parts();
        let on_upgrade = hyper::upgrade::on(Response::from_parts(parts.clone(), body));
        return Ok(Reply::Switched(Response::from_parts(parts, ()), on_upgrade));
    }
    Ok(Reply::Response(response))
}
