//! Answers made smaller as they are made. The engine's files are compressed once, when it is added.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use http::header::{self, HeaderValue};

use crate::proxy::Body;

/// Answers smaller than this are sent as they are.
const WORTH_COMPRESSING: usize = 1024;

/// `response`, made smaller where that is worth it and the client takes `gzip`. For what holds no secret beside something that others
/// have a say in: how well that is compressed tells of both.
pub(super) fn packed(response: Response<Body>, gzip: bool) -> Response<Body> {
    packed_by(response, gzip, pack)
}

/// The same, by somebody who may have the result already.
pub(super) fn packed_by(mut response: Response<Body>, gzip: bool, pack: impl FnOnce(&Bytes) -> Option<Bytes>) -> Response<Body> {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Body::Full(bytes) = response.body()
        && gzip
        && bytes.len() >= WORTH_COMPRESSING
        && let Some(small) = pack(bytes)
    {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = small.into();
    }
    response
}

/// `bytes` with gzip.
pub(super) fn pack(bytes: &Bytes) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map(Bytes::from).ok()
}
