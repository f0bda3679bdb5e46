//! Where a daemon is found by URL, and where on it an instance is.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::model::{HostName, InstanceHost, InstanceId};

/// Where browsers find a daemon, or one of its instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    pub(super) https: bool,
    pub(super) host: HostName,
    /// The path before ours, without the closing slash.
    prefix: String,
    /// The instance that the URL names by itself.
    named: Option<InstanceId>,
}

/// The text is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address such as https://code.example.com or http://127.0.0.1:8080/i/alice/")]
pub struct InvalidUrl;

impl ServiceUrl {
    /// The path of `id`'s root, without the closing slash; none when the URL names another instance.
    pub(super) fn root(&self, id: &InstanceId) -> Option<String> {
        match &self.named {
            Some(named) => (named == id).then(|| self.prefix.clone()),
            None if *id == InstanceId::default_instance() => Some(self.prefix.clone()),
            None => Some(format!("{}/i/{id}", self.prefix)),
        }
    }

    /// The path of whatever instance the URL leads to, without the closing slash.
    pub(super) fn any_root(&self) -> &str {
        &self.prefix
    }

    /// The instance that the URL names.
    pub(super) fn named(&self) -> Option<&InstanceId> {
        self.named.as_ref()
    }

    /// The TCP port.
    pub(super) fn port(&self) -> u16 {
        self.host.port().unwrap_or(if self.https { 443 } else { 80 })
    }
}

impl FromStr for ServiceUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl)?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidUrl),
        };
        let host: HostName = uri.authority().ok_or(InvalidUrl)?.as_str().parse().map_err(|_| InvalidUrl)?;
        if uri.query().is_some() {
            return Err(InvalidUrl);
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let named = match host.instance() {
            InstanceHost::Instance(id) => Some(id),
            InstanceHost::Port(..) | InstanceHost::InvalidPort => return Err(InvalidUrl),
            // A proxy may have put it below anything.
            InstanceHost::InvalidInstance | InstanceHost::Other => prefix.rsplit_once("/i/").and_then(|(_, id)| id.parse().ok()),
        };
        Ok(Self { https, host, prefix, named })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}/", if self.https { "https" } else { "http" }, self.host, self.prefix)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_an_instance_is() {
        let root = |url: &str, id: &str| url.parse::<ServiceUrl>().unwrap().root(&id.parse().unwrap());
        assert_eq!(root("http://127.0.0.1:8080", "default").as_deref(), Some(""));
        assert_eq!(root("https://code.example.com/", "alice").as_deref(), Some("/i/alice"));
        assert_eq!(root("https://example.com/editors/", "alice").as_deref(), Some("/editors/i/alice"));
        assert_eq!(root("https://example.com/editors/i/alice/", "alice").as_deref(), Some("/editors/i/alice"));
        assert_eq!(root("https://example.com/i/alice", "bob"), None);
        assert_eq!(root("https://a-b-code-1.example.com/", "a-b-code-1").as_deref(), Some(""));
        assert_eq!(root("https://a-b-code-1.example.com/", "default"), None);
    }

    #[test]
    fn what_is_no_url() {
        for text in
            ["", "code.example.com", "/i/alice", "ftp://a", "http://", "http://a/?x", "https://3000--alice.example.com/", "http://u@h/"]
        {
            assert_eq!(text.parse::<ServiceUrl>(), Err(InvalidUrl), "{text}");
        }
    }
}
