//! What the `Host` of a request says.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{InstanceId, Port};

/// A host as a browser sends it: a name or an address, lower-cased, and the port when one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    name: String,
    port: Option<u16>,
}

/// The text is not `name`, `name:port`, `address`, `address:port` or `[address]:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name with an optional port")]
pub struct InvalidHost;

/// What the first label of a host name says about the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceHost {
    /// `PROJECT-CONTAINER-code-N`: this host is that instance's own origin.
    Instance(InstanceId),
    /// `PORT--ID`: this host is the origin of whatever listens on that port of that instance.
    Port(Port, InstanceId),
    /// `DIGITS--…` with something that is no port or no instance id.
    InvalidPort,
    /// Meant as one, `…-code-DIGITS`, and none: refused, never repaired.
    InvalidInstance,
    /// Any other host: the path decides.
    Other,
}

impl HostName {
    /// What stands for a request that names no host.
    pub fn localhost() -> Self {
        Self { name: "localhost".to_owned(), port: None }
    }

    /// The name or address without brackets and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, when the host carried one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the name can only mean this machine: `localhost`, a name below it, or a loopback address.
    pub fn is_loopback(&self) -> bool {
        self.name == "localhost" || self.name.ends_with(".localhost") || self.name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether the name is `domain` itself or lies below it.
    pub fn is_within(&self, domain: &str) -> bool {
        self.name == domain || self.name.strip_suffix(domain).is_some_and(|head| head.ends_with('.'))
    }

    /// The first label, and the domain that it lies in; that is empty for a name without a dot.
    pub fn split_label(&self) -> (&str, &str) {
        self.name.split_once('.').unwrap_or((&self.name, ""))
    }

    /// What the first label names: an instance, a port of one, or neither.
    pub fn instance(&self) -> InstanceHost {
        let label = self.split_label().0;
        if let Some((digits, id)) = label.split_once("--")
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.is_empty()
        {
            return match (digits.parse(), id.parse()) {
                (Ok(port), Ok(id)) => InstanceHost::Port(port, id),
                _ => InstanceHost::InvalidPort,
            };
        }
        match label.parse::<InstanceId>() {
            Ok(id) if is_instance_label(label) => InstanceHost::Instance(id),
            _ if is_meant_as_instance(label) => InstanceHost::InvalidInstance,
            _ => InstanceHost::Other,
        }
    }
}

/// `…-code-DIGITS`, whatever stands before it.
fn is_meant_as_instance(label: &str) -> bool {
    label.rsplit_once("-code-").is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// `PROJECT-CONTAINER-code-N`: at least two non-empty parts, then `code`, then a number without leading zero.
fn is_instance_label(label: &str) -> bool {
    let Some((head, number)) = label.rsplit_once("-code-") else { return false };
    let numbered = !number.is_empty() && !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
    numbered && head.split_once('-').is_some_and(|(project, rest)| !project.is_empty() && !rest.is_empty())
}

impl FromStr for HostName {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(InvalidHost)?;
            address.parse::<Ipv6Addr>().map_err(|_| InvalidHost)?;
            match rest.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None if rest.is_empty() => (address, None),
                None => return Err(InvalidHost),
            }
        } else {
            match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            None => None,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse::<u16>().map_err(|_| InvalidHost)?)
            }
            Some(_) => return Err(InvalidHost),
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(allowed) {
            return Err(InvalidHost);
        }
        // A trailing dot is the same name (RFC 1034, section 3.1); browsers keep it in Host.
        let name = name.strip_suffix('.').unwrap_or(name);
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]", self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn instance_labels() {
        let id = |text: &str| match host(text).instance() {
            InstanceHost::Instance(id) => Some(id.to_string()),
            _ => None,
        };
        assert_eq!(id("acme-web-code-1.srv7.example.com"), Some("acme-web-code-1".into()));
        assert_eq!(id("ACME-web-CODE-12.localhost:8080"), Some("acme-web-code-12".into()));
        assert_eq!(id("a-b-c-code-2"), Some("a-b-c-code-2".into()));
        for other in [
            "web-code-1.x",
            "code-1.x",
            "acme-web-code-.x",
            "acme-web-code-01.x",
            "acme-web-code-1x.x",
            "-a-code-1.x",
            "127.0.0.1",
            "[::1]:80",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn labels_meant_as_an_instance() {
        let long = format!("{}-b-code-1.x", "a".repeat(60));
        for bad in ["web-code-1.x", "-a-code-1.x", "a_b-c-code-1.localhost", "a-b-code-01.x", "a-b-code-0.x", "web-code-1", long.as_str()] {
            assert_eq!(host(bad).instance(), InstanceHost::InvalidInstance, "{bad}");
        }
        for other in ["code-1.x", "acme-web-code-.x", "acme-web-code-1x.x", "hoody-code.x", "x.web-code-1.y", "127.0.0.1", "localhost"] {
            assert_eq!(host(other).instance(), InstanceHost::Other, "{other}");
        }
    }

    #[test]
    fn port_labels() {
        let port = |text: &str| host(text).instance();
        let of = |number: &str, id: &str| InstanceHost::Port(number.parse().unwrap(), id.parse().unwrap());
        assert_eq!(port("3000--acme-web-code-1.srv7.example.com"), of("3000", "acme-web-code-1"));
        assert_eq!(port("3000--default.localhost:8080"), of("3000", "default"));
        assert_eq!(port("5173--a--b.localhost"), of("5173", "a--b"));
        for bad in ["0--a.x", "007--acme-web-code-1.x", "65536--a.x", "3000--.x", "3000---a.x", "3000--a_b.x", "3000--"] {
            assert_eq!(port(bad), InstanceHost::InvalidPort, "{bad}");
        }
        for other in ["3000-acme.x", "--a.x", "a--b.x", "3000", "x3000--a.x"] {
            assert_eq!(port(other), InstanceHost::Other, "{other}");
        }
        assert_eq!(host("3000--a.b.c:1").split_label(), ("3000--a", "b.c"));
        assert_eq!(host("localhost").split_label(), ("localhost", ""));
    }

    #[test]
    fn loopback_names() {
        for text in ["localhost", "LOCALHOST:1", "a.localhost", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::1]:8080", "localhost."] {
            assert!(host(text).is_loopback(), "{text}");
        }
        for text in ["localhost.evil.com", "evil-localhost", "10.0.0.1", "0.0.0.0", "127.0.0.1.nip.io"] {
            assert!(!host(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn bad_hosts() {
        for text in ["", ":80", "a:b", "a:", "a:99999", "[::1", "[::1]x", "[zz]", "a b", "a/b", "a@b", "a,b", "a:1:2"] {
            assert_eq!(text.parse::<HostName>(), Err(InvalidHost), "{text:?}");
        }
    }

    #[test]
    fn domains() {
        assert!(host("a.example.com").is_within("example.com"));
        assert!(host("example.com:443").is_within("example.com"));
        assert!(!host("badexample.com").is_within("example.com"));
    }
}
