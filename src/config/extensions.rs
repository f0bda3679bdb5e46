//! `[extensions]`: where extensions come from, and which ones every instance has.

use serde::Deserialize;

use super::error::ConfigError;
use crate::model::{AbsolutePath, ExtensionSpec, Gallery};

/// The most bytes of an uploaded VSIX, unless the operator says otherwise, in MiB.
const MAX_UPLOAD: u64 = 512;

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    gallery: Option<toml::Value>,
    pub(super) preinstall: Option<Vec<String>>,
    max_upload_mib: Option<u64>,
}

/// Where extensions come from, and which ones every instance has.
#[derive(Clone, Debug, PartialEq)]
pub struct Extensions {
    /// Where they come from.
    pub gallery: Gallery,
    /// What every instance gets once; who removes one of them does not get it again.
    pub preinstall: Vec<ExtensionSpec>,
    /// The most bytes of an uploaded VSIX.
    pub max_upload: u64,
}

/// A set of extensions, as `[extensions]` and classes have it.
pub(super) fn specs(all: &[String]) -> Result<Vec<ExtensionSpec>, ConfigError> {
    all.iter().map(|text| text.parse().map_err(|e| ConfigError::value("preinstall", format!("'{text}': {e}")))).collect()
}

pub(super) fn check(raw: Raw) -> Result<Extensions, ConfigError> {
    let max_upload = raw.max_upload_mib.unwrap_or(MAX_UPLOAD);
    if !(1..=1 << 20).contains(&max_upload) {
        return Err(ConfigError::value("max_upload_mib", format!("{max_upload} is not within 1 and {}", 1 << 20)));
    }
    Ok(Extensions { gallery: gallery(raw.gallery)?, preinstall: specs(&raw.preinstall.unwrap_or_default())?, max_upload: max_upload << 20 })
}

fn gallery(raw: Option<toml::Value>) -> Result<Gallery, ConfigError> {
    match raw {
        None => Ok(Gallery::Engines),
        Some(toml::Value::String(text)) if text.starts_with('/') => match AbsolutePath::parse(&text) {
            Ok(path) => Ok(Gallery::Directory(path)),
            Err(e) => Err(ConfigError::value("gallery", format!("'{text}': {e}"))),
        },
        Some(toml::Value::String(text)) => Gallery::at(&text).ok_or_else(|| {
            let message =
                format!("'{text}' is neither an address such as https://HOST/vscode/gallery nor the absolute path of a directory");
            ConfigError::value("gallery", message)
        }),
        Some(toml::Value::Table(table)) => match serde_json::to_value(table) {
            Ok(serde_json::Value::Object(map)) if map.get("serviceUrl").is_some_and(serde_json::Value::is_string) => {
                Ok(Gallery::Service(map))
            }
            _ => Err(ConfigError::value("gallery", "a table is product.json's extensionsGallery, with a serviceUrl at least")),
        },
        Some(_) => Err(ConfigError::value("gallery", "is an address, a directory or a table")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Extensions, String> {
        toml::from_str(text).map_err(|e| e.to_string()).and_then(|raw| check(raw).map_err(|e| e.to_string()))
    }

    #[test]
    fn galleries() {
        assert_eq!(read("").unwrap().gallery, Gallery::Engines);
        assert!(matches!(read("gallery = 'https://vsx.example.com/vscode/gallery'").unwrap().gallery, Gallery::Service(_)));
        assert!(matches!(read("gallery = '/srv/vsix'").unwrap().gallery, Gallery::Directory(_)));
        assert!(matches!(read("gallery = { serviceUrl = 'https://a/b' }").unwrap().gallery, Gallery::Service(_)));
        for wrong in ["gallery = 'srv'", "gallery = '/srv/../x'", "gallery = 5", "gallery = { itemUrl = 'x' }", "galery = 'x'"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sets() {
        assert_eq!(read("preinstall = ['pub.name@1.2.3', 'a.b']").unwrap().preinstall.len(), 2);
        assert!(read("preinstall = ['pub']").unwrap_err().contains("'pub'"));
        assert!(read("max_upload_mib = 0").is_err());
    }
}
