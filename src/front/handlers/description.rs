//! `GET /api/v1/code/openapi.json`: what all of this is, for programs. `docs/openapi.json` is the only place where it is written.

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};

use super::super::answer::plain;
use crate::proxy::Body;

const DOCUMENT: &[u8] = include_bytes!("../../../docs/openapi.json");

pub(super) fn answer() -> Response<Body> {
    let mut response = plain("application/json", Bytes::from_static(DOCUMENT));
    // It holds nothing of anybody's, and is read by tools that run in pages of other sites.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::super::answer::ErrorCode;
    use super::super::super::route::{Route, Target, route};
    use super::*;

    const BASE: &str = "/stable-COMMIT";

    /// All of them; `every_error_is_described_with_its_status` counts.
    const CODES: &[ErrorCode] = &[
        ErrorCode::BadRequest,
        ErrorCode::InvalidFolder,
        ErrorCode::InvalidWorkspace,
        ErrorCode::InvalidLocale,
        ErrorCode::InvalidExtension,
        ErrorCode::InvalidInstance,
        ErrorCode::Unauthorized,
        ErrorCode::WrongPassword,
        ErrorCode::TooManyAttempts,
        ErrorCode::TooLarge,
        ErrorCode::UnsupportedMediaType,
        ErrorCode::InvalidPort,
        ErrorCode::OriginRefused,
        ErrorCode::PortRefused,
        ErrorCode::FolderNotFound,
        ErrorCode::InstanceNotFound,
        ErrorCode::WorkspaceNotFound,
        ErrorCode::ExtensionNotFound,
        ErrorCode::ExtensionFailed,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::RangeNotSatisfiable,
        ErrorCode::Internal,
        ErrorCode::InstanceFailed,
        ErrorCode::InstanceStopped,
        ErrorCode::PortUnreachable,
        ErrorCode::TooManyInstances,
        ErrorCode::TooManyConnections,
        ErrorCode::Draining,
        ErrorCode::Starting,
        ErrorCode::StartTimeout,
    ];

    fn document() -> Value {
        serde_json::from_slice(DOCUMENT).unwrap()
    }

    fn routed(path: &str) -> Option<Target> {
        match route(&"localhost".parse().unwrap(), path, BASE) {
            Route::Of(_, target) => Some(target),
            _ => None,
        }
    }

    #[test]
    fn every_path_that_is_described_is_routed() {
        for template in document()["paths"].as_object().unwrap().keys() {
            let path = template.replace("{port}", "3000").replace("{commit}", "COMMIT").replace("{name}", "a.b").replace("{path}", "x/y");
            assert!(routed(&path).is_some(), "{template}");
        }
    }

    #[test]
    fn every_path_that_is_routed_is_described() {
        let described: BTreeSet<String> = document()["paths"].as_object().unwrap().keys().cloned().collect();
        // What stands in the router's text as a path, read there: a list of our own would be forgotten.
        let source = include_str!("../route.rs");
        let source = &source[source.find("fn target(path").unwrap()..source.find("#[cfg(test)]").unwrap()];
        let written: BTreeSet<&str> = source.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/') && text.len() > 1).collect();
        assert!(written.len() > 20, "{written:?}");
        for path in written {
            let path = match path {
                "/static/" => "/stable-{commit}/static/",
                path => path,
            };
            let known = described.iter().any(|known| known == path || (path.ends_with('/') && known.starts_with(path)));
            assert!(known, "{path} is not described");
        }
    }

    #[test]
    fn every_error_is_described_with_its_status() {
        let document = document();
        let responses = document["components"]["responses"].as_object().unwrap();
        let used = document["paths"].to_string();
        let source = include_str!("../answer.rs");
        let texts = &source[source.find("fn text(self)").unwrap()..source.find("fn advice(self)").unwrap()];
        // What the control socket alone answers is described to operators.
        let operators = [ErrorCode::Conflict];
        assert_eq!(CODES.len() + operators.len(), texts.matches("=> \"").count(), "a code is missing here");
        for code in CODES {
            let found = responses.iter().find(|(_, one)| !one["content"]["application/json"]["examples"][code.text()].is_null());
            let (name, _) = found.unwrap_or_else(|| panic!("{} is not described", code.text()));
            let status = code.status().as_u16();
            assert!(
                status == 405 || used.contains(&format!(r##""{status}":{{"$ref":"#/components/responses/{name}"}}"##)),
                "{name}: {status}"
            );
        }
        let listed = &document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"];
        let listed: BTreeSet<&str> = listed.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        assert_eq!(listed, CODES.iter().map(|code| code.text()).collect());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(document: &Value, at: &Value) {
            match at {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
                    }
                    map.values().for_each(|value| walk(document, value));
                }
                Value::Array(all) => all.iter().for_each(|value| walk(document, value)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
    }
}
