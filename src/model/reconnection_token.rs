//! The name by which an editor's page comes back to a connection that broke.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What VS Code's page calls one of its connections (a UUID): 8 to 64 letters, digits and `-`. It is chosen by the page, and
/// good for one instance only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ReconnectionToken(String);

/// The text is no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reconnection token")]
pub struct InvalidReconnectionToken;

impl ReconnectionToken {
    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The token in the query of a websocket's URL; none when there is none, more than one, or one of another shape.
    pub fn of_query(query: &str) -> Option<Self> {
        let mut values = query.split('&').filter_map(|pair| pair.strip_prefix("reconnectionToken="));
        let value = values.next()?;
        // The engine makes up a token of its own when there are two.
        if values.next().is_some() { None } else { value.parse().ok() }
    }
}

impl FromStr for ReconnectionToken {
    type Err = InvalidReconnectionToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidReconnectionToken) }
    }
}

impl fmt::Display for ReconnectionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReconnectionToken {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::parse_text(from)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn in_a_query() {
        let token = "0fd2a1b4-61f0-4b5c-9a53-0a2b8f1c7d11";
        let of = |query: &str| ReconnectionToken::of_query(query).map(|token| token.to_string());
        assert_eq!(of(&format!("reconnectionToken={token}&reconnection=false")).as_deref(), Some(token));
        assert_eq!(of(&format!("a=b&reconnectionToken={token}")).as_deref(), Some(token));
        for query in [
            "",
            "reconnectionToken=",
            "reconnectionToken=short",
            "xreconnectionToken=0fd2a1b4-61f0",
            "reconnectionToken=%30%30%30%30%30%30%30%30",
        ] {
            assert_eq!(of(query), None, "{query}");
        }
        assert_eq!(of(&format!("reconnectionToken={token}&reconnectionToken={token}")), None);
        assert_eq!(of(&format!("reconnectionToken={}", "a".repeat(65))), None);
    }

    #[test]
    fn in_a_file() {
        let token: ReconnectionToken = serde_json::from_str("\"0fd2a1b4-61f0\"").unwrap();
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"0fd2a1b4-61f0\"");
        assert!(serde_json::from_str::<ReconnectionToken>("\"../../../x\"").is_err());
    }
}
