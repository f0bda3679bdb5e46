//! A web origin: scheme, host, port (RFC 6454).

use std::fmt;
use std::str::FromStr;

use super::HostName;

/// An origin as browsers write it in `Origin`, its default port left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin {
    secure: bool,
    name: String,
    port: u16,
}

/// The text is not `http(s)://HOST` with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an origin such as https://app.example.com")]
pub struct InvalidOrigin;

impl WebOrigin {
    /// The origin of a URL, whatever path, query and fragment it has. None when it is no web address.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#', '\\']).next()?;
        format!("{scheme}://{authority}").parse().ok()
    }
}

impl FromStr for WebOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, host) = text.split_once("://").ok_or(InvalidOrigin)?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidOrigin),
        };
        let host: HostName = host.parse().map_err(|_| InvalidOrigin)?;
        let port = host.port().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { secure, name: host.name().to_owned(), port })
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.secure { ("https", 443) } else { ("http", 80) };
        let name = &self.name;
        if name.contains(':') {
            write!(f, "{scheme}://[{name}]")?
        } else {
            write!(f, "{scheme}://{name}")?
        }
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (text, shown) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<WebOrigin>().unwrap().to_string(), shown);
        }
        for text in
            ["", "app.example.com", "https://", "https://a/", "https://a/b", "https://*.a.example", "ftp://a", "null", "https://a b"]
        {
            assert_eq!(text.parse::<WebOrigin>(), Err(InvalidOrigin), "{text:?}");
        }
    }

    #[test]
    fn of_urls() {
        let of = |url: &str| WebOrigin::of_url(url).map(|origin| origin.to_string());
        assert_eq!(of("https://a.example/b?c#d"), Some("https://a.example".into()));
        assert_eq!(of("https://a.example\\@evil.example/"), Some("https://a.example".into()));
        assert_eq!(of("https://user@a.example/"), None);
        assert_eq!(of("about:blank"), None);
    }
}
