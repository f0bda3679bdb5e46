//! Where extensions come from.

use std::ffi::OsString;

use serde_json::{Map, Value, json};

use super::AbsolutePath;

/// The variable by which a code-server takes another gallery than its own (a JSON object, as in `product.json`).
const VARIABLE: &str = "EXTENSIONS_GALLERY";

/// A source of extensions.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Gallery {
    /// The one that the engine was built with: Open VSX, for a code-server.
    #[default]
    Engines,
    /// Another, described as `extensionsGallery` in `product.json` is.
    Service(Map<String, Value>),
    /// A directory of VSIX files named `PUBLISHER.NAME-VERSION.vsix`, as the instance sees it. Nothing can be searched there.
    Directory(AbsolutePath),
}

impl Gallery {
    /// The gallery whose service is at `url`, laid out as Open VSX lays itself out: `…/vscode/gallery`, `…/vscode/item` and
    /// `…/vscode/asset`. None when `url` is no such address.
    pub fn at(url: &str) -> Option<Self> {
        let url = url.trim_end_matches('/');
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
        if host.is_empty() || host.starts_with('/') || url.contains(['?', '#', '{', '}', '"']) || url.contains(char::is_whitespace) {
            return None;
        }
        let base = url.strip_suffix("/gallery").unwrap_or(url);
        let description = json!({
            "serviceUrl": url,
            "itemUrl": format!("{base}/item"),
            "extensionUrlTemplate": format!("{url}/{{publisher}}/{{name}}/latest"),
            "resourceUrlTemplate":
                format!("{base}/asset/{{publisher}}/{{name}}/{{version}}/Microsoft.VisualStudio.Code.WebResources/{{path}}"),
            "controlUrl": "",
            "recommendationsUrl": "",
        });
        match description {
            Value::Object(map) => Some(Self::Service(map)),
            _ => None,
        }
    }

    /// What the engine's environment says of it; the running editor and the command line get the same.
    pub fn env(&self) -> Option<(OsString, OsString)> {
        let description = match self {
            Self::Engines => return None,
            Self::Service(description) => Value::Object(description.clone()),
            // Without an address the editor says that there is no gallery, rather than that it cannot be reached.
            Self::Directory(_) => json!({"serviceUrl": ""}),
        };
        Some((VARIABLE.into(), description.to_string().into()))
    }

    /// The origin that a page has to be allowed to ask, because it does not begin with `https:`, which pages may ask anyway.
    pub fn plain_origin(&self) -> Option<String> {
        let Self::Service(description) = self else { return None };
        let host = description.get("serviceUrl")?.as_str()?.strip_prefix("http://")?;
        let host =
            host.split(['/', '?', '#']).next().filter(|host| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b)))?;
        Some(format!("http://{host}"))
    }

    /// The directory, if it is one.
    pub fn directory(&self) -> Option<&AbsolutePath> {
        match self {
            Self::Directory(path) => Some(path),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let (name, value) = Gallery::at("https://vsx.example.com/vscode/gallery/").unwrap().env().unwrap();
        let value: Value = serde_json::from_str(value.to_str().unwrap()).unwrap();
        assert_eq!((name.to_str(), &value["serviceUrl"]), (Some(VARIABLE), &json!("https://vsx.example.com/vscode/gallery")));
        assert_eq!(value["itemUrl"], "https://vsx.example.com/vscode/item");
        for wrong in ["", "vsx.example.com", "ftp://a", "https://", "https:///a", "http://a b", "http://a/?x", "/srv/vsix"] {
            assert_eq!(Gallery::at(wrong), None, "{wrong}");
        }
        assert_eq!(Gallery::Engines.env(), None);
        let origin = |url: &str| Gallery::at(url).unwrap().plain_origin();
        assert_eq!(origin("http://vsx.internal:8080/vscode/gallery").as_deref(), Some("http://vsx.internal:8080"));
        assert_eq!((origin("https://a/b"), origin("http://a;b/c")), (None, None));
    }
}
