//! The operator's page, on the control socket: a browser gets there with `ssh -L 9000:/run/hoody-code/control.sock HOST`.
//!
//! It only shows what the routes beside it say, and asks them for what its buttons mean.

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};

use super::answer::plain;
use crate::proxy::Body;

/// Its files: path, type, content.
const FILES: [(&str, &str, &[u8]); 3] = [
    ("/", "text/html; charset=utf-8", include_bytes!("dashboard/page.html")),
    ("/dashboard.css", "text/css; charset=utf-8", include_bytes!("dashboard/style.css")),
    ("/dashboard.js", "text/javascript; charset=utf-8", include_bytes!("dashboard/page.js")),
];

/// Nothing but its own files, and nobody's frame around its buttons.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The file at `path`.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == path)?;
    let mut response = plain(kind, Bytes::from_static(content));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Some(response)
}
