//! What an operator can have done with the files of an instance, and what comes of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InstanceId;

/// The longest name of a snapshot, in bytes.
const MAX_NAME: usize = 63;

/// The name of a snapshot: 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or a digit. Safe as a file name, because
/// anything else is refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName(String);

/// The text is not a snapshot's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a snapshot's name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or a digit")]
pub struct InvalidSnapshotName;

impl SnapshotName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotName {
    type Err = InvalidSnapshotName;

    fn from_str(text: &str) -> Result<Self, InvalidSnapshotName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ok = text.len() <= MAX_NAME
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'));
        if ok { Ok(Self(text.to_owned())) } else { Err(InvalidSnapshotName) }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for SnapshotName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SnapshotName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::parse_text(from)
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case", deny_unknown_fields)]
pub enum DiskJob {
    /// Say which snapshots there are.
    List {},
    /// Make one.
    Snapshot {
        /// Its name; the time, when there is none.
        name: Option<SnapshotName>,
    },
    /// Delete one.
    Delete {
        /// Which.
        name: SnapshotName,
    },
    /// Put a snapshot in the place of the home, which becomes a snapshot itself.
    Restore {
        /// Which.
        name: SnapshotName,
    },
    /// Make the extensions and settings of the instance what new instances of a class begin with.
    Template {
        /// The class; its name is made like an instance's.
        class: InstanceId,
    },
}

impl DiskJob {
    /// The verb, for records.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::List {} => "snapshots",
            Self::Snapshot { .. } => "snapshot",
            Self::Delete { .. } => "delete-snapshot",
            Self::Restore { .. } => "restore",
            Self::Template { .. } => "template",
        }
    }
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// When it was made, or received, in seconds of the epoch; none where the file system does not say.
    pub made: Option<u64>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskAnswer {
    /// There is nothing more to say.
    Done,
    /// To [`DiskJob::List`], in the order of their names.
    Snapshots(Vec<Snapshot>),
    /// To [`DiskJob::Snapshot`].
    Made {
        /// Its name.
        name: SnapshotName,
        /// How many subvolumes within the home are not part of it.
        without: usize,
    },
    /// To [`DiskJob::Restore`].
    Restored {
        /// The snapshot that was the home until now; none when there was no home.
        kept: Option<SnapshotName>,
    },
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["a", "0", "20261127-081500", "before-update_2.1", &"x".repeat(63)] {
            assert_eq!(text.parse::<SnapshotName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["", ".", "..", ".a", "-a", "_a", "A", "a/b", "a b", "ä", "a\0", &"x".repeat(64)] {
            assert_eq!(text.parse::<SnapshotName>(), Err(InvalidSnapshotName), "{text:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let parse = serde_json::from_str::<DiskJob>;
        assert_eq!(parse(r#"{"job":"list"}"#).unwrap(), DiskJob::List {});
        assert_eq!(parse(r#"{"job":"snapshot","name":null}"#).unwrap(), DiskJob::Snapshot { name: None });
        for text in [
            r#"{"job":"delete"}"#,
            r#"{"job":"delete","name":".."}"#,
            r#"{"job":"restore","name":"a/../b"}"#,
            r#"{"job":"list","name":"a"}"#,
            r#"{"job":"template","class":"A"}"#,
            r#"{"job":"format"}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
