//! One request for a static file, answered.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};

use super::conditional::{self, Part};
use super::negotiate::Accepted;
use super::open::{Asset, Assets, Representation};
use crate::engine::manifest::Encoding;

/// The commit is part of every path, so content under a path never changes.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The most headers an answer has, so that its map is allocated once.
const HEADERS: usize = 12;

impl Assets {
    /// Answers a request for `path`: what follows [`static_prefix`](crate::engine::Engine::static_prefix), still
    /// percent-encoded, without query. 200, 206, 304, 404, 405, 416, or 500 when a file is not what its manifest says (logged).
    /// `HEAD` gives the headers of `GET` and an empty body.
    pub fn respond(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        let Some(asset) = decode(path).and_then(|path| self.get(&path)) else {
            return plain(StatusCode::NOT_FOUND, "Not found.\n");
        };
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let head = method == Method::HEAD;
        // A range is of the plain content: nobody can use a piece of a compressed stream, and players and PDF viewers ask so.
        if !head && headers.contains_key(RANGE) && !conditional::not_modified(headers, &asset.identity.etag) {
            match conditional::part(headers, &asset.identity.etag, asset.identity.size) {
                Part::Whole => {}
                Part::Bytes(range) => return partial(asset, range),
                Part::Unsatisfiable => return unsatisfiable(asset),
            }
        }
        let (encoding, chosen) = match Accepted::from_headers(headers).choose(&asset.variants) {
            Some((encoding, representation)) => (Some(*encoding), representation),
            None => (None, &asset.identity),
        };
        if conditional::not_modified(headers, &chosen.etag) {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = common(chosen);
            return response;
        }
        whole(asset, encoding, chosen, head)
    }
}

fn whole(asset: &Asset, encoding: Option<Encoding>, chosen: &Representation, head: bool) -> Response<Bytes> {
    let body = match if head { Ok(Bytes::new()) } else { chosen.body() } {
        Ok(body) => body,
        Err(error) => return broken(&error),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    *headers = described(asset, chosen);
    headers.insert(CONTENT_LENGTH, chosen.length.clone());
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.token()));
    }
    response
}

fn partial(asset: &Asset, range: std::ops::Range<u64>) -> Response<Bytes> {
    let body = match asset.identity.body() {
        Ok(body) => body,
        Err(error) => return broken(&error),
    };
    // The body has exactly `size` bytes and the range is within them.
    let mut response = Response::new(body.slice(range.start as usize..range.end as usize));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    *headers = described(asset, &asset.identity);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    content_range(headers, format!("bytes {}-{}/{}", range.start, range.end - 1, asset.identity.size));
    response
}

fn unsatisfiable(asset: &Asset) -> Response<Bytes> {
    let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "Range not satisfiable.\n");
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    content_range(headers, format!("bytes */{}", asset.identity.size));
    response
}

fn content_range(headers: &mut HeaderMap, text: String) {
    // Digits and spaces only: it is always a valid value.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
        headers.insert(CONTENT_RANGE, value);
    }
}

/// What 304 has as well.
fn common(chosen: &Representation) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(ETAG, chosen.etag.clone());
    headers.insert(CACHE_CONTROL, FOREVER);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers
}

fn described(asset: &Asset, chosen: &Representation) -> HeaderMap {
    let mut headers = common(chosen);
    headers.insert(CONTENT_TYPE, asset.content_type.clone());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in &asset.extra {
        headers.insert(name, value.clone());
    }
    headers
}

fn broken(error: &std::io::Error) -> Response<Bytes> {
    tracing::error!(%error, "cannot read a static file");
    plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal error.\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The path as the manifest has it. Only exact names are ever found there, so traversal finds nothing; an encoded slash is
/// refused besides, so that every file has one spelling of its directories.
fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.as_bytes().contains(&b'%') {
        return Some(Cow::Borrowed(path));
    }
    let lower = |byte: u8| byte.to_ascii_lowercase();
    if path.as_bytes().windows(3).any(|code| code[0] == b'%' && code[1] == b'2' && lower(code[2]) == b'f') {
        return None;
    }
    percent_encoding::percent_decode_str(path).decode_utf8().ok()
}
