//! One request for a static file, answered.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, RANGE, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};

use super::conditional::{self, Part};
use super::error::Refused;
use super::negotiate::Accepted;
use super::open::{Asset, Assets, Representation};
use crate::engine::manifest::Encoding;

/// The commit is part of every path, so content under a path never changes.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The most headers an answer has, so that its map is allocated once.
const HEADERS: usize = 12;

impl Assets {
    /// Answers a request for `path`: what follows [`static_prefix`](crate::engine::Engine::static_prefix), still
    /// percent-encoded, without query. 200, 206 or 304. `HEAD` gives the headers of `GET` and an empty body.
    ///
    /// # Errors
    /// When there is nothing to send.
    pub fn respond(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Response<Bytes>, Refused> {
        let asset = decode(path).and_then(|path| self.get(&path)).ok_or(Refused::NotFound)?;
        if method != Method::GET && method != Method::HEAD {
            return Err(Refused::Method);
        }
        let head = method == Method::HEAD;
        // A range is of the plain content: nobody can use a piece of a compressed stream, and players and PDF viewers ask so.
        if !head && headers.contains_key(RANGE) && !conditional::not_modified(headers, &asset.identity.etag) {
            match conditional::part(headers, &asset.identity.etag, asset.identity.size) {
                Part::Whole => {}
                Part::Bytes(range) => return partial(asset, range),
                Part::Unsatisfiable => return Err(Refused::Range { size: asset.identity.size }),
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
            return Ok(response);
        }
        whole(asset, encoding, chosen, head)
    }
}

fn whole(asset: &Asset, encoding: Option<Encoding>, chosen: &Representation, head: bool) -> Result<Response<Bytes>, Refused> {
    let body = if head { Bytes::new() } else { chosen.body().map_err(broken)? };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    *headers = described(asset, chosen);
    headers.insert(CONTENT_LENGTH, chosen.length.clone());
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.token()));
    }
    Ok(response)
}

fn partial(asset: &Asset, range: std::ops::Range<u64>) -> Result<Response<Bytes>, Refused> {
    let body = asset.identity.body().map_err(broken)?;
    // The body has exactly `size` bytes and the range is within them.
    let mut response = Response::new(body.slice(range.start as usize..range.end as usize));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    *headers = described(asset, &asset.identity);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    // Digits and spaces only: it is always a valid value.
    let said = format!("bytes {}-{}/{}", range.start, range.end - 1, asset.identity.size);
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(said)) {
        headers.insert(CONTENT_RANGE, value);
    }
    Ok(response)
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

fn broken(error: std::io::Error) -> Refused {
    tracing::error!(%error, "cannot read a static file");
    Refused::Broken
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
