//! The name of an instance.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest id, in bytes: a DNS label (RFC 1035, section 2.3.4).
const MAX_LEN: usize = 63;

/// The name of an instance: a DNS label, `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
///
/// It is safe as a file name, as a host label and inside a unit name, because anything else is refused, never repaired.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(Arc<str>);

/// The text is not an instance id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance id is 1 to 63 of a-z, 0-9 and '-', and neither starts nor ends with '-'")]
pub struct InvalidInstanceId;

impl InstanceId {
    /// The instance that a URL means when it names none.
    pub fn default_instance() -> Self {
        Self(Arc::from("default"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, InvalidInstanceId> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ok = (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-');
        if ok { Ok(Self(Arc::from(text))) } else { Err(InvalidInstanceId) }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for InstanceId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for InstanceId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::parse_text(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_ids() {
        for text in ["a", "0", "alice", "acme-web-code-1", "a--b", &"x".repeat(63)] {
            assert_eq!(text.parse::<InstanceId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "x".repeat(64);
        for text in ["", "-", "-a", "a-", "A", "a.b", "a/b", "..", "a b", "ä", "a\0", "a_b", "%61", long.as_str()] {
            assert_eq!(text.parse::<InstanceId>(), Err(InvalidInstanceId), "{text:?}");
        }
    }
}
