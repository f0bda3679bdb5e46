//! Paths that a URL asks to open.

use std::fmt;
use std::path::Path;

/// An absolute path in the instance's own file system: no `..`, no NUL, at most `PATH_MAX` bytes.
///
/// It says nothing about whether something is there; the launcher finds that out inside the instance's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsolutePath(String);

/// Why a path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It does not start with `/`.
    #[error("the path is not absolute")]
    Relative,
    /// It has a `..` part.
    #[error("the path contains '..'")]
    Parent,
    /// It has a NUL or another control character.
    #[error("the path contains a control character")]
    Control,
    /// It is longer than the kernel takes.
    #[error("the path is too long")]
    TooLong,
}

/// `PATH_MAX` of Linux (limits.h), in bytes, with the closing NUL.
const PATH_MAX: usize = 4096;

impl AbsolutePath {
    /// Takes `text` as it is.
    ///
    /// # Errors
    /// When it is relative, has a `..` part, has control characters or is too long.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if text.len() >= PATH_MAX {
            return Err(InvalidPath::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPath::Control);
        }
        if !text.starts_with('/') {
            return Err(InvalidPath::Relative);
        }
        if text.split('/').any(|part| part == "..") {
            return Err(InvalidPath::Parent);
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the file system.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for AbsolutePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        Self::parse(text)
    }
}

impl serde::Serialize for AbsolutePath {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for AbsolutePath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::parse_text(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        for text in ["/", "/home/user/project", "/a b/ü", "/a/..b/c..", "/a//b/./c"] {
            assert!(AbsolutePath::parse(text).is_ok(), "{text}");
        }
        assert_eq!(AbsolutePath::parse("a"), Err(InvalidPath::Relative));
        assert_eq!(AbsolutePath::parse(""), Err(InvalidPath::Relative));
        assert_eq!(AbsolutePath::parse("vscode-vfs://github/a/b"), Err(InvalidPath::Relative));
        assert_eq!(AbsolutePath::parse("/a/../b"), Err(InvalidPath::Parent));
        assert_eq!(AbsolutePath::parse("/.."), Err(InvalidPath::Parent));
        assert_eq!(AbsolutePath::parse("/a\0b"), Err(InvalidPath::Control));
        assert_eq!(AbsolutePath::parse("/a\nb"), Err(InvalidPath::Control));
        assert_eq!(AbsolutePath::parse(&format!("/{}", "x".repeat(5000))), Err(InvalidPath::TooLong));
    }
}
