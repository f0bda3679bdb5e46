//! A name for each request, in its record and in its answer: who complains of an answer can say which.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// The header of every answer. What a client sends under this name means nothing: it could be somebody else's.
pub(super) const HEADER: &str = "x-request-id";

/// Different in each daemon and after each restart, so that two of them share no ids.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

static COUNT: AtomicU64 = AtomicU64::new(0);

/// 16 hexadecimal digits, unlike those of any other request; they tell nothing of how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId(u64);

impl RequestId {
    /// The id of a request that has just come in.
    pub(super) fn next() -> Self {
        Self(KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// As the header's value; none never happens, digits are always one.
    pub(super) fn header(self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.to_string()).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_and_all_are_as_long() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| RequestId::next().to_string()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        assert_eq!(RequestId(7).header().unwrap(), "0000000000000007");
    }
}
